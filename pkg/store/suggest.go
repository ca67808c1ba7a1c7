package store

// suggestLimit bounds the work on words of unknown origin, in bytes.
const suggestLimit = 128

// Suggest returns the word of among that is nearest to word, at most two edits
// (insert, delete, replace one character) away; the first of equals; "" if there
// is none.
func Suggest(word string, among []string) string {
	best, least := "", 3
	if len(word) > suggestLimit {
		return ""
	}
	for _, w := range among {
		if len(w) > suggestLimit {
			continue
		}
		if d := editDistance([]rune(word), []rune(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// editDistance is Levenshtein's, with one row of the table kept.
func editDistance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range b {
			cost := diagonal
			if x != y {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// didYouMean is the end of a message about an unknown word, or "".
func didYouMean(word string, among []string) string {
	if s := Suggest(word, among); s != "" {
		return ` (did you mean "` + s + `"?)`
	}
	return ""
}

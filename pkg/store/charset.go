package store

// charset is a set of ASCII characters. Names are checked at every step of a
// change, for which a regular expression takes ten times as long.
type charset [256]bool

func charsOf(chars string) *charset {
	var c charset
	for i := range len(chars) {
		c[chars[i]] = true
	}
	return &c
}

// holds reports whether a text has 1 to most characters, all of the set.
func (c *charset) holds(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if !c[s[i]] {
			return false
		}
	}
	return true
}

const (
	digits = "0123456789"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// dashed reports whether a text begins or ends with a dash.
func dashed(s string) bool { return s[0] == '-' || s[len(s)-1] == '-' }

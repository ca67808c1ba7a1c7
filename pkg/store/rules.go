package store

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Bounds that resources share; characters are runes.
const (
	maxTitle       = 200  // characters of a display name or client name
	maxDescription = 1000 // characters
	maxManagedBy   = 128  // characters
	maxContacts    = 20
	maxContact     = 254 // characters
	maxLabels      = 32
	maxLabel       = 63 // characters of a key, and of a value
	maxAnnotations = 64
	maxAnnotation  = 4096 // characters of a value; 128 of a key
)

var (
	labelForm = lazily(`^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$`)
	actorForm = lazily(`^(?:system|unix/[0-9]{1,10}|(?:node|admin|operator|reader)/[!-~]{1,128})$`)
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func mustBe(path, got, want string, fs *faults) {
	if got != want {
		fs.add(path, "is %s; must be %s", quote(got), quote(want))
	}
}

// checkHead judges the members with which every document begins.
func checkHead(format, kind string, ref Ref, fs *faults) {
	mustBe("format_version", format, FormatVersion, fs)
	mustBe("kind", kind, ref.Kind, fs)
}

func checkOneOf(path, got string, among []string, fs *faults) {
	if !contains(among, got) {
		fs.add(path, "is %s; must be one of %s%s", quote(got), strings.Join(among, ", "), didYouMean(got, among))
	}
}

func checkText(path, s string, most int, fs *faults) {
	if n := utf8.RuneCountInString(s); n > most {
		fs.add(path, "has %d characters; at most %d are allowed", n, most)
	}
	if r, bad := firstControl(s, false); bad {
		fs.add(path, "has the control character U+%04X", r)
	}
}

// checkList judges the length of a list, each item by itself, and that none
// comes twice.
func checkList(path string, items []string, most int, fs *faults, check func(string) error) {
	if len(items) > most {
		fs.add(path, "has %d items; at most %d are allowed", len(items), most)
		return
	}
	var seen map[string]bool // of lists in which a search would be slow
	if len(items) > 16 {
		seen = make(map[string]bool, len(items))
	}
	for i, s := range items {
		err := check(s)
		if seen[s] || seen == nil && contains(items[:i], s) {
			err = fmt.Errorf("%s is in the list already", quote(s))
		} else if seen != nil {
			seen[s] = true
		}
		if err != nil {
			fs.addErr(path+"["+strconv.Itoa(i)+"]", err)
		}
	}
}

// oneOf makes a check for checkList.
func oneOf(among []string) func(string) error {
	return func(s string) error {
		if contains(among, s) {
			return nil
		}
		return fmt.Errorf("%s must be one of %s%s", quote(s), strings.Join(among, ", "), didYouMean(s, among))
	}
}

// textOf makes a check for checkList: 1 to most characters, without spaces
// around them.
func textOf(most int) func(string) error {
	return func(s string) error {
		if n := utf8.RuneCountInString(s); n < 1 || n > most || strings.TrimSpace(s) != s {
			return fmt.Errorf("must be 1 to %d characters, with no space before or after them", most)
		}
		return nil
	}
}

// checkMaps judges labels and annotations. A label's key has no "=" and does not
// end in "-", so that "k=v" and "k-" can be told apart on a command line.
func checkMaps(labels, annotations map[string]string, fs *faults) {
	if len(labels) > maxLabels {
		fs.add("labels", "has %d labels; at most %d are allowed", len(labels), maxLabels)
	}
	if len(annotations) > maxAnnotations {
		fs.add("annotations", "has %d annotations; at most %d are allowed", len(annotations), maxAnnotations)
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		at := trail{{"labels", -1}, {k, -1}}.String()
		if len(k) > maxLabel || !labelForm().MatchString(k) {
			fs.add(at, `key must be 1 to %d of A-Z, a-z, 0-9, ".", "_", "/" and "-", the first and last a letter or digit`, maxLabel)
		}
		if n := utf8.RuneCountInString(labels[k]); n > maxLabel {
			fs.add(at, "has %d characters; at most %d are allowed", n, maxLabel)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		at := trail{{"annotations", -1}, {k, -1}}.String()
		if len(k) > 2*maxLabel+2 || !labelForm().MatchString(k) {
			fs.add(at, `key must be 1 to %d of A-Z, a-z, 0-9, ".", "_", "/" and "-", the first and last a letter or digit`, 2*maxLabel+2)
		}
		if n := utf8.RuneCountInString(annotations[k]); n > maxAnnotation {
			fs.add(at, "has %d characters; at most %d are allowed", n, maxAnnotation)
		}
	}
}

// checkUID wants a UUIDv7 in its usual spelling.
func checkUID(uid string, fs *faults) {
	if id, err := uuid.Parse(uid); err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 || id.String() != uid {
		fs.add("uid", "must be a UUIDv7 in lower case")
	}
}

// rules judges what the server sets on every document.
func (m *Meta) rules(fs *faults) {
	if m.CreateRevision > m.Revision {
		fs.add("create_revision", "is above revision")
	}
	if m.CreatedAt > m.UpdatedAt {
		fs.add("created_at", "is after updated_at")
	}
	if !actorForm().MatchString(m.UpdatedBy) {
		fs.add("updated_by", `must be "system", "unix/UID" or "ROLE/NAME"`)
	}
}

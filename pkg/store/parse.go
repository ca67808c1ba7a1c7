package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of a JSON value.
const (
	nullKind   = 'n'
	boolKind   = 'b'
	numberKind = '0'
	stringKind = '"'
	listKind   = '['
	objectKind = '{'
)

// node is a JSON value with its members in the order they were written.
type node struct {
	kind    byte
	text    string // the string itself; of null, a boolean or a number its literal
	items   []*node
	members []member
}

type member struct {
	name  string
	value *node
}

// get is the member of that name, nil if n is nil, no object or has none.
func (n *node) get(name string) *node {
	if n != nil {
		for _, m := range n.members {
			if m.name == name {
				return m.value
			}
		}
	}
	return nil
}

// trail is where a walk stands in a document. It is made into a path only when
// there is a fault to report.
type trail []step

type step struct {
	name  string
	index int // of a list item; negative for a member
}

func (t trail) String() string {
	var b strings.Builder
	for _, s := range t {
		switch {
		case s.index >= 0:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case plainName(s.name):
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		default:
			b.WriteString("[" + quote(s.name) + "]")
		}
	}
	return b.String()
}

func (t *trail) enter(name string) { *t = append(*t, step{name, -1}) }
func (t *trail) at(index int)      { *t = append(*t, step{"", index}) }
func (t *trail) leave()            { *t = (*t)[:len(*t)-1] }

func plainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && c != '-' && (c < '0' || c > '9') && (c|32 < 'a' || c|32 > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// parse reads one JSON value of at most limit bytes, and nothing after it. It
// refuses what encoding/json lets pass: bad UTF-8, lone surrogates (which would
// turn into U+FFFD), a member name that comes twice, nesting beyond maxDepth.
// The node is nil when there is nothing to go on with.
func parse(b []byte, limit int, fs *faults) *node {
	if len(b) > limit {
		fs.add("", "is %d bytes long; at most %d are allowed", len(b), limit)
		return nil
	}
	p := parser{b: string(b)}
	n := p.whole()
	if n == nil {
		fs.add("", "%s", notJSON(b))
		return nil
	}
	for _, f := range p.faults { // by add, which bounds how many are listed
		fs.add(f.Path, "%s", f.Message)
	}
	return n
}

// notJSON says why text was refused as a whole.
func notJSON(b []byte) string {
	switch {
	case !utf8.Valid(b):
		return "is not valid UTF-8"
	case deeper(b, maxDepth):
		return fmt.Sprintf("is nested deeper than %d levels", maxDepth)
	}
	return "is not JSON: " + syntaxError(b)
}

// syntaxError says what is wrong with text that is not JSON, and where.
func syntaxError(b []byte) string {
	var whole json.RawMessage
	err := json.Unmarshal(b, &whole)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("%v at byte %d", syntax, syntax.Offset)
	}
	return fmt.Sprint(err)
}

// deeper reports whether brackets outside of strings nest beyond limit.
func deeper(b []byte, limit int) bool {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == '{' || c == '['):
			if depth++; depth > limit {
				return true
			}
		case !inString && (c == '}' || c == ']'):
			depth--
		}
	}
	return false
}

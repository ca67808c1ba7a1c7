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
	if !utf8.Valid(b) {
		fs.add("", "is not valid UTF-8")
		return nil
	}
	if deeper(b, maxDepth) {
		fs.add("", "is nested deeper than %d levels", maxDepth)
		return nil
	}
	if !json.Valid(b) {
		fs.add("", "is not JSON: %s", syntaxError(b))
		return nil
	}
	p := parser{b: string(b), faults: fs}
	return p.value()
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

// parser builds nodes from text that is known to be valid JSON, so that it has
// no syntax errors to deal with.
type parser struct {
	b      string // what the nodes hold are parts of it
	i      int
	spare  []node // made together
	where  trail
	faults *faults
}

// next skips white space and returns the byte that begins the next token.
func (p *parser) next() byte {
	for {
		switch c := p.b[p.i]; c {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return c
		}
	}
}

// make returns a node of its own.
func (p *parser) make(kind byte, text string) *node {
	if len(p.spare) == 0 {
		p.spare = make([]node, 16)
	}
	n := &p.spare[0]
	p.spare = p.spare[1:]
	n.kind, n.text = kind, text
	return n
}

func (p *parser) value() *node {
	switch p.next() {
	case '{':
		return p.object()
	case '[':
		return p.list()
	case '"':
		return p.make(stringKind, p.str())
	}
	start := p.i
	for p.i < len(p.b) && strings.IndexByte(" \t\r\n,]}", p.b[p.i]) < 0 {
		p.i++
	}
	text := p.b[start:p.i]
	switch text[0] {
	case 'n':
		return p.make(nullKind, text)
	case 't', 'f':
		return p.make(boolKind, text)
	}
	return p.make(numberKind, text)
}

func (p *parser) object() *node {
	n := p.make(objectKind, "")
	var seen map[string]bool // made when a search of the members would be slow
	for p.i++; p.next() != '}'; {
		if p.b[p.i] == ',' {
			p.i++
			p.next()
		}
		name := p.str()
		p.next()
		p.i++ // the colon
		p.where.enter(name)
		value := p.value()
		if seen == nil && len(n.members) == 16 {
			seen = make(map[string]bool, 64)
			for _, m := range n.members {
				seen[m.name] = true
			}
		}
		if seen[name] || seen == nil && n.get(name) != nil {
			p.faults.add(p.where.String(), "is given twice")
		} else {
			n.members = append(n.members, member{name, value})
		}
		if seen != nil {
			seen[name] = true
		}
		p.where.leave()
	}
	p.i++
	return n
}

func (p *parser) list() *node {
	n := p.make(listKind, "")
	for p.i++; p.next() != ']'; {
		if p.b[p.i] == ',' {
			p.i++
		}
		p.where.at(len(n.items))
		n.items = append(n.items, p.value())
		p.where.leave()
	}
	p.i++
	return n
}

func (p *parser) str() string {
	start, plain := p.i, true
	for p.i++; p.b[p.i] != '"'; p.i++ {
		if p.b[p.i] == '\\' {
			plain = false
			p.i++
		}
	}
	p.i++
	s := p.b[start+1 : p.i-1]
	if !plain {
		_ = json.Unmarshal([]byte(p.b[start:p.i]), &s) // valid: the whole text is
	}
	if strings.ContainsRune(s, utf8.RuneError) {
		p.faults.add(p.where.String(), "has a character that could not be decoded (U+FFFD)")
	}
	return s
}

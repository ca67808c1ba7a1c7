package store

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// parser builds nodes and checks the text on the way, as RFC 8259 has it: reading it
// once for each check took more time than building. It accepts what json.Valid does,
// as far as that is UTF-8 and not nested too deep.
type parser struct {
	b      string // what the nodes hold are parts of it
	i      int
	depth  int
	wide   bool   // not ASCII alone
	bad    bool   // not JSON; nothing that was made counts
	spare  []node // made together
	where  trail
	faults faults
}

// whole is the one value of the text, nil if it is not one.
func (p *parser) whole() *node {
	n := p.value()
	if p.bad {
		return nil
	}
	if p.next(); p.i < len(p.b) || p.wide && !utf8.ValidString(p.b) {
		return nil
	}
	return n
}

// next skips white space and returns the byte that begins the next token, 0 at the end.
func (p *parser) next() byte {
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take skips a byte that has to come next.
func (p *parser) take(c byte) {
	if p.next() != c {
		p.bad = true
		return
	}
	p.i++
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

// value is the next value. Once the text is found bad nobody may go on in it.
func (p *parser) value() *node {
	switch c := p.next(); c {
	case '{', '[':
		if p.depth++; p.depth > maxDepth {
			p.bad = true
			return nil
		}
		var n *node
		if c == '{' {
			n = p.object()
		} else {
			n = p.list()
		}
		p.depth--
		return n
	case '"':
		return p.make(stringKind, p.str())
	case 'n':
		return p.make(nullKind, p.literal("null"))
	case 't':
		return p.make(boolKind, p.literal("true"))
	case 'f':
		return p.make(boolKind, p.literal("false"))
	}
	return p.make(numberKind, p.number())
}

func (p *parser) literal(text string) string {
	if !strings.HasPrefix(p.b[p.i:], text) {
		p.bad = true
		return ""
	}
	p.i += len(text)
	return text
}

// number is the text of one: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (p *parser) number() string {
	start := p.i
	p.skip("-")
	if !p.skip("0") {
		p.digits()
	}
	if p.skip(".") {
		p.digits()
	}
	if p.skip("eE") {
		p.skip("+-")
		p.digits()
	}
	return p.b[start:p.i]
}

// skip takes one byte of a set, if one is next.
func (p *parser) skip(set string) bool {
	if p.i >= len(p.b) || strings.IndexByte(set, p.b[p.i]) < 0 {
		return false
	}
	p.i++
	return true
}

// digits takes one or more.
func (p *parser) digits() {
	start := p.i
	for p.i < len(p.b) && '0' <= p.b[p.i] && p.b[p.i] <= '9' {
		p.i++
	}
	p.bad = p.bad || p.i == start
}

func (p *parser) object() *node {
	n := p.make(objectKind, "")
	if p.depth == 1 {
		n.members = make([]member, 0, 32) // most documents have fewer
	}
	var seen map[string]bool // made when a search of the members would be slow
	p.i++
	for first := true; p.next() != '}' && !p.bad; first = false {
		if !first {
			p.take(',')
		}
		if p.next() != '"' {
			p.bad = true
			return nil
		}
		name := p.str()
		if p.take(':'); p.bad {
			return nil
		}
		p.where.enter(name)
		value := p.value()
		if seen == nil && len(n.members) == 64 {
			seen = make(map[string]bool, 256)
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
	p.take('}')
	return n
}

func (p *parser) list() *node {
	n := p.make(listKind, "")
	p.i++
	for p.next() != ']' && !p.bad {
		if len(n.items) > 0 {
			p.take(',')
		}
		if p.bad {
			return nil
		}
		p.where.at(len(n.items))
		n.items = append(n.items, p.value())
		p.where.leave()
	}
	p.take(']')
	return n
}

// str is the string that begins here.
func (p *parser) str() string {
	start, plain := p.i, true
	for p.i++; p.i < len(p.b) && p.b[p.i] != '"'; p.i++ {
		switch c := p.b[p.i]; {
		case c < ' ':
			p.bad = true
		case c == '\\':
			plain = false
			p.escape()
		case c >= utf8.RuneSelf:
			p.wide = true
		}
	}
	if p.i >= len(p.b) || p.bad {
		p.bad = true
		return ""
	}
	p.i++
	s := p.b[start+1 : p.i-1]
	if !plain {
		s = unescape(p.b[start:p.i])
	}
	if (p.wide || !plain) && strings.ContainsRune(s, utf8.RuneError) {
		p.faults.add(p.where.String(), "has a character that could not be decoded (U+FFFD)")
	}
	return s
}

// unescape reads a string that was looked at.
func unescape(quoted string) (s string) {
	_ = json.Unmarshal([]byte(quoted), &s)
	return s
}

// escape goes to the last byte of an escape.
func (p *parser) escape() {
	p.i++
	switch {
	case p.i >= len(p.b):
	case p.b[p.i] == 'u':
		for range 4 {
			p.i++
			p.bad = p.bad || p.i >= len(p.b) || strings.IndexByte("0123456789abcdefABCDEF", p.b[p.i]) < 0
		}
	default:
		p.bad = p.bad || strings.IndexByte(`"\/bfnrt`, p.b[p.i]) < 0
	}
}

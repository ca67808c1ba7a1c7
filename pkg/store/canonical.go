package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Bounds of a document, in bytes of its canonical form.
const (
	MaxDocument = 64 << 10  // a tenant, client or scope
	MaxKeyset   = 128 << 10 // a keyset or jwks.json
)

// Encode writes a document in its one canonical form: fields in declared order,
// two-space indent, no HTML escaping, one final newline. Lists and maps are
// never null. Raw JSON inside a document has its members sorted and its numbers
// as they are; a JWK (an object with a "kty") begins with the members in the
// order of jwkOrder instead, as RFC 7517 shows it.
//
// It panics when a json.RawMessage field does not hold JSON: documents that came
// from outside have passed the decoder, which refuses that.
func Encode(doc any) []byte {
	return append(appendValue(make([]byte, 0, 2<<10), reflect.ValueOf(doc), 0), '\n')
}

func appendValue(b []byte, v reflect.Value, depth int) []byte {
	switch v.Type() {
	case timeType:
		t := Time(v.Int())
		if t == 0 {
			return append(b, "null"...)
		}
		return append(t.Std().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
	case durationType:
		return appendString(b, Duration(v.Int()).String())
	case rawType:
		return appendRaw(b, v.Bytes(), depth)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...)
		}
		return appendValue(b, v.Elem(), depth)
	case reflect.String:
		return appendString(b, v.String())
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool())
	case reflect.Int, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10)
	case reflect.Uint64:
		return strconv.AppendUint(b, v.Uint(), 10)
	case reflect.Struct:
		fields := fieldsOf(v.Type())
		return appendBlock(b, '{', '}', len(fields), depth, func(b []byte, i int) []byte {
			f := fields[i]
			return appendValue(append(appendString(b, f.name), ": "...), v.FieldByIndex(f.index), depth+1)
		})
	case reflect.Slice:
		return appendBlock(b, '[', ']', v.Len(), depth, func(b []byte, i int) []byte {
			return appendValue(b, v.Index(i), depth+1)
		})
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return cmp.Compare(x.String(), y.String()) })
		return appendBlock(b, '{', '}', len(keys), depth, func(b []byte, i int) []byte {
			return appendValue(append(appendString(b, keys[i].String()), ": "...), v.MapIndex(keys[i]), depth+1)
		})
	}
	panic(fmt.Sprintf("store: a document cannot hold a %s", v.Type()))
}

// The types that are written in a form of their own.
var (
	timeType     = reflect.TypeFor[Time]()
	durationType = reflect.TypeFor[Duration]()
	rawType      = reflect.TypeFor[json.RawMessage]()
)

// compact is a depth so far below zero that no nesting brings it back.
const compact = -1 << 20

// appendBlock writes a list or an object of n parts, one a line; "[]" or "{}"
// when it is empty. At the depth compact there is no white space between parts.
func appendBlock(b []byte, first, last byte, n, depth int, part func([]byte, int) []byte) []byte {
	b = append(b, first)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = part(appendIndent(b, depth+1), i)
	}
	if n > 0 {
		b = appendIndent(b, depth)
	}
	return append(b, last)
}

func appendIndent(b []byte, depth int) []byte {
	if depth < 0 {
		return b
	}
	b = append(b, '\n')
	for range depth {
		b = append(b, "  "...)
	}
	return b
}

// appendString escapes as encoding/json does without HTML escaping, so that
// what it writes and what the standard library writes are the same bytes.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	if plainText(s) {
		return append(append(b, s...), '"')
	}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r < ' ' || r == '\u2028' || r == '\u2029':
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// plainText reports whether a string is written as it is: ASCII without escapes.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendRaw(b []byte, raw json.RawMessage, depth int) []byte {
	if len(raw) == 0 {
		return append(b, "null"...)
	}
	var fs faults
	n := parse(raw, len(raw), &fs)
	if len(fs) > 0 {
		panic("store: raw JSON in a document is not valid: " + fs[0].Message)
	}
	return appendNode(b, n.sorted(), depth)
}

// Stamp puts the two revisions into a canonical payload, in which both are 0,
// without encoding it again. A line that begins with exactly two spaces is a
// member of the document itself: deeper ones have four and strings hold no line
// break, so the place is found by its bytes.
func Stamp(payload []byte, create, revision uint64) ([]byte, error) {
	mark := []byte("\n  \"create_revision\": 0,\n  \"revision\": 0,\n")
	i := bytes.Index(payload, mark)
	if i < 0 || i != bytes.LastIndex(payload, mark) {
		return nil, Errorf(CodeInternal, "payload has no place for its revisions")
	}
	b := make([]byte, 0, len(payload)+40) // two numbers of at most 20 digits
	b = append(b, payload[:i]...)
	b = append(b, "\n  \"create_revision\": "...)
	b = strconv.AppendUint(b, create, 10)
	b = append(b, ",\n  \"revision\": "...)
	b = strconv.AppendUint(b, revision, 10)
	b = append(b, ",\n"...)
	return append(b, payload[i+len(mark):]...), nil
}

// DecodeDoc reads the document that an archive or a mutation has for path:
// *Tenant, *Client, *Scope, *Keyset, or *JWKS. It accepts exactly what Encode
// writes of a document that names the path's object and keeps every rule which
// can be judged by one document alone; both revisions may still be 0. The error
// is an *Error: CodeNewer for a format version above FormatVersion, else
// CodeInvalid with every fault.
func DecodeDoc(path string, b []byte) (any, error) {
	ref, err := ParsePath(path)
	if err != nil {
		return nil, Errorf(CodeInvalid, "%v", err)
	}
	if doc := newDocument(ref.Kind); len(b) <= DocumentLimit(ref.Kind) && readLines(b, reflect.ValueOf(doc).Elem()) {
		var fs faults
		doc.identity(ref, &fs)
		doc.check(&fs)
		if len(fs) == 0 && bytes.Equal(Encode(doc), b) {
			return doc, nil
		}
	}
	return parseDoc(ref, b) // which finds every fault, and documents with other letters
}

func newDocument(kind string) document {
	switch kind {
	case "tenant":
		return new(Tenant)
	case "client":
		return new(Client)
	case "scope":
		return new(Scope)
	case "keyset":
		return new(Keyset)
	}
	return new(JWKS)
}

// DocumentLimit is how many bytes a document of that kind may have.
func DocumentLimit(kind string) int {
	if kind == "keyset" || kind == "jwks" {
		return MaxKeyset
	}
	return MaxDocument
}

// parseDoc is DecodeDoc for any text.
func parseDoc(ref Ref, b []byte) (any, error) {
	doc := newDocument(ref.Kind)
	fm := new(form)
	n := parse(b, DocumentLimit(ref.Kind), &fm.faults)
	if n != nil && ref.Kind != "jwks" {
		if v := n.get("format_version"); v != nil && v.kind == stringKind && v.text != FormatVersion && newerFormat(v.text) {
			return nil, Errorf(CodeNewer, "%s has format version %s; this build reads up to %s", ref, quote(v.text), FormatVersion)
		}
	}
	if n != nil {
		fm.fill(n, reflect.ValueOf(doc).Elem(), reflect.Value{})
	}
	if len(fm.faults) == 0 {
		doc.identity(ref, &fm.faults)
		doc.check(&fm.faults)
	}
	if len(fm.faults) > 0 {
		return nil, Invalid(ref.String(), fm.faults)
	}
	if !bytes.Equal(Encode(doc), b) {
		return nil, Errorf(CodeInvalid, "%s is not in canonical form", ref)
	}
	return doc, nil
}

// document is what the kinds have in common for the decoder.
type document interface {
	identity(Ref, *faults) // faults where the document does not name ref's object
	check(*faults)         // the rules of one document alone, server-set fields included
}

// newerFormat reports whether "major.minor" is above FormatVersion. Fields are
// added within a major, so that a greater minor cannot be read either.
func newerFormat(s string) bool {
	var major, minor, ourMajor, ourMinor int
	if n, _ := fmt.Sscanf(s, "%d.%d", &major, &minor); n != 2 {
		return false
	}
	fmt.Sscanf(FormatVersion, "%d.%d", &ourMajor, &ourMinor)
	return major > ourMajor || major == ourMajor && minor > ourMinor
}

// jwkOrder are the members with which a JWK begins, in this order.
var jwkOrder = []string{"kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"}

// sorted brings the members of all objects below n into canonical order, and
// returns n.
func (n *node) sorted() *node {
	rank := func(string) int { return 0 }
	if n.get("kty") != nil {
		rank = func(name string) int {
			if i := slices.Index(jwkOrder, name); i >= 0 {
				return i - len(jwkOrder)
			}
			return 0
		}
	}
	slices.SortFunc(n.members, func(x, y member) int {
		return cmp.Or(cmp.Compare(rank(x.name), rank(y.name)), cmp.Compare(x.name, y.name))
	})
	for _, m := range n.members {
		m.value.sorted()
	}
	for _, item := range n.items {
		item.sorted()
	}
	return n
}

// raw is the node as a document's raw JSON holds it in memory: canonical order,
// no white space.
func (n *node) raw() json.RawMessage { return appendNode(nil, n.sorted(), compact) }

// appendNode writes a node with its members in the order they have.
func appendNode(b []byte, n *node, depth int) []byte {
	colon := ": "
	if depth < 0 {
		colon = ":"
	}
	switch n.kind {
	case stringKind:
		return appendString(b, n.text)
	case listKind:
		return appendBlock(b, '[', ']', len(n.items), depth, func(b []byte, i int) []byte {
			return appendNode(b, n.items[i], depth+1)
		})
	case objectKind:
		return appendBlock(b, '{', '}', len(n.members), depth, func(b []byte, i int) []byte {
			m := n.members[i]
			return appendNode(append(appendString(b, m.name), colon...), m.value, depth+1)
		})
	}
	return append(b, n.text...)
}

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	maxDepth  = 32  // nested lists and objects of a document
	maxFaults = 100 // listed in one refusal

	maxValueText = 64 // bytes of a time or duration; no legal one comes near
)

// faults collects what is wrong with a document.
type faults []Field

func (fs *faults) add(path, message string, args ...any) {
	switch {
	case len(*fs) < maxFaults:
		*fs = append(*fs, Field{path, fmt.Sprintf(message, args...)})
	case len(*fs) == maxFaults:
		*fs = append(*fs, Field{"", "there are more faults than these"})
	}
}

// addErr notes err at path if there is one.
func (fs *faults) addErr(path string, err error) {
	if err != nil {
		fs.add(path, "%v", err)
	}
}

// refusal is the error of the collected faults, or nil.
func (fs faults) refusal(what string) error {
	if len(fs) == 0 {
		return nil
	}
	return Invalid(what, fs)
}

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
	p := parser{b: b, faults: fs}
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
	b      []byte
	i      int
	where  trail
	faults *faults
}

// next skips white space and returns the byte that begins the next token.
func (p *parser) next() byte {
	for strings.IndexByte(" \t\r\n", p.b[p.i]) >= 0 {
		p.i++
	}
	return p.b[p.i]
}

func (p *parser) value() *node {
	switch p.next() {
	case '{':
		return p.object()
	case '[':
		return p.list()
	case '"':
		return &node{kind: stringKind, text: p.str()}
	}
	start := p.i
	for p.i < len(p.b) && strings.IndexByte(" \t\r\n,]}", p.b[p.i]) < 0 {
		p.i++
	}
	text := string(p.b[start:p.i])
	switch text[0] {
	case 'n':
		return &node{kind: nullKind, text: text}
	case 't', 'f':
		return &node{kind: boolKind, text: text}
	}
	return &node{kind: numberKind, text: text}
}

func (p *parser) object() *node {
	n := &node{kind: objectKind}
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
	n := &node{kind: listKind}
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
	s := string(p.b[start+1 : p.i-1])
	if !plain {
		_ = json.Unmarshal(p.b[start:p.i], &s) // valid: the whole text is
	}
	if strings.ContainsRune(s, utf8.RuneError) {
		p.faults.add(p.where.String(), "has a character that could not be decoded (U+FFFD)")
	}
	return s
}

// field is one member of a document: its JSON name and where the struct has it.
type field struct {
	name  string
	index []int
}

var fieldCache sync.Map // reflect.Type -> []field

// fieldsOf lists the members of a struct in declared order, those of the
// embedded Meta in its place.
func fieldsOf(t reflect.Type) []field {
	if fs, ok := fieldCache.Load(t); ok {
		return fs.([]field)
	}
	var fs []field
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && !f.Anonymous {
			fs = append(fs, field{name, f.Index})
		}
	}
	fieldCache.Store(t, fs)
	return fs
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range fieldsOf(t) {
		names = append(names, f.name)
	}
	return names
}

// form is one walk of a JSON value over a document's struct.
type form struct {
	faults
	where trail
	patch bool            // an RFC 7396 merge patch: null resets to the default
	given map[string]bool // paths of the values that the patch sets; may be nil
}

func (f *form) fault(message string, args ...any) { f.add(f.where.String(), message, args...) }

// kindNames say what a fault expected.
var kindNames = map[byte]string{
	boolKind: "true or false", numberKind: "a whole number", stringKind: "a string", listKind: "a list", objectKind: "an object",
}

func (f *form) want(n *node, kind byte) bool {
	if n.kind != kind {
		f.fault("must be %s", kindNames[kind])
		return false
	}
	if f.given != nil && kind != objectKind {
		f.given[f.where.String()] = true
	}
	return true
}

// fill puts n into dst. def is the default of the same place, which null in a
// patch means; it is invalid where there is none (in lists, and in documents
// that are read whole), and then null is a fault unless the type has a null.
func (f *form) fill(n *node, dst, def reflect.Value) {
	if n.kind == nullKind {
		switch dst.Interface().(type) {
		case Time, *Sealed, json.RawMessage:
			dst.SetZero()
			return
		}
		if !f.patch || !def.IsValid() {
			f.fault("must not be null")
			return
		}
		dst.Set(clone(def))
		return
	}
	switch p := dst.Addr().Interface().(type) {
	case *Time:
		f.fillTime(n, p)
	case *Duration:
		f.fillDuration(n, p)
	case *json.RawMessage:
		if f.want(n, objectKind) {
			*p = n.raw()
		}
	case *map[string]string:
		f.fillTexts(n, p)
	case *map[string]json.RawMessage:
		f.fillSettings(n, p)
	default:
		f.fillKind(n, dst, def)
	}
}

func (f *form) fillKind(n *node, dst, def reflect.Value) {
	switch dst.Kind() {
	case reflect.Pointer:
		if f.want(n, objectKind) {
			dst.Set(reflect.New(dst.Type().Elem()))
			f.fill(n, dst.Elem(), reflect.Value{})
		}
	case reflect.Struct:
		f.fillStruct(n, dst, def)
	case reflect.Slice:
		if !f.want(n, listKind) {
			return
		}
		dst.Set(reflect.MakeSlice(dst.Type(), len(n.items), len(n.items)))
		for i, item := range n.items {
			f.where.at(i)
			if item.kind == nullKind {
				f.fault("must not be null")
			} else {
				f.fill(item, dst.Index(i), reflect.Value{})
			}
			f.where.leave()
		}
	case reflect.String:
		if f.want(n, stringKind) {
			f.text(n.text)
			dst.SetString(n.text)
		}
	case reflect.Bool:
		if f.want(n, boolKind) {
			dst.SetBool(n.text == "true")
		}
	case reflect.Int:
		if f.want(n, numberKind) {
			i, err := strconv.ParseInt(n.text, 10, 32)
			if err != nil {
				f.fault("must be a whole number below 2^31")
			}
			dst.SetInt(i)
		}
	case reflect.Uint64:
		if f.want(n, numberKind) {
			u, err := strconv.ParseUint(n.text, 10, 64)
			if err != nil {
				f.fault("must be a whole number, not negative")
			}
			dst.SetUint(u)
		}
	default:
		panic(fmt.Sprintf("store: a document cannot hold a %s", dst.Type()))
	}
}

func (f *form) fillStruct(n *node, dst, def reflect.Value) {
	if !f.want(n, objectKind) {
		return
	}
	fields := fieldsOf(dst.Type())
	for _, m := range n.members {
		f.where.enter(m.name)
		i := slices.IndexFunc(fields, func(x field) bool { return x.name == m.name })
		if i < 0 && len(f.faults) > maxFaults {
			// not listed: spare the search for a better name
		} else if i < 0 {
			f.fault("unknown field%s", didYouMean(m.name, fieldNames(dst.Type())))
		} else {
			d := def
			if d.IsValid() {
				d = d.FieldByIndex(fields[i].index)
			}
			f.fill(m.value, dst.FieldByIndex(fields[i].index), d)
		}
		f.where.leave()
	}
}

func (f *form) fillTime(n *node, t *Time) {
	if n.kind != stringKind || len(n.text) > maxValueText {
		f.fault("must be a time such as 2026-01-05T10:00:00Z")
	} else if err := t.UnmarshalJSON(appendString(nil, n.text)); err != nil {
		f.fault("%v", err)
	}
}

func (f *form) fillDuration(n *node, d *Duration) {
	if n.kind != stringKind && n.kind != numberKind || len(n.text) > maxValueText {
		f.fault("must be a duration such as 15m, or whole seconds")
		return
	}
	f.want(n, n.kind)
	text := []byte(n.text)
	if n.kind == stringKind {
		text = appendString(nil, n.text)
	}
	if err := d.UnmarshalJSON(text); err != nil {
		f.fault("%v", err)
	}
}

// fillTexts merges labels or annotations: null takes a key away.
func (f *form) fillTexts(n *node, m *map[string]string) {
	if !f.want(n, objectKind) {
		return
	}
	all := map[string]string{}
	for k, v := range *m {
		all[k] = v
	}
	for _, x := range n.members {
		f.where.enter(x.name)
		switch {
		case x.value.kind == nullKind && f.patch:
			delete(all, x.name)
		case f.want(x.value, stringKind):
			f.text(x.value.text)
			all[x.name] = x.value.text
		}
		f.where.leave()
	}
	*m = all
}

// text refuses what would disturb whoever sees a string of a document on a
// terminal or a consent page: control characters and those that turn the
// direction of writing. Annotations are for machines and may have lines.
func (f *form) text(s string) {
	lines := len(f.where) > 0 && f.where[0].name == "annotations"
	if r, bad := firstControl(s, lines); bad {
		f.fault("has the control character U+%04X", r)
	}
}

func firstControl(s string, lines bool) (rune, bool) {
	for _, r := range s {
		if lines && (r == '\n' || r == '\t') {
			continue
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return r, true
		}
	}
	return 0, false
}

// clone is a deep copy in which no list and no map is nil, so that two documents
// that encode alike are alike.
func clone(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			c.FieldByIndex(f.index).Set(clone(v.FieldByIndex(f.index)))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			c.Set(clone(v.Elem()).Addr())
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			if !v.IsNil() {
				c.SetBytes(slices.Clone(v.Bytes()))
			}
			break
		}
		c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			c.Index(i).Set(clone(v.Index(i)))
		}
	case reflect.Map:
		c.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for _, k := range v.MapKeys() {
			c.SetMapIndex(k, clone(v.MapIndex(k)))
		}
	}
	return c
}

// cloneDoc returns a deep copy of a document.
func cloneDoc[T any](doc *T) *T {
	c := clone(reflect.ValueOf(doc).Elem()).Interface().(T)
	return &c
}

// What follows are the rules that several kinds share.

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
	labelForm = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$`)
	actorForm = regexp.MustCompile(`^(?:system|unix/[0-9]{1,10}|(?:node|admin|operator|reader)/[!-~]{1,128})$`)
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
	seen := make(map[string]bool, len(items))
	for i, s := range items {
		at := path + "[" + strconv.Itoa(i) + "]"
		if seen[s] {
			fs.add(at, "%s is in the list already", quote(s))
			continue
		}
		seen[s] = true
		fs.addErr(at, check(s))
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
		if len(k) > maxLabel || !labelForm.MatchString(k) {
			fs.add(at, `key must be 1 to %d of A-Z, a-z, 0-9, ".", "_", "/" and "-", the first and last a letter or digit`, maxLabel)
		}
		if n := utf8.RuneCountInString(labels[k]); n > maxLabel {
			fs.add(at, "has %d characters; at most %d are allowed", n, maxLabel)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		at := trail{{"annotations", -1}, {k, -1}}.String()
		if len(k) > 2*maxLabel+2 || !labelForm.MatchString(k) {
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
	if !actorForm.MatchString(m.UpdatedBy) {
		fs.add("updated_by", `must be "system", "unix/UID" or "ROLE/NAME"`)
	}
}

package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

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
	maps.Copy(all, *m)
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
	if visibleASCII(s) {
		return 0, false
	}
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

// visibleASCII reports whether a text is of visible ASCII and spaces, as most are.
func visibleASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
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

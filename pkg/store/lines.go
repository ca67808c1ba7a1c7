package store

import (
	"encoding/json"
	"reflect"
)

// readLines fills a document from its canonical form, line by line, which takes
// half of what parsing it does. It reports false for everything that it does not
// know at once, and then doc may be filled in part. What it accepts may still not be
// canonical: that Encode makes b of doc again is for the caller to see.
func readLines(b []byte, doc reflect.Value) bool {
	if !canonical(b) || !printable(b) {
		return false
	}
	fields, i := fieldsOf(doc.Type()), 0
	err := eachMember(b, func(name, value []byte) error {
		if i == len(fields) || string(name) != fields[i].name {
			return errNotCanonical
		}
		i++
		return readLine(value, doc.FieldByIndex(fields[i-1].index))
	})
	return err == nil && i == len(fields)
}

// printable reports whether a document is of visible ASCII, spaces and line breaks,
// without escapes: then none of its strings has a control character.
func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~' || c == '\\') && c != '\n' {
			return false
		}
	}
	return true
}

// readLine fills one member. No list and no map is nil afterwards, as with form.fill.
func readLine(value []byte, to reflect.Value) error {
	switch p := to.Addr().Interface().(type) {
	case *string:
		return readText(value, p)
	case *[]string:
		return readTexts(value, p)
	case *bool:
		return readBool(value, p)
	case *uint64:
		return readRevision(value, p)
	case *Time:
		return p.UnmarshalJSON(value)
	case *Duration:
		return readDuration(value, p)
	case *json.RawMessage:
		if string(value) == "null" {
			return nil
		}
	}
	switch {
	case to.Kind() == reflect.Slice && string(value) == "[]":
		to.Set(reflect.MakeSlice(to.Type(), 0, 0))
		return nil
	case to.Kind() == reflect.Map && string(value) == "{}":
		to.Set(reflect.MakeMap(to.Type()))
		return nil
	}
	var fm form
	if n := parse(value, len(value), &fm.faults); n != nil {
		fm.fill(n, to, reflect.Value{})
	}
	return fm.refusal("")
}

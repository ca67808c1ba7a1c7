package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzYAML: a document that is read is written as YAML that reads as the same.
func FuzzYAML(f *testing.F) {
	for _, s := range []string{"a: 1\nb: [x, {c: null}]\n", "- yes\n- 1e3\n- .inf\n- 0x10\n- 010\n", "a: &x {b: 1}\nc: *x\n", "a: |\n  two\n  lines\n", "? [a]\n: b\n", "a: 1\na: 2\n", "---\n--- {}\n",
		`{"a": "\u0000 \u2028", "": ["", " x", "#", "- a"], "y": -0.0}`, "a: !!binary AAAA\n", "a: 2026-01-05\n", "<<: {a: 1}\n", "\"\\uD800\"", "a:\n\tb: 1", "%YAML 9"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 4<<10 || !utf8.Valid(src) {
			return
		}
		env := &Env{In: bytes.NewReader(src)}
		doc, err := env.readDocument("-")
		if err != nil {
			if err.Error() == "" || strings.ContainsRune(err.Error(), '\x00') {
				t.Fatalf("%q: %q", src, err)
			}
			return
		}
		if !json.Valid(doc.json) {
			t.Fatalf("%q is read as %q, which is no JSON", src, doc.json)
		}
		text, err := toYAML(doc.json)
		if err != nil {
			t.Fatalf("%q is read as %q and cannot be written: %v", src, doc.json, err)
		}
		again, err := fromYAML(text)
		if err != nil || !sameJSON(t, again, doc.json) {
			t.Fatalf("%q is read as %q, written as %q, read again as %q, %v", src, doc.json, text, again, err)
		}
	})
}

// sameJSON compares values; a number may be written in another way.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatalf("%q, %q: %v", a, b, err)
	}
	return reflect.DeepEqual(x, y)
}

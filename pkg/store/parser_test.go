package store

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// texts are JSON at its edges, and what is just beyond them.
var texts = []string{
	`null`, `true`, `false`, `nul`, `truex`, ` null `, `null,`, ``, ` `, "\x00", `{`, `}`, `[`, `]`, `{}`, `[]`, `[ ]`, `{ }`, `[}`, `{]`,
	`0`, `-0`, `-`, `01`, `1.`, `.5`, `1.5`, `1e5`, `1E+5`, `1e-05`, `1e`, `1e+`, `+1`, `1 2`, `0x1`, `1.5.5`, `-1.25e+17`, `--1`,
	`""`, `"a`, `"`, `"\"`, `"\\"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\u00e4"`, `"\ud834\udd1e"`, `"\ud834"`, `"` + "\t" + `"`, `"` + "\x7f" + `"`, `"ä"`, "\"\xff\"", `"\u`, `"\`,
	`[1,2]`, `[1,]`, `[,1]`, `[1 2]`, `[1,,2]`, `[[],{}]`, `["a","b"]`, `{"a":1}`, `{"a":1,}`, `{,"a":1}`, `{"a"}`, `{"a":}`, `{"a" 1}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":1,"b":[{"c":null}]}`, `{"a":1}}`,
	strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), strings.Repeat(`{"a":`, 40), strings.Repeat("[", 1000),
}

// FuzzParser holds the parser to the library's: the same texts are JSON, and mean the same.
func FuzzParser(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
	f.Add(Encode(sampleClient()))
	f.Fuzz(func(t *testing.T, b []byte) { sameAsTheLibrary(t, b) })
}

// TestAParserCutAnywhere has every beginning of a document, and every document with one byte less.
func TestAParserCutAnywhere(t *testing.T) {
	b := Encode(sampleTenant())
	for i := range b {
		sameAsTheLibrary(t, b[:i])
		sameAsTheLibrary(t, append(bytes.Clone(b[:i]), b[i+1:]...))
	}
}

func sameAsTheLibrary(t *testing.T, b []byte) {
	t.Helper()
	var fs faults
	n := parse(b, len(b), &fs)
	if want := utf8.Valid(b) && !deeper(b, maxDepth) && json.Valid(b); (n != nil) != want {
		t.Fatalf("%q: parsed: %t, want %t (%v)", b, n != nil, want, fs)
	}
	if n == nil && len(fs) != 1 || len(fs) > 0 && n != nil && !strings.Contains(fs[0].Message, "twice") && !strings.Contains(fs[0].Message, "U+FFFD") && fs[0].Path == "" {
		t.Fatalf("%q: faults %v", b, fs)
	}
	if n == nil || len(fs) > 0 {
		return
	}
	if got, want := meaning(t, appendNode(nil, n, 0)), meaning(t, b); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q is read as %v, want %v", b, got, want)
	}
}

func meaning(t *testing.T, b []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return v
}

package config

import (
	"reflect"
	"testing"
)

func FuzzFile(f *testing.F) {
	whole, err := encode(&File{Current: "prod", Contexts: []Context{some("prod"), {Name: "0123", Servers: []string{"a:1"}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte("format_version: \"1.0\"\ncontexts:\n- name: a\n  tenant: .inf\n"))
	f.Add([]byte("format_version: \"1.0\"\ncontexts: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(file)
		if err != nil {
			return // not every text can be written, but none is written as another
		}
		if back, err := decode(again); err != nil || !reflect.DeepEqual(back, file) {
			t.Errorf("%q is written as %q: %v", b, again, err)
		}
	})
}

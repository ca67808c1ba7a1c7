package store

import (
	"strings"
	"testing"
)

// FuzzNames: a name has one file name, which is safe on every disk, and no other
// name has it, not even on a disk that ignores case.
func FuzzNames(f *testing.F) {
	for _, pair := range [][2]string{{"web", "Web"}, {"a%41", "aA"}, {".", "%2E"}, {"..", "."}, {"orders:read", "orders%3Aread"}, {"ß", "SS"}, {"\x00", "%00"},
		{strings.Repeat("W", maxName), strings.Repeat("w", maxName)}, {"K", "\u212a"}, {"", "a/../b"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []string{a, b} {
			file := EscapeName(name)
			if strings.Trim(file, "abcdefghijklmnopqrstuvwxyz0123456789._-%ABCDEF") != "" || strings.HasPrefix(file, ".") {
				t.Fatalf("EscapeName(%q) = %q, which is not safe", name, file)
			}
			back, err := UnescapeName(file)
			if legal := name != "" && len(file) <= 3*maxName; legal != (err == nil) || legal && back != name {
				t.Fatalf("UnescapeName(%q) = %q, %v, want %q", file, back, err, name)
			}
			if CheckClientID(name) == nil || CheckScopeName(name) == nil {
				if n := len(file + ".json"); err != nil || n > 255 {
					t.Fatalf("the legal name %q has the file name %q of %d bytes, %v", name, file, n, err)
				}
			}
			if back, err := UnescapeName(name); err == nil && EscapeName(back) != name {
				t.Fatalf("the file name %q is read as %q, which is written %q", name, back, EscapeName(back))
			}
			pathsHold(t, name)
		}
		if a != b && strings.EqualFold(EscapeName(a), EscapeName(b)) {
			t.Fatalf("%q and %q meet at %q", a, b, EscapeName(a))
		}
	})
}

// pathsHold checks that whatever passes for a name makes a path of its kind.
func pathsHold(t *testing.T, name string) {
	t.Helper()
	for _, r := range []Ref{{"tenant", name, ""}, {"keyset", name, ""}, {"jwks", name, ""}, {"client", "acme", name}, {"scope", "acme", name}} {
		if r.check() != nil {
			continue
		}
		if again, err := ParsePath(r.Path()); again != r || err != nil {
			t.Fatalf("%+v is at %q, which is read as %+v, %v", r, r.Path(), again, err)
		}
		if strings.Count(r.Path(), "/") > 3 || strings.Contains(r.Path(), "/.") {
			t.Fatalf("%+v is at %q", r, r.Path())
		}
	}
}

package reader

import (
	"math/rand/v2"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// The node has its own implementation: both must agree on every name.
func TestNamesAreThoseOfTheNode(t *testing.T) {
	var names []string
	for a := range 256 {
		names = append(names, string([]byte{byte(a)}))
		for b := range 256 {
			names = append(names, string([]byte{byte(a), byte(b)}), string([]byte{'a', byte(a), byte(b)}))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		b := make([]byte, random.IntN(90))
		for i := range b {
			b[i] = byte(random.IntN(256))
		}
		names = append(names, string(b))
	}
	for _, name := range names {
		if got, want := escape(name), store.EscapeName(name); got != want {
			t.Fatalf("escape(%q) = %q, the node's is %q", name, got, want)
		}
		if got, want := isSlug(name), store.CheckKeysetOwner(name) == nil; got != want {
			t.Fatalf("isSlug(%q) = %v, the node's is %v", name, got, want)
		}
		for _, file := range []string{escape(name), name} { // what is a file name, and what is none
			got, ok := unescape(file)
			want, err := store.UnescapeName(file)
			if legal := err == nil && len(want) <= maxName; ok != legal || ok && got != want {
				t.Fatalf("unescape(%q) = %q, %v; the node's is %q, %v", file, got, ok, want, err)
			}
		}
	}
	for _, bound := range []int{store.MaxDocument, store.MaxKeyset} {
		if bound > maxFile {
			t.Errorf("a file of the node may have %d bytes, more than %d", bound, maxFile)
		}
	}
}

package pki

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestKeyringFile(t *testing.T) {
	a, b := countingKey(), must[ClusterKey](t)(NewClusterKey())
	two := string(a.Encode()) + string(b.Encode())
	for _, c := range []struct {
		fact, file string
		keys       []ClusterKey // none: refused
	}{
		{"of one key, as ever", countingLine, []ClusterKey{a}},
		{"of two", two, []ClusterKey{a, b}},
		{"of two, the other way round", string(b.Encode()) + countingLine, []ClusterKey{b, a}},
		{"of two, without the final newline", strings.TrimSuffix(two, "\n"), []ClusterKey{a, b}},
		{"of three", two + string(must[ClusterKey](t)(NewClusterKey()).Encode()), nil},
		{"of the same key twice", countingLine + countingLine, nil},
		{"with an empty line between", string(a.Encode()) + "\n" + string(b.Encode()), nil},
		{"with two final newlines", two + "\n", nil},
		{"with a second line that is damaged", strings.Replace(two, b.ID(), a.ID(), 1), nil},
		{"with a first line that is damaged", strings.Replace(two, a.ID(), b.ID(), 1), nil},
		{"with carriage returns", strings.ReplaceAll(two, "\n", "\r\n"), nil},
		{"with a comment", "# a copy\n" + countingLine, nil},
		{"empty", "", nil},
	} {
		t.Run(c.fact, func(t *testing.T) {
			r, err := ParseKeyring([]byte(c.file))
			if c.keys == nil {
				wantError(t, err, store.CodeIntegrity, "cluster key")
				if r != (Keyring{}) || strings.Contains(err.Error(), "CAwQFBg") {
					t.Errorf("a key or a part of it beside the error: %v", err)
				}
				return
			}
			if err != nil || r != NewKeyring(c.keys[0], c.keys[1:]...) || r.First() != c.keys[0] || len(r.Keys()) != len(c.keys) {
				t.Fatalf("keys %v, error %v", r, err)
			}
			if got := string(r.Encode()); strings.TrimSuffix(got, "\n") != strings.TrimSuffix(c.file, "\n") {
				t.Errorf("it is written as %q", got)
			}
		})
	}
}

func TestAKeyringOpensWithTheKeyThatIsNamed(t *testing.T) {
	a, b, other := must[ClusterKey](t)(NewClusterKey()), must[ClusterKey](t)(NewClusterKey()), must[ClusterKey](t)(NewClusterKey())
	place := []string{"cpctl signing key", "acme", "kid1", "ES256"}
	seal := func(k ClusterKey) store.Sealed { return must[store.Sealed](t)(k.Seal([]byte("private"), place...)) }
	for _, r := range []Keyring{NewKeyring(a, b), NewKeyring(b, a)} {
		for _, k := range []ClusterKey{a, b} {
			if got, err := r.Open(seal(k), place...); string(got) != "private" {
				t.Errorf("%v opened %q under %s: %v", r, got, k.ID(), err)
			}
			_, err := r.Open(seal(k), "cpctl signing key", "globex", "kid1", "ES256")
			wantError(t, err, store.CodeIntegrity, "another place")
			_, err = r.Open(seal(k), "cpctl signing key", "acme", "kid2", "ES256")
			wantError(t, err, store.CodeIntegrity, "another place")
		}
		_, err := r.Open(seal(other), place...)
		wantError(t, err, store.CodeIntegrity, other.ID())
		s := seal(a)
		s.KeyID = b.ID()
		_, err = r.Open(s, place...)
		wantError(t, err, store.CodeIntegrity, "does not open")
	}
	_, err := NewKeyring(a).Open(seal(other), place...)
	wantError(t, err, store.CodeIntegrity, other.ID())
	if _, ok := NewKeyring(a, b).Key(a.ID(), b.Check()); ok {
		t.Error("a key is known by its id alone, of which there are 64 bits")
	}
}

func TestAKeyringIsNeverPrinted(t *testing.T) {
	r, request := NewKeyring(countingKey()), RequestKey(bytes.Repeat([]byte("\x04\x05"), 32))
	for _, s := range []string{
		fmt.Sprint(r), fmt.Sprintf("%v %+v %#v %x %d %s", r, r, r, r, r, r), string(must[[]byte](t)(json.Marshal(r))),
		fmt.Sprint(request), fmt.Sprintf("%v %+v %#v %x %d %s", request, request, request, request, request, request), string(must[[]byte](t)(json.Marshal(request))),
	} {
		if strings.Contains(s, "0405") || strings.Contains(s, "4 5") || strings.Contains(s, "0x4") || strings.Contains(s, "CAwQFBg") || strings.Contains(s, "BAUEB") {
			t.Errorf("a key is in %q", s)
		}
		if !strings.Contains(s, "[cluster key baf3b546dddf8cce]") && !strings.Contains(s, "[request key]") {
			t.Errorf("%q does not name the key", s)
		}
	}
}

// TestTheRequestKeyOfAnOlderClusterMakesTheSameDigests: those of clusters that
// were founded without one came from the cluster key itself.
func TestTheRequestKeyOfAnOlderClusterMakesTheSameDigests(t *testing.T) {
	k := countingKey()
	r := k.RequestKey()
	if r.Write([]byte("data")) != k.MAC("request", []byte("data")) || r.Restore([]byte("data")) != k.MAC("restore", []byte("data")) {
		t.Error("a digest changed")
	}
	if again := must[RequestKey](t)(ParseRequestKey(r[:])); again != r {
		t.Error("it does not come back")
	}
	_, err := ParseRequestKey(r[1:])
	wantError(t, err, store.CodeIntegrity, "request key")
	a, b := must[RequestKey](t)(NewRequestKey()), must[RequestKey](t)(NewRequestKey())
	if a == b || a.Write(nil) == a.Restore(nil) {
		t.Error("two keys are the same")
	}
}

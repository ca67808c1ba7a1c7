package pki

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// countingKey is 00 01 02 ... 1f. The values beside it were computed with
// another implementation of HKDF, HMAC and GCM: what is on disk must open for ever.
func countingKey() (k ClusterKey) {
	for i := range k {
		k[i] = byte(i)
	}
	return k
}

const countingLine = "cpctl-cluster-key-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8:baf3b546dddf8cce\n"

func TestClusterKeyVectors(t *testing.T) {
	k := countingKey()
	mac := k.MAC("audit", []byte("data"))
	for _, c := range []struct{ fact, got, want string }{
		{"id", k.ID(), "baf3b546dddf8cce"},
		{"check value", k.Check(), "938b2878b289d0e1467f1624ae1641a97221b86b1f4a2330c745ab4630483baf"},
		{"MAC", hex.EncodeToString(mac[:]), "d65fa5917e011c201589413127eaa91711a1fc4106f2cd861ce31e7f65ea76d7"},
		{"line", string(k.Encode()), countingLine},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.fact, c.got, c.want)
		}
	}
	sealed := store.Sealed{Enc: "A256GCM", KeyID: k.ID(), Nonce: "AAAAAAAAAAAAAAAA", Ciphertext: "gYvjc3l9zNIDr26Hwn0BWS9YTJnW"}
	if plain, err := k.Open(sealed, "acme", "kid1", "ES256"); string(plain) != "plain" {
		t.Errorf("opened %q (%v), want %q", plain, err, "plain")
	}
}

func TestClusterKeysDiffer(t *testing.T) {
	a, b := must[ClusterKey](t)(NewClusterKey()), must[ClusterKey](t)(NewClusterKey())
	if a == b || a == (ClusterKey{}) {
		t.Fatalf("two draws gave %x and %x", a[:], b[:])
	}
	if a.ID() == b.ID() || a.Check() == b.Check() {
		t.Error("two keys share an id or a check value")
	}
	if a.MAC("x", nil) == a.MAC("y", nil) || a.MAC("x", nil) == b.MAC("x", nil) {
		t.Error("a MAC does not depend on its label and key")
	}
}

func TestClusterKeyLine(t *testing.T) {
	for _, c := range []struct {
		fact, line string
		ok         bool
	}{
		{"as it is written", countingLine, true},
		{"without the final newline", strings.TrimSuffix(countingLine, "\n"), true},
		{"with two final newlines", countingLine + "\n", false},
		{"with a carriage return", strings.Replace(countingLine, "\n", "\r\n", 1), false},
		{"with a line break inside", strings.Replace(countingLine, "AAEC", "AA\nEC", 1), false},
		{"empty", "", false},
		{"of another version", strings.Replace(countingLine, "key-1", "key-2", 1), false},
		{"with one letter changed", strings.Replace(countingLine, "AAEC", "AAED", 1), false},
		{"with stray bits at the end", strings.Replace(countingLine, "Hh8:", "Hh9:", 1), false},
		{"cut short", countingLine[:40], false},
		{"without its id", countingLine[:64], false},
		{"with padding", strings.Replace(countingLine, "Hh8:", "Hh8=:", 1), false},
		{"a byte too short", "cpctl-cluster-key-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg:baf3b546dddf8cce", false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			k, err := ParseClusterKey([]byte(c.line))
			if c.ok {
				if err != nil || k != countingKey() {
					t.Errorf("key %v, error %v", k, err)
				}
				return
			}
			wantError(t, err, store.CodeIntegrity, "cluster key")
			if k != (ClusterKey{}) || strings.Contains(err.Error(), "CAwQFBg") {
				t.Errorf("a key or a part of it beside the error: %v", err)
			}
		})
	}
}

func TestClusterKeyIsNeverPrinted(t *testing.T) {
	k := countingKey()
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "key", k)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "key", k, "in", struct{ K ClusterKey }{k})
	for _, s := range []string{
		fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %x %d %s %q", k, k, k, k, k, k, k), fmt.Sprintf("%v", struct{ K ClusterKey }{k}),
		fmt.Sprintf("%x", &k), string(must[[]byte](t)(json.Marshal(k))), logged.String(),
	} {
		if strings.Contains(s, "0405") || strings.Contains(s, "4 5") || strings.Contains(s, "0x4, 0x5") || strings.Contains(s, "CAwQFBg") || strings.Contains(s, "4,5") {
			t.Errorf("the key is in %q", s)
		}
		if !strings.Contains(s, "[cluster key baf3b546dddf8cce]") {
			t.Errorf("%q does not name the key", s)
		}
	}
}

func TestSealedValueOpensInItsPlaceOnly(t *testing.T) {
	k, other := must[ClusterKey](t)(NewClusterKey()), must[ClusterKey](t)(NewClusterKey())
	plain := []byte("a private key")
	sealed := must[store.Sealed](t)(k.Seal(plain, "acme", "kid1", "ES256"))
	if got := must[[]byte](t)(k.Open(sealed, "acme", "kid1", "ES256")); !bytes.Equal(got, plain) {
		t.Fatalf("opened %q, want %q", got, plain)
	}
	with := func(edit func(*store.Sealed)) store.Sealed { s := sealed; edit(&s); return s }
	flip := func(s string, at int) string {
		b := must[[]byte](t)(base64.RawURLEncoding.DecodeString(s))
		b[at] ^= 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	for _, c := range []struct {
		fact string
		key  ClusterKey
		s    store.Sealed
		aad  []string
		says string
	}{
		{"of another tenant", k, sealed, []string{"globex", "kid1", "ES256"}, "another place"},
		{"of another kid", k, sealed, []string{"acme", "kid2", "ES256"}, "another place"},
		{"of another algorithm", k, sealed, []string{"acme", "kid1", "ES384"}, "another place"},
		{"with a byte moved between the parts", k, sealed, []string{"acmek", "id1", "ES256"}, "another place"},
		{"with two parts made one", k, sealed, []string{"acmekid1", "ES256"}, "another place"},
		{"with an empty part more", k, sealed, []string{"acme", "kid1", "ES256", ""}, "another place"},
		{"with no place", k, sealed, nil, "another place"},
		{"under another key", other, sealed, []string{"acme", "kid1", "ES256"}, "sealed under the cluster key"},
		{"under another key that bears its id", other, with(func(s *store.Sealed) { s.KeyID = other.ID() }), []string{"acme", "kid1", "ES256"}, "does not open"},
		{"with another cipher", k, with(func(s *store.Sealed) { s.Enc = "A128GCM" }), []string{"acme", "kid1", "ES256"}, "does not know"},
		{"with another nonce", k, with(func(s *store.Sealed) { s.Nonce = flip(s.Nonce, 0) }), []string{"acme", "kid1", "ES256"}, "does not open"},
		{"with a short nonce", k, with(func(s *store.Sealed) { s.Nonce = s.Nonce[4:] }), []string{"acme", "kid1", "ES256"}, "no nonce"},
		{"with a bit changed at the front", k, with(func(s *store.Sealed) { s.Ciphertext = flip(s.Ciphertext, 0) }), []string{"acme", "kid1", "ES256"}, "does not open"},
		{"with a bit of the tag changed", k, with(func(s *store.Sealed) { s.Ciphertext = flip(s.Ciphertext, len(plain)+15) }), []string{"acme", "kid1", "ES256"}, "does not open"},
		{"with no text", k, with(func(s *store.Sealed) { s.Ciphertext = "" }), []string{"acme", "kid1", "ES256"}, "does not open"},
		{"with a line break in it", k, with(func(s *store.Sealed) { s.Ciphertext = s.Ciphertext[:4] + "\n" + s.Ciphertext[4:] }), []string{"acme", "kid1", "ES256"}, "not base64url"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			got, err := c.key.Open(c.s, c.aad...)
			wantError(t, err, store.CodeIntegrity, c.says)
			if got != nil {
				t.Errorf("opened %q beside the error", got)
			}
		})
	}
}

func TestSealTwiceDiffers(t *testing.T) {
	k := countingKey()
	a, b := must[store.Sealed](t)(k.Seal([]byte("x"))), must[store.Sealed](t)(k.Seal([]byte("x")))
	if a.Nonce == b.Nonce || a.Ciphertext == b.Ciphertext {
		t.Errorf("two seals of one text: %+v and %+v", a, b)
	}
}

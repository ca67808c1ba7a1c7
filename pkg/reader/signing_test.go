package reader

import (
	"bytes"
	"crypto"
	"encoding/json"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestAnExportedKeyIsRead(t *testing.T) {
	for _, alg := range store.SigningAlgs {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			kid, public, private, err := pki.GenerateKey(alg)
			if err != nil {
				t.Fatal(err)
			}
			jwk, err := pki.PrivateJWK(kid, alg, private)
			if err != nil {
				t.Fatal(err)
			}
			k, err := ParseSigningKey(jwk)
			if err != nil {
				t.Fatal(err)
			}
			if k.KID != kid || k.Alg != alg {
				t.Errorf("kid %q, alg %q; want %q, %q", k.KID, k.Alg, kid, alg)
			}
			digest := crypto.SHA256
			if alg == "EdDSA" {
				digest = 0
			}
			if _, err := k.Key.Sign(nil, make([]byte, 32), digest); err != nil && alg != "PS256" {
				t.Error(err)
			}
			var members map[string]any
			if err := json.Unmarshal(jwk, &members); err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]any{"d": nil, "kid": "", "use": "enc", "alg": "HS256", "kty": "oct", "x": "AAAA", "n": "AAAA"} {
				if _, there := members[name]; !there {
					continue
				}
				changed := map[string]any{}
				for n, v := range members {
					changed[n] = v
				}
				changed[name] = value
				b, err := json.Marshal(changed)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := ParseSigningKey(b); err == nil {
					t.Errorf("it is a key with %s %v", name, value)
				} else if d, _ := members["d"].(string); strings.Contains(err.Error(), d) {
					t.Error("the error shows the private part")
				}
			}
			if _, err := ParseSigningKey(public); err == nil {
				t.Error("the public key signs")
			}
			if _, err := ParseSigningKey(bytes.TrimRight(jwk, "}\n")); err == nil {
				t.Error("half a key signs")
			}
		})
	}
}

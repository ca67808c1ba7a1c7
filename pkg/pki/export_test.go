package pki

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestAnExportedKeyIsThePublicOneWithItsPrivateHalf(t *testing.T) {
	for _, alg := range store.SigningAlgs {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			kid, public, private, err := GenerateKey(alg)
			if err != nil {
				t.Fatal(err)
			}
			b := must[[]byte](t)(PrivateJWK(kid, alg, private))
			var whole, half map[string]string
			if err := json.Unmarshal(public, &half); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &whole); err != nil || b[len(b)-1] != '\n' {
				t.Fatalf("%q: %v", b, err)
			}
			for name, value := range half {
				if whole[name] != value {
					t.Errorf("%s is %q, in the public key %q", name, whole[name], value)
				}
			}
			if whole["d"] == "" || half["d"] != "" {
				t.Error("the private half is not where it belongs")
			}
			var jwk jose.JSONWebKey
			if err := json.Unmarshal(b, &jwk); err != nil || jwk.IsPublic() || !jwk.Valid() {
				t.Errorf("it is no private JWK: %v", err)
			}
		})
	}
}

func TestAKeyUnderAnotherNameIsNotExported(t *testing.T) {
	kid, _, _, err := GenerateKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	_, _, other, err := GenerateKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	_, err = PrivateJWK(kid, "EdDSA", other)
	wantError(t, err, store.CodeIntegrity, "is of another key")
	_, err = PrivateJWK(kid, "EdDSA", bytes.Repeat([]byte{1}, 40))
	wantError(t, err, store.CodeIntegrity, "cannot be read")
}

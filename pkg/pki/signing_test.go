package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"regexp"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestGeneratedKeySignsWhatItsPublicPartVerifies(t *testing.T) {
	for _, c := range []struct{ alg, form string }{
		{"RS256", `^\{"kty":"RSA","n":"[\w-]{342}","e":"AQAB","kid":"[\w-]{43}","use":"sig","alg":"RS256"\}$`},
		{"PS256", `^\{"kty":"RSA","n":"[\w-]{342}","e":"AQAB","kid":"[\w-]{43}","use":"sig","alg":"PS256"\}$`},
		{"ES256", `^\{"kty":"EC","crv":"P-256","x":"[\w-]{43}","y":"[\w-]{43}","kid":"[\w-]{43}","use":"sig","alg":"ES256"\}$`},
		{"ES384", `^\{"kty":"EC","crv":"P-384","x":"[\w-]{64}","y":"[\w-]{64}","kid":"[\w-]{43}","use":"sig","alg":"ES384"\}$`},
		{"EdDSA", `^\{"kty":"OKP","crv":"Ed25519","x":"[\w-]{43}","kid":"[\w-]{43}","use":"sig","alg":"EdDSA"\}$`},
	} {
		t.Run(c.alg, func(t *testing.T) {
			t.Parallel()
			kid, public, private, err := GenerateKey(c.alg)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(c.form).Match(public) {
				t.Errorf("public key %s, want the form %s", public, c.form)
			}
			var jwk jose.JSONWebKey
			if err := json.Unmarshal(public, &jwk); err != nil {
				t.Fatal(err)
			}
			if jwk.KeyID != kid || !jwk.IsPublic() || !jwk.Valid() {
				t.Errorf("kid %q, in the key %q; public %v, valid %v", kid, jwk.KeyID, jwk.IsPublic(), jwk.Valid())
			}
			key := must[any](t)(x509.ParsePKCS8PrivateKey(private))
			alg := jose.SignatureAlgorithm(c.alg)
			signer := must[jose.Signer](t)(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil))
			signed := must[*jose.JSONWebSignature](t)(signer.Sign([]byte("claims")))
			token := must[string](t)(signed.CompactSerialize())
			parsed := must[*jose.JSONWebSignature](t)(jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg}))
			if got, err := parsed.Verify(jwk); string(got) != "claims" {
				t.Errorf("verified %q (%v), want %q", got, err, "claims")
			}
		})
	}
}

func TestUnknownAlgorithm(t *testing.T) {
	for _, alg := range []string{"", "none", "HS256", "RS512", "ES512", "rs256", "Ed25519"} {
		kid, public, private, err := GenerateKey(alg)
		wantError(t, err, store.CodeInvalid, "unknown algorithm")
		if kid != "" || public != nil || private != nil {
			t.Errorf("%q: a key beside the error", alg)
		}
	}
}

func TestKIDVectors(t *testing.T) {
	for _, c := range []struct{ fact, jwk, alg, kid string }{
		{"RFC 7638 section 3.1", `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"}`,
			"RS256", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037 appendix A.3", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"EdDSA", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			var jwk jose.JSONWebKey
			if err := json.Unmarshal([]byte(c.jwk), &jwk); err != nil {
				t.Fatal(err)
			}
			kid, public, err := encodePublic(jwk.Key, c.alg)
			want := c.jwk[:len(c.jwk)-1] + `,"kid":"` + c.kid + `","use":"sig","alg":"` + c.alg + `"}`
			if err != nil || kid != c.kid || string(public) != want {
				t.Errorf("kid %s, key %s (%v), want %s, %s", kid, public, err, c.kid, want)
			}
		})
	}
}

// One key in 256 has a coordinate that begins with a zero byte; without it the
// thumbprint would be another, RFC 7518 section 6.2.1.2.
func TestCoordinatesHaveFixedWidth(t *testing.T) {
	for d := int64(1); d < 5000; d++ {
		key := must[*ecdsa.PrivateKey](t)(ecdsa.ParseRawPrivateKey(elliptic.P256(), big.NewInt(d).FillBytes(make([]byte, 32))))
		point := must[[]byte](t)(key.PublicKey.Bytes()) // 4, x, y
		if point[1] != 0 {
			continue
		}
		_, public, err := encodePublic(key.Public(), "ES256")
		if err != nil {
			t.Fatal(err)
		}
		var members struct{ X string }
		if err := json.Unmarshal(public, &members); err != nil || len(members.X) != 43 || members.X[0] != 'A' {
			t.Errorf("x = %q (%v), want 43 characters that begin with A", members.X, err)
		}
		return
	}
	t.Fatal("no such key among the first 5000")
}

func TestEncodeKeyPEMRefusesWhatIsNoKey(t *testing.T) {
	if _, err := EncodeKeyPEM(hardware{}); err == nil {
		t.Error("a key that cannot leave its device was encoded")
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := EncodeKeyPEM(key); err != nil || string(b[:27]) != "-----BEGIN PRIVATE KEY-----" {
		t.Errorf("%q (%v)", b, err)
	}
}

type hardware struct{ crypto.Signer }

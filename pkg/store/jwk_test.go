package store

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// The key of RFC 7638 section 3.1 and that of RFC 8037 appendix A.2.
const (
	rfc7638Key = `{"kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}`
	rfc7638Sum = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
	rfc8037Key = `{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	rfc8037Sum = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
)

func TestThumbprintVectors(t *testing.T) {
	for _, c := range []struct{ source, key, want string }{
		{"RFC 7638 section 3.1", rfc7638Key, rfc7638Sum},
		{"RFC 8037 appendix A.3", rfc8037Key, rfc8037Sum},
	} {
		if got, err := Thumbprint([]byte(c.key)); got != c.want || err != nil {
			t.Errorf("%s: Thumbprint = %q, %v, want %q", c.source, got, err, c.want)
		}
	}
}

// publicJWK is a key as encoding/json has it, members sorted.
func publicJWK(t testing.TB, key any) string {
	t.Helper()
	b, err := (&jose.JSONWebKey{Key: key}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// narrowEC is a P-256 key whose x begins with a zero octet, spelt without it.
func narrowEC(t *testing.T) (full, narrow string) {
	for {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if x, y := b[1:33], b[33:]; x[0] == 0 {
			enc := base64.RawURLEncoding.EncodeToString
			jwk := `{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}`
			return fmt.Sprintf(jwk, enc(x), enc(y)), fmt.Sprintf(jwk, enc(x[1:]), enc(y))
		}
	}
}

func TestPublicJWKs(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wide, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	fullEC, shortEC := narrowEC(t)
	for _, c := range []struct {
		fact, jwk string
		ok        bool
	}{
		{"takes RSA of 2,048 bits", rfc7638Key, true},
		{"takes Ed25519", rfc8037Key, true},
		{"takes P-256", publicJWK(t, &private.PublicKey), true},
		{"takes P-384", publicJWK(t, &wide.PublicKey), true},
		{"takes an EC coordinate of full width", fullEC, true},
		{"refuses an EC coordinate without its leading zero", shortEC, false},
		{"refuses RSA of 1,024 bits", publicJWK(t, &small.PublicKey), false},
		{"refuses an even RSA exponent", strings.Replace(rfc7638Key, `"AQAB"`, `"AQAA"`, 1), false},
		{"refuses RSA with a leading zero octet", strings.Replace(rfc7638Key, `"AQAB"`, `"AAEAAQ"`, 1), false},
		{"refuses a private key", publicJWK(t, private), false},
		{"refuses one private member alone", strings.Replace(rfc8037Key, `"kty"`, `"d": "AA", "kty"`, 1), false},
		{"refuses a symmetric key", `{"kty": "oct", "k": "AAAA"}`, false},
		{"refuses an unknown type", `{"kty": "X"}`, false},
		{"refuses a key without a type", `{"crv": "Ed25519"}`, false},
		{"refuses a point off the curve", `{"kty": "EC", "crv": "P-256", "x": "` + strings.Repeat("A", 43) + `", "y": "` + strings.Repeat("A", 43) + `"}`, false},
		{"refuses padding", strings.Replace(rfc8037Key, `HURo"`, `HURo="`, 1), false},
		{"refuses loose last bits", strings.Replace(rfc8037Key, `HURo"`, `HURp"`, 1), false},
		{"refuses a member given twice", strings.Replace(rfc8037Key, `"kty"`, `"x": "AA", "kty"`, 1), false},
		{"refuses a list", `[]`, false},
		{"refuses null", `null`, false},
		{"refuses nothing", ``, false},
	} {
		if err := CheckPublicJWK([]byte(c.jwk)); (err == nil) != c.ok {
			t.Errorf("%s: err = %v", c.fact, err)
		}
		if sum, err := Thumbprint([]byte(c.jwk)); (err == nil) != c.ok || (sum == "") == c.ok {
			t.Errorf("%s: Thumbprint = %q, %v", c.fact, sum, err)
		}
	}
}

func TestEachAlgorithmHasItsKeys(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		jwk  string
		algs []string
	}{
		"RSA":     {rfc7638Key, []string{"RS256", "PS256"}},
		"P-256":   {publicJWK(t, &p256.PublicKey), []string{"ES256"}},
		"P-384":   {publicJWK(t, &p384.PublicKey), []string{"ES384"}},
		"Ed25519": {rfc8037Key, []string{"EdDSA"}},
	} {
		_, k, err := readJWK([]byte(c.jwk))
		if err != nil {
			t.Fatal(err)
		}
		for _, alg := range append([]string{"", "none", "HS256", "ES512"}, SigningAlgs...) {
			if got, want := keyFits(k, alg), contains(c.algs, alg); got != want {
				t.Errorf("%s for %q: %t, want %t", name, alg, got, want)
			}
		}
	}
}

// signingKey is a key of a keyset in the given state, its numbers made from n.
func signingKey(t testing.TB, n byte, state string) Key {
	t.Helper()
	public := ed25519.NewKeyFromSeed(append(make([]byte, 31), n)).Public()
	kid, err := Thumbprint([]byte(publicJWK(t, public)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := (&jose.JSONWebKey{Key: public, KeyID: kid, Use: "sig", Algorithm: "EdDSA"}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	k := Key{KID: kid, Alg: "EdDSA", State: state, PublicJWK: json.RawMessage(b), CreatedAt: 1, PublishedAt: 1}
	switch state {
	case KeyNext, KeyActive:
		k.PrivateKey = sampleSealed()
		if state == KeyActive {
			k.ActivatedAt = 2
		}
	case KeyRetiring:
		k.ActivatedAt, k.RetiringAt, k.VerifyUntil = 2, 3+Time(n), 100
	case KeyRevoked:
		k.RevokedAt, k.RevokeReason = 4, "leaked"
	}
	return k
}

func sampleSealed() *Sealed {
	return &Sealed{Enc: "A256GCM", KeyID: "7f3a", Nonce: strings.Repeat("A", 16), Ciphertext: strings.Repeat("A", 64)}
}

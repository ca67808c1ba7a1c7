package store

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of a public key.
const (
	minRSABits = 2048
	maxRSABits = 8192     // above it, checking a signature costs more than it tells
	maxJWK     = 16 << 10 // bytes
)

// privateMembers are those of RFC 7518 section 6 that a public key has not.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// keyMembers are those of RFC 7518 section 6 (and RFC 8037) that are the key.
var keyMembers = []string{"kty", "crv", "x", "y", "n", "e"}

// readJWK reads a public key and refuses a private one, a weak one, and one
// whose numbers are not spelt in the one way of RFC 7518 (fixed width for EC
// coordinates, no leading zero octets for RSA): the same key would have two
// thumbprints.
func readJWK(raw []byte) (*node, *jose.JSONWebKey, error) {
	var fs faults
	n := parse(raw, maxJWK, &fs)
	if len(fs) > 0 {
		return nil, nil, errors.New(fs[0].Message)
	}
	if n.kind != objectKind {
		return nil, nil, errors.New("must be a JWK object")
	}
	for _, name := range privateMembers {
		if n.get(name) != nil {
			return nil, nil, fmt.Errorf("must be a public key, but has the private member %q", name)
		}
	}
	if kty := n.get("kty"); kty == nil || kty.text != "RSA" && kty.text != "EC" && kty.text != "OKP" {
		return nil, nil, errors.New("must have kty RSA, EC or OKP")
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil {
		return nil, nil, fmt.Errorf("is not a usable JWK: %w", err)
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, nil, fmt.Errorf("has %d bits; RSA keys have %d to %d", bits, minRSABits, maxRSABits)
		}
		if key.E < 3 || key.E%2 == 0 {
			return nil, nil, errors.New("has an RSA exponent that is not an odd number from 3")
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, nil, errors.New("must be an RSA, EC or Ed25519 key")
	}
	spelt, err := (&jose.JSONWebKey{Key: k.Key}).MarshalJSON()
	if err != nil {
		return nil, nil, fmt.Errorf("is not a usable JWK: %w", err)
	}
	want := parse(spelt, len(spelt), &fs)
	for _, name := range keyMembers {
		got, want := n.get(name), want.get(name)
		if (got == nil) != (want == nil) || got != nil && got.text != want.text {
			return nil, nil, fmt.Errorf("does not have member %q in its one form", name)
		}
	}
	return n, &k, nil
}

// CheckPublicJWK refuses what is not a public RSA (at least 2048 bits), EC or
// Ed25519 key in JSON (RFC 7517, RFC 8037).
func CheckPublicJWK(jwk []byte) error {
	_, _, err := readJWK(jwk)
	return err
}

// Thumbprint is the RFC 7638 SHA-256 thumbprint of a public key, base64url
// without padding: the kid of a signing key.
func Thumbprint(jwk []byte) (string, error) {
	_, k, err := readJWK(jwk)
	if err != nil {
		return "", err
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// keyFits reports whether a key can sign with one of our algorithms (RFC 7518
// section 3.1, RFC 8037 section 3.1).
func keyFits(k *jose.JSONWebKey, alg string) bool {
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return alg == "RS256" || alg == "PS256"
	case *ecdsa.PublicKey:
		return alg == "ES256" && key.Curve.Params().Name == "P-256" ||
			alg == "ES384" && key.Curve.Params().Name == "P-384"
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// JWKS is keys/<slug>/jwks.json: an RFC 7517 set, as it is served.
type JWKS struct {
	Keys []json.RawMessage `json:"keys"`
}

// identity has nothing to compare: a JWKS does not say whose it is.
func (s *JWKS) identity(Ref, *faults) {}

func (s *JWKS) check(fs *faults) {
	if len(s.Keys) > maxLiveKeys {
		fs.add("keys", "has %d keys; at most %d are allowed", len(s.Keys), maxLiveKeys)
		return
	}
	seen := map[string]bool{}
	for i, raw := range s.Keys {
		at := fmt.Sprintf("keys[%d]", i)
		kid := checkSigningJWK(at, raw, "", fs)
		if kid != "" && seen[kid] {
			fs.add(at, "is the key of an earlier entry")
		}
		seen[kid] = true
	}
}

// checkSigningJWK judges one of our own published keys and returns its kid: the
// members of jwkOrder only, use "sig", alg (any of ours if alg is empty), and
// kid the thumbprint.
func checkSigningJWK(path string, raw []byte, alg string, fs *faults) string {
	n, k, err := readJWK(raw)
	if err != nil {
		fs.addErr(path, err)
		return ""
	}
	for _, m := range n.members {
		if !contains(jwkOrder, m.name) {
			fs.add(path, "must not have the member %s", quote(m.name))
		}
	}
	if k.Use != "sig" {
		fs.add(path, `must have use "sig"`)
	}
	switch {
	case alg != "" && k.Algorithm != alg:
		fs.add(path, "has alg %s, not %s", quote(k.Algorithm), quote(alg))
	case !keyFits(k, k.Algorithm):
		fs.add(path, "is not a key for alg %s", quote(k.Algorithm))
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		fs.addErr(path, err)
		return ""
	}
	kid := base64.RawURLEncoding.EncodeToString(sum)
	if k.KeyID != kid {
		fs.add(path, "has kid %s, but its RFC 7638 thumbprint is %s", quote(k.KeyID), kid)
	}
	return kid
}

// checkClientJWKS judges the key set of a client: 1 to maxClientKeys public keys.
func checkClientJWKS(raw []byte, fs *faults) {
	var inner faults
	n := parse(raw, MaxDocument, &inner)
	if len(inner) > 0 {
		fs.add("jwks", "%s", inner[0].Message)
		return
	}
	for _, m := range n.members {
		if m.name != "keys" {
			fs.add("jwks", "unknown field %s; a key set has keys only", quote(m.name))
		}
	}
	keys := n.get("keys")
	if keys == nil || keys.kind != listKind || len(keys.items) == 0 || len(keys.items) > maxClientKeys {
		fs.add("jwks.keys", "must be a list of 1 to %d public keys", maxClientKeys)
		return
	}
	seen := map[string]bool{}
	for i, key := range keys.items {
		at := fmt.Sprintf("jwks.keys[%d]", i)
		fs.addErr(at, CheckPublicJWK(key.raw()))
		if kid := key.get("kid"); kid != nil {
			if seen[kid.text] {
				fs.add(at, "has the kid of an earlier key")
			}
			seen[kid.text] = true
		}
	}
}

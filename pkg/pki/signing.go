package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/cpctl/cpctl/pkg/store"
)

// rsaBits is 2048 and not more: a signing key lives for months (the default is
// 90 days), 112 bits of strength are accepted until 2030 (NIST SP 800-57), every
// relying party takes them, and 3072 bits triple the cost of each signature and
// lengthen each token by 170 bytes. Who wants more strength wants ES256 or EdDSA.
const rsaBits = 2048

// GenerateKey makes a signing key: RS256 or PS256 (RSA 2048), ES256, ES384, or
// EdDSA (Ed25519). kid is the RFC 7638 SHA-256 thumbprint in base64url; the
// public key is compact JSON with the members kty, crv, x, y or n, e, then kid,
// use ("sig") and alg, in this order; the private key is PKCS#8 DER, to be
// sealed by the caller. An unknown alg is a *store.Error of CodeInvalid.
//
// One key in 64 has a kid that begins with "-": it is thrown away, since on a
// command line it would be a flag.
func GenerateKey(alg string) (kid string, publicJWK json.RawMessage, privatePKCS8 []byte, err error) {
	var private crypto.Signer
	for kid == "" || kid[0] == '-' {
		if private, err = generate(alg); err != nil {
			return "", nil, nil, err
		}
		if kid, publicJWK, err = encodePublic(private.Public(), alg); err != nil {
			return "", nil, nil, err
		}
	}
	if privatePKCS8, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return "", nil, nil, fmt.Errorf("encode %s key: %w", alg, err)
	}
	return kid, publicJWK, privatePKCS8, nil
}

func generate(alg string) (crypto.Signer, error) {
	switch jose.SignatureAlgorithm(alg) {
	case jose.RS256, jose.PS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, store.Errorf(store.CodeInvalid, "unknown algorithm %q", alg).
		WithHint("the algorithms are RS256, PS256, ES256, ES384 and EdDSA")
}

// encodePublic lets the library write the key and only puts the members into
// the order of the documents.
func encodePublic(public crypto.PublicKey, alg string) (kid string, jwk json.RawMessage, err error) {
	key := jose.JSONWebKey{Key: public}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", nil, fmt.Errorf("thumbprint of %s key: %w", alg, err)
	}
	raw, err := key.MarshalJSON()
	if err != nil {
		return "", nil, fmt.Errorf("encode %s key: %w", alg, err)
	}
	var members struct {
		Kty string `json:"kty"`
		Crv string `json:"crv,omitempty"`
		X   string `json:"x,omitempty"`
		Y   string `json:"y,omitempty"`
		N   string `json:"n,omitempty"`
		E   string `json:"e,omitempty"`
		KID string `json:"kid"`
		Use string `json:"use"`
		Alg string `json:"alg"`
	}
	if err := json.Unmarshal(raw, &members); err != nil {
		return "", nil, fmt.Errorf("encode %s key: %w", alg, err)
	}
	members.KID, members.Use, members.Alg = base64.RawURLEncoding.EncodeToString(sum), "sig", alg
	jwk, err = json.Marshal(members)
	return members.KID, jwk, err
}

package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"

	"github.com/go-jose/go-jose/v4"
)

// PrivateJWK is a private key for the process that signs with it: a JWK (RFC
// 7517) with kid, alg, use "sig" and the private members. It is the one standard
// form in which the key cannot be parted from the two members of a token's
// header that belong to it, and it is the public entry of jwks.json with its
// private half added. The key is PKCS #8, as it is sealed; one whose thumbprint
// is not the kid is a *store.Error of CodeIntegrity.
func PrivateJWK(kid, alg string, privatePKCS8 []byte) ([]byte, error) {
	key, err := x509.ParsePKCS8PrivateKey(privatePKCS8)
	if err != nil {
		return nil, damaged("the private part of key %q cannot be read", kid)
	}
	jwk := jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: "sig"}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil || base64.RawURLEncoding.EncodeToString(sum) != kid {
		return nil, damaged("the private part of key %q is of another key", kid)
	}
	flat, err := jwk.MarshalJSON()
	if err != nil {
		return nil, err
	}
	defer clear(flat)
	var b bytes.Buffer
	b.Grow(2*len(flat) + 1) // so that no copy is left behind
	if err := json.Indent(&b, flat, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

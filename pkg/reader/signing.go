package reader

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// SigningKey is what `cpctl key export` gives the process that signs: the
// private key with the two members of a token's header that belong to it.
type SigningKey struct {
	KID string
	Alg string        // RS256, PS256, ES256, ES384, EdDSA
	Key crypto.Signer // *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey
}

// ParseSigningKey reads a private JWK (RFC 7517) as `cpctl key export` writes it.
func ParseSigningKey(jwk []byte) (*SigningKey, error) {
	var k struct {
		Kty, Crv, Kid, Alg, Use string
		N, E, D, P, Q, X, Y     bytesURL
	}
	if err := json.Unmarshal(jwk, &k); err != nil {
		return nil, errors.New("a signing key that is no JWK") // encoding/json's error may show some of it
	}
	out := &SigningKey{KID: k.Kid, Alg: k.Alg}
	var err error
	switch k.Kty + " " + k.Alg {
	case "RSA RS256", "RSA PS256":
		out.Key, err = rsaKey(k.N, k.E, k.D, k.P, k.Q)
	case "EC ES256", "EC ES384":
		curve, name := elliptic.P256(), "P-256"
		if k.Alg == "ES384" {
			curve, name = elliptic.P384(), "P-384"
		}
		var private *ecdsa.PrivateKey
		if private, err = ecdsa.ParseRawPrivateKey(curve, k.D); err == nil {
			out.Key = private
			if public, e := private.PublicKey.Bytes(); e != nil || k.Crv != name || string(public[1:]) != string(k.X)+string(k.Y) {
				err = errors.New("its private part is of another key")
			}
		}
	case "OKP EdDSA":
		if k.Crv != "Ed25519" || len(k.D) != ed25519.SeedSize {
			err = errors.New("it is no Ed25519 key")
			break
		}
		private := ed25519.NewKeyFromSeed(k.D)
		if out.Key = private; string(private[ed25519.SeedSize:]) != string(k.X) {
			err = errors.New("its private part is of another key")
		}
	default:
		err = fmt.Errorf("kty %q does not go with alg %q", k.Kty, k.Alg)
	}
	if err == nil && (k.Kid == "" || k.Use != "sig") {
		err = errors.New(`it has no kid, or is not for use "sig"`)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key %q: %w", k.Kid, err)
	}
	return out, nil
}

func rsaKey(n, e, d, p, q bytesURL) (*rsa.PrivateKey, error) {
	number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	if len(e) == 0 || len(e) > 4 {
		return nil, errors.New("its public exponent is odd")
	}
	k := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: number(n), E: int(number(e).Int64())},
		D:         number(d), Primes: []*big.Int{number(p), number(q)},
	}
	if err := k.Validate(); err != nil {
		return nil, errors.New("its numbers do not make a key")
	}
	k.Precompute()
	return k, nil
}

// bytesURL is bytes in base64url without padding, as a JWK has them.
type bytesURL []byte

func (b *bytesURL) UnmarshalJSON(in []byte) error {
	var s string
	if err := json.Unmarshal(in, &s); err != nil {
		return err
	}
	out, err := decode(base64.RawURLEncoding, s)
	*b = out
	return err
}

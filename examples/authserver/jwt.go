package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384
	"encoding/base64"
	"encoding/json"

	"github.com/cpctl/cpctl/pkg/reader"
)

// sign makes a JWT in the compact form of a JWS (RFC 7515).
func sign(key *reader.SigningKey, claims map[string]any) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": key.Alg, "kid": key.KID, "typ": "at+jwt"})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(body)
	signature, err := signature(key, []byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), err
}

// signature is that of RFC 7518 section 3, or RFC 8037.
func signature(key *reader.SigningKey, text []byte) ([]byte, error) {
	hash := crypto.SHA256
	var options crypto.SignerOpts = hash
	switch key.Alg {
	case "EdDSA":
		return key.Key.Sign(rand.Reader, text, crypto.Hash(0))
	case "PS256":
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	case "ES384":
		hash = crypto.SHA384
	}
	h := hash.New()
	h.Write(text)
	digest := h.Sum(nil)
	ec, ok := key.Key.(*ecdsa.PrivateKey)
	if !ok {
		return key.Key.Sign(rand.Reader, digest, options)
	}
	r, s, err := ecdsa.Sign(rand.Reader, ec, digest)
	if err != nil {
		return nil, err
	}
	size := (ec.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}

package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
)

// NewCSR makes a key (ECDSA P-256) and a certificate request (PKCS#10 DER)
// signed with it, which proves possession. The name in the request is for
// people; the signer decides which identity it gives.
func NewCSR(name string) (csrDER []byte, key crypto.Signer, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csrDER, err = CSRFor(private, name)
	return csrDER, private, err
}

// CSRFor is a certificate request for a key that is there already.
func CSRFor(private crypto.Signer, name string) ([]byte, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}
	csrDER, err := x509.CreateCertificateRequest(rand.Reader, template, private)
	if err != nil {
		return nil, fmt.Errorf("make certificate request of %q: %w", name, err)
	}
	return csrDER, nil
}

// EncodeKeyPEM is the private key as a PEM block of PKCS#8, as Credentials hold
// it and a 0600 file keeps it.
func EncodeKeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// DecodeKeyPEM is the inverse of EncodeKeyPEM.
func DecodeKeyPEM(b []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it holds no private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign")
	}
	return signer, nil
}

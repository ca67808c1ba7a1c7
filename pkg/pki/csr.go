package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}
	if csrDER, err = x509.CreateCertificateRequest(rand.Reader, template, private); err != nil {
		return nil, nil, fmt.Errorf("make certificate request of %q: %w", name, err)
	}
	return csrDER, private, nil
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

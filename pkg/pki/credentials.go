package pki

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Check sees whether credentials are whole and belong together: the key to the
// certificate, the certificate to one of the authorities, whose own signatures hold. It
// returns the identity in the certificate, or an error and the usual name of the
// file that it is about: node.key, node.crt or ca.crt. Time plays no part.
func (c Credentials) Check() (id Identity, file string, err error) {
	cas, err := parseBundle(c.CAPEM)
	if err != nil {
		return id, "ca.crt", err
	}
	for _, ca := range cas {
		if err := ca.CheckSignatureFrom(ca); err != nil {
			return id, "ca.crt", err
		}
	}
	own, err := parseCertificate(c.CertPEM)
	if err != nil {
		return id, "node.crt", err
	}
	if !slices.ContainsFunc(cas, func(ca *x509.Certificate) bool { return own.CheckSignatureFrom(ca) == nil }) {
		return id, "node.crt", errors.New("it was not signed by the authority in ca.crt")
	}
	if id, err = IdentityOf(own); err != nil {
		return id, "node.crt", err
	}
	pair, err := tls.X509KeyPair(c.CertPEM, c.KeyPEM)
	if err != nil {
		return id, "node.key", fmt.Errorf("it is not the key of the certificate in node.crt: %w", err)
	}
	// The file also holds the public key, which nothing reads.
	if signer, ok := pair.PrivateKey.(crypto.Signer); ok {
		if b, err := EncodeKeyPEM(signer); err != nil || !bytes.Equal(b, c.KeyPEM) {
			return id, "node.key", errNotAsWritten
		}
	}
	return id, "", nil
}

// Identity is who the certificate names; nothing of it is verified.
func (c Credentials) Identity() (Identity, error) {
	cert, err := parseCertPEM(c.CertPEM)
	if err != nil {
		return Identity{}, denied("own certificate: %v", err)
	}
	return IdentityOf(cert)
}

// Term is from when to when the certificate is good, as its signer meant it: the
// few minutes before, which are there for clocks that differ, do not count.
func (c Credentials) Term() (issued, ends time.Time, err error) {
	cert, err := parseCertPEM(c.CertPEM)
	if err != nil {
		return issued, ends, denied("own certificate: %v", err)
	}
	return cert.NotBefore.Add(clockSkew), cert.NotAfter, nil
}

// Leaf is the certificate, parsed; nothing of it is verified.
func (c Credentials) Leaf() (*x509.Certificate, error) { return parseCertPEM(c.CertPEM) }

// SignedBy reports whether this authority has signed the certificate.
func (c Credentials) SignedBy(caPEM []byte) bool {
	own, err := parseCertPEM(c.CertPEM)
	if err != nil {
		return false
	}
	ca, err := parseCertPEM(caPEM)
	return err == nil && own.CheckSignatureFrom(ca) == nil
}

var errNotAsWritten = errors.New("it is not as it was written")

func parseCertificate(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it holds no certificate in PEM")
	}
	if !bytes.Equal(b, pem.EncodeToMemory(block)) {
		return nil, errNotAsWritten
	}
	return x509.ParseCertificate(block.Bytes)
}

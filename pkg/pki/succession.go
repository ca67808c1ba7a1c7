package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// An authority is followed by another one in three steps. First members come to
// trust both, then the new one signs and members renew, then the old one is
// forgotten. A bundle is the certificates of those that are trusted, PEM, the
// oldest first, so that it is the same before and after the second step.

// Bundle puts certificates of authorities together; empty ones are left out.
func Bundle(certsPEM ...[]byte) []byte { return bytes.Join(certsPEM, nil) }

// Share reports whether two bundles have an authority in common.
func Share(a, b []byte) bool {
	one, err := parseBundle(a)
	if err != nil {
		return false
	}
	other, err := parseBundle(b)
	if err != nil {
		return false
	}
	for _, x := range one {
		for _, y := range other {
			if x.Equal(y) {
				return true
			}
		}
	}
	return false
}

// Trusts reports whether one of the authorities in a bundle has signed a
// certificate.
func Trusts(bundle []byte, cert *x509.Certificate) bool {
	cas, err := parseBundle(bundle)
	if err != nil {
		return false
	}
	for _, ca := range cas {
		if cert.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// AuthorityID names an authority: 64 hex digits, the SHA-256 of its certificate.
// It is empty for what is no certificate.
func AuthorityID(certPEM []byte) string {
	cert, err := parseCertPEM(certPEM)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// BundleID names a bundle: 64 hex digits, the SHA-256 of its bytes.
func BundleID(bundle []byte) string {
	sum := sha256.Sum256(bundle)
	return hex.EncodeToString(sum[:])
}

// ID is the authority's AuthorityID.
func (a *Authority) ID() string { return AuthorityID(a.CertPEM()) }

// Introduce certifies the key of the next authority of the same cluster by this
// one, PEM. Who holds only this one's certificate, as people do who have not
// renewed theirs yet, verifies with it what the next one has signed.
func (a *Authority) Introduce(next *Authority, now time.Time) ([]byte, error) {
	if next.id != a.id {
		return nil, fmt.Errorf("the authority of cluster %s introduces none of cluster %s", a.id, next.id)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	end := next.cert.NotAfter
	if a.cert.NotAfter.Before(end) {
		end = a.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               next.cert.Subject,
		URIs:                  next.cert.URIs,
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, next.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("introduce the next authority: %w", err)
	}
	return certPEM(der), nil
}

// maxBundle bounds a bundle: the authority, and the one before or after it.
const maxBundle = 2

// parseBundle is strict: the bytes are those that Bundle has made.
func parseBundle(b []byte) (cas []*x509.Certificate, err error) {
	for rest := b; len(rest) > 0; {
		block, next := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("it holds no certificate in PEM")
		}
		if !bytes.Equal(rest[:len(rest)-len(next)], pem.EncodeToMemory(block)) {
			return nil, errNotAsWritten
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if cas = append(cas, ca); len(cas) > maxBundle {
			return nil, fmt.Errorf("it holds more than %d certificates", maxBundle)
		}
		rest = next
	}
	if len(cas) == 0 {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return cas, nil
}

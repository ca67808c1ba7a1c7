package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// clockSkew is how far a peer's clock may be behind the signer's before it
	// takes a fresh certificate for one of the future.
	clockSkew = 5 * time.Minute
)

// Authority is the certificate authority of one cluster: an ECDSA P-256 key
// and a certificate of ten years that names the cluster, cpctl://<cluster-id>.
// It signs members, and of authorities only the one that comes after it.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	id   string // of the cluster
}

// NewAuthority makes the authority of a new cluster.
func NewAuthority(clusterID string, now time.Time) (*Authority, error) {
	if !clusterIDForm.MatchString(clusterID) {
		return nil, fmt.Errorf("cluster id %q is not of the form [a-z0-9-]{1,63}", clusterID)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "cpctl cluster " + clusterID},
		URIs:                  []*url.URL{{Scheme: uriScheme, Host: clusterID}},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1, // its successor, see Introduce
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make cluster authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{cert: cert, key: key, id: clusterID}, nil
}

// LoadAuthority makes an authority of what CertPEM and PrivateKey gave. The
// error is a *store.Error of CodeIntegrity: the two come from replicated state.
func LoadAuthority(certPEM, keyPKCS8 []byte) (*Authority, error) {
	cert, err := parseCertPEM(certPEM)
	if err != nil {
		return nil, damaged("certificate of the cluster authority: %v", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyPKCS8)
	if err != nil {
		return nil, damaged("key of the cluster authority: %v", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok || !samePublic(key.Public(), cert.PublicKey) {
		return nil, damaged("the key is not that of the cluster authority's certificate")
	}
	if !cert.IsCA || len(cert.URIs) != 1 || cert.URIs[0].Scheme != uriScheme || !clusterIDForm.MatchString(cert.URIs[0].Host) {
		return nil, damaged("the certificate is not that of a cluster authority")
	}
	return &Authority{cert: cert, key: key, id: cert.URIs[0].Host}, nil
}

// CertPEM is the authority's certificate, which every member trusts.
func (a *Authority) CertPEM() []byte { return certPEM(a.cert.Raw) }

// PrivateKey is the authority's key as PKCS#8 DER. It leaves memory sealed only.
func (a *Authority) PrivateKey() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(a.key) }

// Sign certifies the key of a certificate request as id, from five minutes
// before now (clocks differ) for ttl, but no longer than the authority lives.
// Of the request only the key counts, once its holder proved to have it; every
// name in it is ignored. The serial, 128 random bits, is what revocation names.
// A request that is refused is a *store.Error of CodeInvalid.
func (a *Authority) Sign(csrDER []byte, id Identity, ttl time.Duration, now time.Time) (certificate []byte, serial string, err error) {
	csr, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		return nil, "", store.Errorf(store.CodeInvalid, "certificate request: %v", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, "", store.Errorf(store.CodeInvalid, "certificate request proves no possession of its key: %v", err)
	}
	if err := checkMemberKey(csr.PublicKey); err != nil {
		return nil, "", store.Errorf(store.CodeInvalid, "certificate request: %v", err)
	}
	if err := id.check(); err != nil {
		return nil, "", store.Errorf(store.CodeInvalid, "certificate of %s: %v", id, err)
	}
	if id.ClusterID != a.id {
		return nil, "", fmt.Errorf("the authority of cluster %s signs nothing for cluster %s", a.id, id.ClusterID)
	}
	end := now.Add(ttl)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	if ttl <= 0 || !end.After(now) {
		return nil, "", store.Errorf(store.CodeInvalid, "a certificate cannot end at %s, which is not after %s", end.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	name, err := url.Parse(id.uri())
	if err != nil {
		return nil, "", err
	}
	number, err := newSerial()
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{
		SerialNumber:          number,
		Subject:               pkix.Name{CommonName: id.Name},
		URIs:                  []*url.URL{name},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if id.Role == access.Node { // only nodes are ever dialled
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, csr.PublicKey, a.key)
	if err != nil {
		return nil, "", fmt.Errorf("sign certificate of %s: %w", id, err)
	}
	return certPEM(der), serialOf(number), nil
}

// checkMemberKey keeps out what is weak or slow: RSA of any size, and curves
// that few have reviewed.
func checkMemberKey(public any) error {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
	}
	return errors.New("the key must be ECDSA P-256, ECDSA P-384 or Ed25519")
}

// newSerial draws 128 bits, of which RFC 5280 section 4.1.2.2 takes up to 160.
func newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, err
	}
	return new(big.Int).SetBytes(b[:]), nil
}

func samePublic(a, b any) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func parseCertPEM(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM block of a certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func damaged(format string, args ...any) *store.Error {
	return store.Errorf(store.CodeIntegrity, format, args...)
}

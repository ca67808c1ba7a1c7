package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestAuthoritySurvivesStorage(t *testing.T) {
	a := newAuthority(t, testCluster)
	key := must[[]byte](t)(a.PrivateKey())
	b := must[*Authority](t)(LoadAuthority(a.CertPEM(), key))
	if !bytes.Equal(b.CertPEM(), a.CertPEM()) || !bytes.Equal(must[[]byte](t)(b.PrivateKey()), key) {
		t.Error("the loaded authority is another one")
	}
	creds, _ := member(t, b, node("n1"), time.Now())
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	cert := must[*x509.Certificate](t)(parseCertPEM(creds.CertPEM))
	if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		t.Errorf("what the loaded authority signs: %v", err)
	}
}

func TestAuthorityLivesTenYears(t *testing.T) {
	now := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	a := must[*Authority](t)(NewAuthority(testCluster, now))
	if got := a.cert.NotAfter.Sub(now); got != 10*365*24*time.Hour {
		t.Errorf("it lives %v", got)
	}
	if !a.cert.IsCA || a.cert.MaxPathLen != 1 || a.cert.KeyUsage&x509.KeyUsageDigitalSignature != 0 {
		t.Errorf("CA %v, path length %d, usage %b", a.cert.IsCA, a.cert.MaxPathLen, a.cert.KeyUsage)
	}
	for _, id := range []string{"", "Upper", "-x", "a/b", "a.b", "a b"} {
		if _, err := NewAuthority(id, now); err == nil {
			t.Errorf("cluster id %q is accepted", id)
		}
	}
}

func TestLoadAuthorityRefuses(t *testing.T) {
	a, b := newAuthority(t, testCluster), newAuthority(t, testCluster)
	key := must[[]byte](t)(a.PrivateKey())
	leaf, _ := member(t, a, node("n1"), time.Now())
	leafKey, _ := pem.Decode(leaf.KeyPEM)
	for _, c := range []struct {
		fact      string
		cert, key []byte
	}{
		{"another authority's key", b.CertPEM(), key},
		{"a member's certificate", leaf.CertPEM, leafKey.Bytes},
		{"no certificate", nil, key},
		{"a key in place of a certificate", leaf.KeyPEM, key},
		{"no key", a.CertPEM(), nil},
		{"half a key", a.CertPEM(), key[:len(key)/2]},
	} {
		t.Run(c.fact, func(t *testing.T) {
			_, err := LoadAuthority(c.cert, c.key)
			wantError(t, err, store.CodeIntegrity, "")
		})
	}
}

func TestSignTakesOnlyTheKeyFromTheRequest(t *testing.T) {
	private := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	csr := must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "root", Organization: []string{"others"}},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		URIs:        []*url.URL{{Scheme: "cpctl", Host: testCluster, Path: "/1/admin/-/root"}},
	}, private))
	now := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	a := must[*Authority](t)(NewAuthority(testCluster, now))
	certificate, serial, err := a.Sign(csr, operator("ana"), time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	cert := must[*x509.Certificate](t)(parseCertPEM(certificate))
	id := must[Identity](t)(IdentityOf(cert)) // refuses any further SAN
	if id.Role != access.Operator || id.Name != "ana" || len(cert.Subject.Organization) != 0 {
		t.Errorf("certified %+v with subject %s", id, cert.Subject)
	}
	if !private.PublicKey.Equal(cert.PublicKey) {
		t.Error("certified another key")
	}
	if !cert.NotBefore.Equal(now.Add(-5*time.Minute)) || !cert.NotAfter.Equal(now.Add(time.Hour)) {
		t.Errorf("valid from %s to %s", cert.NotBefore, cert.NotAfter)
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(serial) || id.Serial != serial {
		t.Errorf("serial %q, in the certificate %q", serial, id.Serial)
	}
	_, again, err := a.Sign(csr, operator("ana"), time.Hour, now)
	if err != nil || again == serial {
		t.Errorf("second serial %q (%v), first %q", again, err, serial)
	}
}

func TestSignEndsWithTheAuthority(t *testing.T) {
	a := newAuthority(t, testCluster)
	csr, _, err := NewCSR("n1")
	if err != nil {
		t.Fatal(err)
	}
	certificate, _, err := a.Sign(csr, node("n1"), 20*365*24*time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if cert := must[*x509.Certificate](t)(parseCertPEM(certificate)); !cert.NotAfter.Equal(a.cert.NotAfter) {
		t.Errorf("ends at %s, the authority at %s", cert.NotAfter, a.cert.NotAfter)
	}
	_, _, err = a.Sign(csr, node("n1"), time.Hour, a.cert.NotAfter)
	wantError(t, err, store.CodeInvalid, "cannot end at")
}

func TestSignRefuses(t *testing.T) {
	a := newAuthority(t, testCluster)
	good, _, err := NewCSR("n1")
	if err != nil {
		t.Fatal(err)
	}
	request := func(key crypto.Signer) []byte {
		return must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))
	}
	unproved := bytes.Clone(good)
	unproved[len(unproved)-1] ^= 1 // inside the signature
	with := func(edit func(*Identity)) Identity { id := operator("ana"); edit(&id); return id }
	for _, c := range []struct {
		fact string
		csr  []byte
		id   Identity
		ttl  time.Duration
		says string
	}{
		{"what is no request", []byte("x"), operator("ana"), time.Hour, "certificate request"},
		{"a request that does not prove possession", unproved, operator("ana"), time.Hour, "possession"},
		{"RSA", request(must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))), operator("ana"), time.Hour, "must be ECDSA"},
		{"P-521", request(must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))), operator("ana"), time.Hour, "must be ECDSA"},
		{"no time", good, operator("ana"), 0, "cannot end at"},
		{"less than no time", good, operator("ana"), -time.Hour, "cannot end at"},
		{"no role", good, with(func(id *Identity) { id.Role = "" }), time.Hour, "unknown role"},
		{"no name", good, with(func(id *Identity) { id.Name = "" }), time.Hour, "name must have"},
		{"an operator with a node id", good, with(func(id *Identity) { id.NodeID = "x" }), time.Hour, "no node id"},
		{"an admin of a tenant", good, with(func(id *Identity) { id.Role = access.Admin }), time.Hour, "not bound"},
		{"a node of a tenant", good, with(func(id *Identity) { id.Role, id.NodeID = access.Node, "x" }), time.Hour, "not bound"},
		{"a node with no id", good, Identity{Role: access.Node, Name: "n1", ClusterID: testCluster}, time.Hour, "node id must have"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			certificate, _, err := a.Sign(c.csr, c.id, c.ttl, time.Now())
			wantError(t, err, store.CodeInvalid, c.says)
			if certificate != nil {
				t.Error("a certificate beside the error")
			}
		})
	}
	if _, _, err := a.Sign(good, with(func(id *Identity) { id.ClusterID = "other" }), time.Hour, time.Now()); err == nil {
		t.Error("it signs for another cluster")
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Sign(request(ed), operator("ana"), time.Hour, time.Now()); err != nil {
		t.Errorf("Ed25519: %v", err)
	}
}

package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

const enrolment = "cpctl-enrol/1"

// welcoming is the configuration of a node's port: members with a certificate,
// newcomers without.
func welcoming(t *testing.T, c Credentials) *tls.Config {
	t.Helper()
	cfg := serve(t, c)
	cfg.GetConfigForClient = ForNewcomers(must[*tls.Config](t)(EnrolServerTLS(c, enrolment)), enrolment)
	return cfg
}

func fingerprintOf(t *testing.T, a *Authority) [32]byte {
	t.Helper()
	return must[[32]byte](t)(Fingerprint(a.CertPEM()))
}

func TestANewcomerNeedsNoCertificateForItsOwnProtocolAlone(t *testing.T) {
	a := newAuthority(t, testCluster)
	n1, _ := member(t, a, node("n1"), time.Now())
	n2, _ := member(t, a, node("n2"), time.Now())
	own := must[tls.Certificate](t)(tls.X509KeyPair(n2.CertPEM, n2.KeyPEM))
	stranger := func(protocols ...string) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
	}
	with := func(protocols ...string) *tls.Config {
		c := stranger(protocols...)
		c.Certificates = []tls.Certificate{own}
		return c
	}
	const wanted = "didn't provide a certificate"
	for _, c := range []struct {
		fact   string
		client *tls.Config
		speaks string // the protocol agreed upon, "" when it is refused
		says   string
	}{
		{"a newcomer", NewcomerTLS(fingerprintOf(t, a), enrolment), enrolment, ""},
		{"whoever wants to enrol", stranger(enrolment), enrolment, ""},
		{"rpc without a certificate", stranger("cpctl-rpc/1"), "", wanted},
		{"raft without a certificate", stranger("cpctl-raft/1"), "", wanted},
		{"enrolment first, and rpc", stranger(enrolment, "cpctl-rpc/1"), "", wanted},
		{"rpc first, and enrolment", stranger("cpctl-rpc/1", enrolment), "", wanted},
		{"enrolment and raft", stranger(enrolment, "cpctl-raft/1"), "", wanted},
		{"enrolment twice and raft", stranger(enrolment, enrolment, "cpctl-raft/1"), "", wanted},
		{"enrolment twice", stranger(enrolment, enrolment), "", "unsupported application protocols"},
		{"enrolment and what nobody speaks", stranger(enrolment, "h2"), "", "unsupported application protocols"},
		{"nothing", stranger(), "", wanted},
		{"a member that offers both", with(enrolment, "cpctl-rpc/1"), "cpctl-rpc/1", ""},
		{"TLS 1.2", func() *tls.Config { c := stranger(enrolment); c.MaxVersion = tls.VersionTLS12; return c }(), "", "unsupported versions"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			state, serverErr, clientErr := shake(t, welcoming(t, n1), c.client)
			if c.speaks != "" {
				if serverErr != nil || clientErr != nil || state.NegotiatedProtocol != c.speaks || state.Version != tls.VersionTLS13 {
					t.Fatalf("speaks %q, server %v, client %v", state.NegotiatedProtocol, serverErr, clientErr)
				}
				return
			}
			if serverErr == nil || clientErr == nil {
				t.Fatalf("let in: %q, server %v, client %v", state.NegotiatedProtocol, serverErr, clientErr)
			}
			if !strings.Contains(serverErr.Error(), c.says) {
				t.Errorf("server %v, want %q", serverErr, c.says)
			}
		})
	}
}

// TestANewcomerSaysNothingToAStranger: the handshake of the client itself fails,
// which is before its first byte.
func TestANewcomerSaysNothingToAStranger(t *testing.T) {
	a, foreign := newAuthority(t, testCluster), newAuthority(t, testCluster)
	n1, _ := member(t, a, node("n1"), time.Now())
	theirs, _ := member(t, foreign, node("n1"), time.Now())
	ana, _ := member(t, a, operator("ana"), time.Now())
	past, _ := member(t, a, node("n1"), time.Now().Add(-2*time.Hour))
	other := newAuthority(t, "other")
	other.key, other.cert = a.key, a.cert
	elsewhere := node("n1")
	elsewhere.ClusterID = "other"
	misnamed, _ := member(t, other, elsewhere, time.Now())
	serving := func(c Credentials, cas ...*Authority) *tls.Config {
		pair := must[tls.Certificate](t)(tls.X509KeyPair(c.CertPEM, c.KeyPEM))
		pair.Certificate = pair.Certificate[:1]
		for _, a := range cas {
			pair.Certificate = append(pair.Certificate, a.cert.Raw)
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{enrolment}}
	}
	newcomer := NewcomerTLS(fingerprintOf(t, a), enrolment)
	for _, c := range []struct {
		fact   string
		server *tls.Config
		says   string // "": it is one to talk to
	}{
		{"a node", welcoming(t, n1), ""},
		{"a node that shows two authorities", serving(n1, foreign, a), ""},
		{"a node of another cluster", welcoming(t, theirs), "is not of the cluster that the token is for"},
		{"a node of another cluster that shows our authority", serving(theirs, a), "was not issued by the cluster's authority"},
		{"a node of another cluster that shows both", serving(theirs, a, foreign), "was not issued by the cluster's authority"},
		{"a node that shows no authority", serving(n1), "is not of the cluster"},
		{"an authority as the node", serving(Credentials{a.CertPEM(), must[[]byte](t)(EncodeKeyPEM(a.key)), a.CertPEM()}, a), "names no member"},
		{"an operator", serving(ana, a), "incompatible key usage"},
		{"an operator whose certificate could serve", serving(anomalous(t, a, operator("ana")), a), "which is not a node"},
		{"a node whose time is over", serving(past, a), "expired"},
		{"a node of another cluster by the right authority", serving(misnamed, a), "is of cluster other, and the authority is not"},
		{"a server of TLS 1.2", func() *tls.Config { c := serving(n1, a); c.MaxVersion = tls.VersionTLS12; return c }(), "protocol version"},
		{"a server that agrees on no protocol", func() *tls.Config { c := serving(n1, a); c.NextProtos = nil; return c }(), "does not speak"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			state, serverErr, clientErr := shake(t, c.server, newcomer)
			if c.says == "" {
				if serverErr != nil || clientErr != nil {
					t.Fatalf("server %v, client %v", serverErr, clientErr)
				}
				return
			}
			if clientErr == nil || !strings.Contains(clientErr.Error(), c.says) || state.HandshakeComplete {
				t.Errorf("server %v, client %v, want %q", serverErr, clientErr, c.says)
			}
		})
	}
	if _, err := EnrolServerTLS(ana, enrolment); err == nil {
		t.Error("an operator's certificate takes newcomers")
	}
}

// anomalous is certified as a server by an authority that forgot its own rules.
func anomalous(t *testing.T, a *Authority, id Identity) Credentials {
	t.Helper()
	c, _ := member(t, a, id, time.Now())
	template := must[tls.Certificate](t)(tls.X509KeyPair(c.CertPEM, c.KeyPEM)).Leaf
	template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, a.cert, template.PublicKey, a.key))
	c.CertPEM = certPEM(der)
	return c
}

func TestWhatTheClusterAnswersIsHeldToTheRequest(t *testing.T) {
	a, foreign := newAuthority(t, testCluster), newAuthority(t, testCluster)
	csr, key, err := NewCSR("ana")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(by *Authority, csr []byte, now time.Time) []byte {
		t.Helper()
		cert, _, err := by.Sign(csr, operator("ana"), time.Hour, now)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	another, _, err := NewCSR("ana")
	if err != nil {
		t.Fatal(err)
	}
	good, both := sign(a, csr, time.Now()), append(bytes.Clone(foreign.CertPEM()), a.CertPEM()...)
	for _, c := range []struct {
		fact     string
		cert, ca []byte
		code     store.Code
		says     string
	}{
		{"what was asked for", good, a.CertPEM(), "", ""},
		{"with another authority beside it", good, both, "", ""},
		{"a certificate for another key", sign(a, another, time.Now()), a.CertPEM(), store.CodeIntegrity, "is for another key"},
		{"another authority", good, foreign.CertPEM(), store.CodeIntegrity, "another authority than that of the token"},
		{"a certificate of the other authority of a roll-over", sign(foreign, csr, time.Now()), both, "", ""},
		{"a certificate of another authority", sign(foreign, csr, time.Now()), a.CertPEM(), store.CodeDenied, "was not issued by the cluster's authority"},
		{"a certificate whose time is over", sign(a, csr, time.Now().Add(-2*time.Hour)), a.CertPEM(), store.CodeDenied, "not good now"},
		{"no certificate", nil, a.CertPEM(), store.CodeIntegrity, "no PEM block"},
		{"no authority", good, nil, store.CodeIntegrity, "holds no certificate"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			id, err := CheckEnrolment(fingerprintOf(t, a), csr, c.cert, c.ca)
			if c.code == "" {
				if err != nil || id.String() != "operator/ana@acme" {
					t.Errorf("%s, %v", id, err)
				}
				return
			}
			wantError(t, err, c.code, c.says)
		})
	}
	again, err := CSRFor(key, "another name")
	if err != nil {
		t.Fatal(err)
	}
	one, two := must[string](t)(CSRKey(csr)), must[string](t)(CSRKey(again))
	if one != two || len(one) != 64 || one == must[string](t)(CSRKey(another)) {
		t.Errorf("the key of one request is %s, of another with the same key %s", one, two)
	}
	text := must[[]byte](t)(EncodeKeyPEM(key))
	if back, err := DecodeKeyPEM(text); err != nil || !samePublic(back.Public(), key.Public()) {
		t.Errorf("the key comes back as %v, %v", back, err)
	}
	for _, b := range [][]byte{nil, a.CertPEM(), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")} {
		if _, err := DecodeKeyPEM(b); err == nil {
			t.Errorf("%q is a key", b)
		}
	}
}

func TestARequestThatProvesNothingIsRefused(t *testing.T) {
	csr, _, err := NewCSR("n1")
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(csr)
	changed[len(changed)-1] ^= 1
	weak := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	rsaCSR := must[[]byte](t)(CSRFor(weak, "n1"))
	odd := must[[]byte](t)(CSRFor(must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), "n1"))
	for fact, c := range map[string]struct {
		csr  []byte
		says string
	}{
		"a changed signature": {changed, "certificate request"},
		"an RSA key":          {rsaCSR, "must be ECDSA"},
		"an odd curve":        {odd, "must be ECDSA"},
		"nothing":             {nil, "certificate request"},
		"too much":            {make([]byte, MaxCSR+1), "at most 4096 are allowed"},
	} {
		t.Run(fact, func(t *testing.T) {
			_, err := CSRKey(c.csr)
			wantError(t, err, store.CodeInvalid, c.says)
		})
	}
}

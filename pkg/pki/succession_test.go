package pki

import (
	"crypto/x509"
	"testing"
	"time"
)

// holds are credentials that trust other authorities than the one that signed.
func holds(c Credentials, bundle, cross []byte) Credentials {
	c.CAPEM, c.CertPEM = bundle, Bundle(c.CertPEM, cross)
	return c
}

// In a roll-over everybody reaches everybody, whatever they have heard of it.
// Afterwards the old authority is nobody, whoever introduces itself by it.
func TestWhoKnowsOneAuthorityReachesWhoHasTheNext(t *testing.T) {
	now := time.Now()
	a, b, other := newAuthority(t, testCluster), newAuthority(t, testCluster), newAuthority(t, testCluster)
	cross := must[[]byte](t)(a.Introduce(b, now))
	forged := must[[]byte](t)(other.Introduce(b, now))
	both := Bundle(a.CertPEM(), b.CertPEM())
	of := func(x *Authority, id Identity) Credentials { c, _ := member(t, x, id, now); return c }
	for _, tt := range []struct {
		fact           string
		server, client Credentials
		ok             bool
	}{
		{"an old person at a new node", holds(of(b, node("n1")), both, cross), of(a, operator("ana")), true},
		{"a new person at an old node", holds(of(a, node("n1")), both, cross), holds(of(b, operator("ana")), both, cross), true},
		{"a new node at one that has heard nothing yet", of(a, node("n1")), holds(of(b, node("n2")), both, cross), true},
		{"without an introduction", holds(of(b, node("n1")), both, nil), of(a, operator("ana")), false},
		{"introduced by a stranger", holds(of(b, node("n1")), both, forged), of(a, operator("ana")), false},
		{"an old person after the old one was retired", holds(of(b, node("n1")), b.CertPEM(), cross), of(a, operator("ana")), false},
		{"an old node after the old one was retired", of(a, node("n1")), of(b, operator("ana")), false},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			_, atServer, atClient := shake(t, serve(t, tt.server), dial(t, tt.client, ""))
			if ok := atServer == nil && atClient == nil; ok != tt.ok {
				t.Errorf("accepted %v, want %v: %v, %v", ok, tt.ok, atServer, atClient)
			}
		})
	}
}

func TestAnIntroducedAuthorityIntroducesNobody(t *testing.T) {
	now := time.Now()
	a, b, c := newAuthority(t, testCluster), newAuthority(t, testCluster), newAuthority(t, testCluster)
	chain := Bundle(must[[]byte](t)(a.Introduce(b, now)), must[[]byte](t)(b.Introduce(c, now)))
	n1, _ := member(t, c, node("n1"), now)
	ana, _ := member(t, a, operator("ana"), now)
	_, _, err := shake(t, serve(t, holds(n1, Bundle(a.CertPEM(), c.CertPEM()), chain)), dial(t, ana, ""))
	if err == nil {
		t.Error("two steps from the authority that is known, and trusted")
	}
	if _, err := a.Introduce(newAuthority(t, "another"), now); err == nil {
		t.Error("the authority of another cluster was introduced")
	}
}

func TestABundleIsReadStrictly(t *testing.T) {
	a, b, c := newAuthority(t, testCluster), newAuthority(t, testCluster), newAuthority(t, testCluster)
	n1, _ := member(t, b, node("n1"), time.Now())
	both := Bundle(a.CertPEM(), b.CertPEM())
	for what, tt := range map[string]struct {
		bundle []byte
		file   string
	}{
		"both":             {both, ""},
		"nothing":          {nil, "ca.crt"},
		"not the signer":   {Bundle(a.CertPEM(), c.CertPEM()), "node.crt"},
		"three":            {Bundle(both, c.CertPEM()), "ca.crt"},
		"words at the end": {Bundle(both, []byte("x")), "ca.crt"},
		"words between":    {Bundle(a.CertPEM(), []byte("x\n"), b.CertPEM()), "ca.crt"},
		"a key":            {Bundle(both, n1.KeyPEM), "ca.crt"},
	} {
		if _, file, _ := holds(n1, tt.bundle, nil).Check(); file != tt.file {
			t.Errorf("%s: the fault is in %q, want %q", what, file, tt.file)
		}
	}
	if !Share(both, b.CertPEM()) || Share(a.CertPEM(), b.CertPEM()) || Share(both, []byte("x")) {
		t.Error("what two bundles have in common")
	}
	leaf := must[*x509.Certificate](t)(n1.Leaf())
	if !Trusts(both, leaf) || Trusts(a.CertPEM(), leaf) || !n1.SignedBy(b.CertPEM()) || n1.SignedBy(a.CertPEM()) {
		t.Error("who has signed")
	}
	if a.ID() == b.ID() || len(a.ID()) != 64 || AuthorityID([]byte("x")) != "" || BundleID(both) == BundleID(a.CertPEM()) {
		t.Error("the names of authorities and bundles")
	}
}

func TestATermBeginsWhenItWasSigned(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	n1, _ := member(t, newAuthority(t, testCluster), node("n1"), now)
	issued, ends, err := n1.Term()
	if err != nil || !issued.Equal(now) || !ends.Equal(now.Add(time.Hour)) {
		t.Errorf("from %s to %s, %v; want an hour from %s", issued, ends, err, now)
	}
}

// The clock of a configuration is the one that counts, at both ends.
func TestAnExpiredCertificateIsRefusedByTheClockOfTheConfiguration(t *testing.T) {
	now := time.Now()
	a := newAuthority(t, testCluster)
	n1, _ := member(t, a, node("n1"), now)
	n2, _ := member(t, a, node("n2"), now)
	later := func() time.Time { return now.Add(2 * time.Hour) }
	server, client := serve(t, n1), dial(t, n2, "")
	server.Time = later
	if _, err, _ := shake(t, server, client); err == nil {
		t.Error("a server took an expired certificate")
	}
	server.Time, client.Time = nil, later
	if _, _, err := shake(t, server, client); err == nil {
		t.Error("a client took an expired certificate")
	}
}

package pki

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

const testCluster = "c-0198f0c2"

func newAuthority(t *testing.T, cluster string) *Authority {
	t.Helper()
	a, err := NewAuthority(cluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// member certifies id by a, for an hour from now on.
func member(t *testing.T, a *Authority, id Identity, now time.Time) (Credentials, string) {
	t.Helper()
	csr, key, err := NewCSR("asks for another name")
	if err != nil {
		t.Fatal(err)
	}
	cert, serial, err := a.Sign(csr, id, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := EncodeKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	return Credentials{CertPEM: cert, KeyPEM: keyPEM, CAPEM: a.CertPEM()}, serial
}

func node(name string) Identity {
	return Identity{Role: access.Node, Name: name, NodeID: name + "-id", ClusterID: testCluster, Generation: 1}
}

func operator(name string) Identity {
	return Identity{Role: access.Operator, Name: name, Tenant: "acme", ClusterID: testCluster, Generation: 1}
}

func wantError(t *testing.T, err error, code store.Code, part string) {
	t.Helper()
	var refusal *store.Error
	if !errors.As(err, &refusal) || refusal.Code != code || !strings.Contains(refusal.Message, part) {
		t.Errorf("error = %v (%T), want one of code %s that says %q", err, err, code, part)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

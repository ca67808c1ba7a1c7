package rpc

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestACertificateOfAForgottenAuthorityIsRetired(t *testing.T) {
	t.Parallel()
	now := time.Now()
	first, second := authority(t, now), authority(t, now)
	past, later := store.TimeOf(now.Add(-time.Hour)), store.TimeOf(now.Add(time.Hour))
	heirs := mutation.Heirs{OldCA: string(first.CertPEM())}
	certs := []mutation.Certificate{
		{Serial: "01", Name: "ana", IssuedAt: past, NotAfter: later, Authority: first.ID()},
		{Serial: "02", Name: "bob", IssuedAt: past, NotAfter: later, Authority: first.ID()},
		{Serial: "03", Name: "bob", IssuedAt: past + 1, NotAfter: later, Authority: second.ID(), Line: "02"},
		{Serial: "04", Name: "cyd", IssuedAt: past - 1, NotAfter: past, Authority: first.ID()},
		{Serial: "05", Name: "dan", IssuedAt: past, NotAfter: later, Authority: first.ID(), Revoked: true},
	}
	for _, c := range []struct {
		fact  string
		heirs mutation.Heirs
		want  []string
	}{
		{"while it is trusted", heirs, []string{CertGood, CertRenewed, CertGood, CertExpired, CertRevoked}},
		{"once it is not", mutation.Heirs{}, []string{CertRetired, CertRetired, CertGood, CertExpired, CertRevoked}},
	} {
		docs := map[string]string{applier.ClusterPath: document(t, mutation.Found{CA: string(second.CertPEM()), Heirs: c.heirs})}
		for _, cert := range certs {
			docs[applier.CertPath(cert.Serial)] = document(t, cert)
		}
		for i, got := range certsOf(stateWith(t, docs), store.TimeOf(now)) {
			if got.Serial != certs[i].Serial || got.State != c.want[i] || got.Authority != certs[i].Authority {
				t.Errorf("%s: %s is %s of %.12s, want %s", c.fact, got.Serial, got.State, got.Authority, c.want[i])
			}
		}
	}
}

func authority(t *testing.T, now time.Time) *pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority("c1", now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func document(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

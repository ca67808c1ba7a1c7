package cmd

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/config"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
)

// dueWorld has a context whose certificate is in the last third of its life, and
// a cluster that renews it.
func dueWorld(t *testing.T, age time.Duration) (*world, config.Context) {
	t.Helper()
	ca := newIssuer(t)
	c := ca.issue("prod", ana(), noon.Add(-age), quarter)
	w := newWorld().at(t, c)
	w.renew = func(csr []byte) (*rpc.Enrolment, error) { return ca.sign(csr, ana(), noon, quarter), nil }
	return w, c
}

func TestACertificateIsRenewedInTheLastThirdOfItsLife(t *testing.T) {
	for age, want := range map[time.Duration]int{0: 0, quarter*2/3 - time.Hour: 0, quarter*2/3 + time.Hour: 1, quarter - time.Hour: 1, quarter + time.Hour: 0} {
		w, old := dueWorld(t, age)
		w.run("tenant", "list", "-o", "name").want(t, 0, "tenant/acme\ntenant/globex\n", "")
		if w.renewals != want {
			t.Errorf("after %v it was renewed %d times, want %d", age, w.renewals, want)
		}
		c := w.kept(t).Find("prod")
		if (c.Certificate != old.Certificate) != (want == 1) {
			t.Errorf("after %v: another certificate is kept: %v", age, c.Certificate != old.Certificate)
		}
		own := pki.Credentials{CAPEM: []byte(c.CA), CertPEM: []byte(c.Certificate), KeyPEM: []byte(c.Key)}
		if _, _, err := own.Check(); err != nil || want == 1 && c.Key == old.Key {
			t.Errorf("after %v: %v, the same key: %v", age, err, c.Key == old.Key)
		}
		w.run("tenant", "list", "-o", "name").want(t, 0, "tenant/acme\ntenant/globex\n", "")
		if w.renewals != want {
			t.Errorf("after %v it was renewed once more", age)
		}
	}
}

// With a certificate of before a recovery one would also believe a node that was
// left behind; the first command that hears of the recovery ends that.
func TestACertificateIsRenewedWhenTheClusterWasRecovered(t *testing.T) {
	for generation, want := range map[uint64]int{0: 0, 1: 0, 2: 1} {
		w, _ := dueWorld(t, 0)
		r := w.with(func(e *Env) {
			dial := e.Dial
			e.Dial = func(o rpc.Options) Cluster {
				if o.Met != nil { // the renewal itself wants to know nothing
					o.Met(pki.Identity{Generation: generation})
				}
				return dial(o)
			}
		}, "tenant", "list", "-o", "name")
		r.want(t, 0, "tenant/acme\ntenant/globex\n", "")
		if w.renewals != want {
			t.Errorf("met generation %d: renewed %d times, want %d", generation, w.renewals, want)
		}
	}
}

func TestWhatIsNotOfTheContextIsNotRenewed(t *testing.T) {
	w, c := dueWorld(t, quarter-time.Hour)
	key, crt := w.file(t, "a.key", string(c.Key)), w.file(t, "a.crt", strings.Replace(c.Certificate, "\n", "\n\n", 1))
	for _, args := range [][]string{{"-s", "unix:/s"}, {"--data-dir", "/d"}, {"--cert", crt, "--key", key, "-q"}} {
		if r := w.run(append([]string{"tenant", "list", "-o", "name"}, args...)...); r.code != 0 {
			t.Errorf("%v: exit %d, %s", args, r.code, r.err)
		}
	}
	if w.renewals != 0 {
		t.Errorf("renewed %d times", w.renewals)
	}
	w.run("tenant", "list", "-o", "name", "-s", "unix:/s,h:1")
	if last := w.dialled[len(w.dialled)-1]; w.renewals != 1 || strings.Join(last, ",") != "h:1" {
		t.Errorf("with a socket in the list: renewed %d times, at %v; at a socket we are somebody else", w.renewals, last)
	}
}

func TestARenewalThatFailsHarmsNoCommand(t *testing.T) {
	other := newIssuer(t)
	boss := ana()
	boss.Role = "admin"
	for fact, renew := range map[string]func(ca issuer, csr []byte) (*rpc.Enrolment, error){
		"an error": func(issuer, []byte) (*rpc.Enrolment, error) { return nil, errors.New("no leader") },
		"another key": func(ca issuer, _ []byte) (*rpc.Enrolment, error) {
			csr, _, err := pki.NewCSR("x")
			return ca.sign(csr, ana(), noon, quarter), err
		},
		"another name":   func(ca issuer, csr []byte) (*rpc.Enrolment, error) { return other.sign(csr, boss, noon, quarter), nil },
		"no certificate": func(issuer, []byte) (*rpc.Enrolment, error) { return new(rpc.Enrolment), nil },
	} {
		t.Run(fact, func(t *testing.T) {
			w, old := dueWorld(t, quarter-time.Hour)
			w.renew = func(csr []byte) (*rpc.Enrolment, error) { return renew(other, csr) }
			w.run("tenant", "list", "-o", "name").want(t, 0, "tenant/acme\ntenant/globex\n", "")
			if r := w.run("tenant", "list", "-o", "name", "-v"); r.code != 0 || !strings.Contains(r.err, "the certificate of context \"prod\" is not renewed yet: ") || strings.Contains(r.err, "KEY") {
				t.Errorf("-v: exit %d, %s", r.code, r.err)
			}
			if w.renewals != 2 || w.kept(t).Find("prod").Certificate != old.Certificate {
				t.Errorf("asked %d times; the context is another one: %v", w.renewals, w.kept(t).Find("prod").Certificate != old.Certificate)
			}
		})
	}
}

// slowRenewal is a cluster that does not get to it.
type slowRenewal struct{ *fake }

func (slowRenewal) Renew(ctx context.Context, _ []byte) (*rpc.Enrolment, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestASlowRenewalHoldsNoCommandUp(t *testing.T) {
	w, old := dueWorld(t, quarter-time.Hour)
	began := time.Now()
	if r := w.with(func(e *Env) {
		e.Dial = func(rpc.Options) Cluster { return slowRenewal{w.fake} }
	}, "tenant", "list", "-v", "-o", "name"); r.code != 0 || !strings.Contains(r.err, "context canceled") {
		t.Errorf("exit %d, %s", r.code, r.err)
	}
	if took := time.Since(began); took > renewLimit {
		t.Errorf("it took %v", took)
	}
	if w.kept(t).Find("prod").Certificate != old.Certificate {
		t.Error("the context is another one")
	}
}

func TestManyCommandsRenewOnce(t *testing.T) {
	w, _ := dueWorld(t, quarter-time.Hour)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if r := w.run("tenant", "list", "-o", "name"); r.code != 0 {
				t.Errorf("exit %d, %s", r.code, r.err)
			}
		})
	}
	all.Wait()
	if w.renewals != 1 {
		t.Errorf("renewed %d times", w.renewals)
	}
}

func TestWhatAnotherProcessHasRenewedIsNotRenewedAgain(t *testing.T) {
	w, _ := dueWorld(t, quarter-time.Hour)
	fresh := newIssuer(t).issue("prod", ana(), noon, quarter)
	r := w.with(func(e *Env) {
		e.Dial = func(rpc.Options) Cluster { // the context was read before
			err := config.Update(context.Background(), w.config(), func(f *config.File) error { f.Put(fresh); return nil })
			if err != nil {
				t.Error(err)
			}
			return w.fake
		}
	}, "tenant", "list", "-v", "-o", "name")
	if r.code != 0 || w.renewals != 0 || w.kept(t).Find("prod").Certificate != fresh.Certificate {
		t.Errorf("exit %d, renewed %d times, %s", r.code, w.renewals, r.err)
	}
}

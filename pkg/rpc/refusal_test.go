package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

func someWrite() *mutation.Request {
	return &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}
}

func TestPeopleWorkOverTheNetwork(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	f := &fake{leads: true}
	p := openPort(t, f, member(t, ca, access.Node, "n1", 1, time.Now()), nil, nil)
	ana := member(t, ca, access.Admin, "ana", 1, time.Now())
	c := clientOf(t, &ana, p.address)
	if a, err := c.Write(soon(t), someWrite()); err != nil || a.Note != "admin/ana" {
		t.Errorf("answer %+v, %v", a, err)
	}
	var archive bytes.Buffer
	if _, err := c.Snapshot(soon(t), &archive); err != nil || archive.Len() == 0 {
		t.Errorf("a snapshot of %d bytes, %v", archive.Len(), err)
	}
}

// Whatever TLS finds is final: without that these would end after the half
// minute of soon, as unavailable.
func TestARefusalOfTLSEndsACommandAtOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca, other := newAuthority(t), newAuthority(t)
	n1 := member(t, ca, access.Node, "n1", 1, now)
	ana := member(t, ca, access.Operator, "ana", 1, now)
	foreign := member(t, other, access.Operator, "ana", 1, now)
	disguised := foreign
	disguised.CAPEM = ca.CertPEM()
	torn := ana
	torn.KeyPEM = foreign.KeyPEM
	at := func(d time.Duration) func(*tls.Config) {
		return func(cfg *tls.Config) { cfg.Time = func() time.Time { return now.Add(d) } }
	}
	for _, c := range []struct {
		fact   string
		server pki.Credentials
		change func(*tls.Config)
		own    *pki.Credentials
		says   []string
	}{
		{"nobody", n1, nil, nil, []string{"wants a certificate", "cpctl login"}},
		{"a certificate that has expired", n1, nil, ptr(member(t, ca, access.Operator, "ana", 1, now.Add(-2*time.Hour))),
			[]string{"the certificate of operator/ana expired on ", "log in anew", "cpctl token create --role operator --name ana", "clock of this machine"}},
		{"a certificate of the future", n1, nil, ptr(member(t, ca, access.Operator, "ana", 1, now.Add(24*time.Hour))),
			[]string{"is good from ", "set the clock"}},
		{"a certificate that has expired by the server's clock", n1, at(2 * time.Hour), &ana,
			[]string{"refuses the certificate of operator/ana: by its clock", "compare the clocks", "cpctl login"}},
		{"a certificate of another authority", n1, nil, &disguised, []string{"refuses the certificate of operator/ana: it was not issued by that cluster, or by an authority that was replaced since", "with a new token"}},
		{"a server of another authority", n1, nil, &foreign, []string{"is of another cluster than this context, or the authority of the cluster was replaced since", "cpctl context show", "with a new token"}},
		{"a server of an earlier generation", n1, nil, ptr(member(t, ca, access.Operator, "ana", 2, now)),
			[]string{"server 127.0.0.1:", "node/n1 is of generation 1 of this cluster, which was recovered as generation 2", "ask another server"}},
		{"a server whose certificate has expired", member(t, ca, access.Node, "n1", 1, now.Add(-2*time.Hour)), nil, &ana,
			[]string{"the certificate of server ", "clock of this machine", "set the clock"}},
		{"a server that is no node", n1, func(cfg *tls.Config) {
			pair, err := tls.X509KeyPair(ana.CertPEM, ana.KeyPEM)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{pair}
		}, &ana, []string{"not that of a node"}},
		{"a server with another protocol", n1, func(cfg *tls.Config) { cfg.NextProtos = []string{"cpctl-raft/1"} }, &ana,
			[]string{"does not speak the protocol of this cpctl"}},
		{"a server with an older TLS", n1, func(cfg *tls.Config) { cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, &ana,
			[]string{"TLS 1.3"}},
		{"a key that is not the certificate's", n1, nil, &torn, []string{"the credentials cannot be used"}},
	} {
		t.Run(c.fact, func(t *testing.T) {
			t.Parallel()
			p := openPort(t, &fake{leads: true}, c.server, c.change, nil)
			for what, do := range everyWay(clientOf(t, c.own, p.address)) {
				wantDenied(t, what, do(soon(t)), c.says...)
			}
		})
	}
	t.Run("a certificate that was revoked", func(t *testing.T) {
		t.Parallel()
		p := openPort(t, &fake{leads: true}, n1, nil, func(string) bool { return true })
		for what, do := range everyWay(clientOf(t, &ana, p.address)) {
			wantDenied(t, what, do(soon(t)), "refuses the certificate of operator/ana: it was revoked", "log in anew with a new token")
		}
	})
}

// A server that serves its caller no more answers so, in words of its own.
func TestAGoodbyeEndsACommandAtOnce(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ana := member(t, ca, access.Operator, "ana", 1, time.Now())
	bye := &Goodbye{Err: store.Errorf(store.CodeDenied, "certificate 00ff was revoked: lost with a laptop").WithHint("log in again")}
	p := openPort(t, &fake{leads: true, farewell: bye}, member(t, ca, access.Node, "n1", 1, time.Now()), nil, nil)
	good := openPort(t, &fake{leads: true}, member(t, ca, access.Node, "n2", 1, time.Now()), nil, nil)
	for what, do := range everyWay(clientOf(t, &ana, p.address)) {
		wantDenied(t, what, do(soon(t)), "certificate 00ff was revoked: lost with a laptop", "log in")
	}
	if _, err := clientOf(t, &ana, p.address, good.address).Write(soon(t), someWrite()); err != nil {
		t.Errorf("where another server still serves: %v", err)
	}
}

// TestWhoIsTurnedAwayAsksOverAnotherConnection: nothing comes of the one on which it was
// told so, and a change that is sent over it would have an unknown outcome.
func TestWhoIsTurnedAwayAsksOverAnotherConnection(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ana := member(t, ca, access.Operator, "ana", 1, time.Now())
	bye := &Goodbye{Err: store.Errorf(store.CodeDenied, "certificate 00ff was revoked")}
	p := openPort(t, &fake{leads: true, farewell: bye}, member(t, ca, access.Node, "n1", 1, time.Now()), nil, nil)
	for range 10 {
		c := clientOf(t, &ana, p.address)
		for first, do := range everyWay(c) {
			wantDenied(t, first, do(soon(t)), "certificate 00ff was revoked")
			_, err := c.Write(soon(t), someWrite())
			wantDenied(t, "write after "+first, err, "certificate 00ff was revoked")
		}
	}
}

// everyWay is each of the ways in which a client deals with its servers.
func everyWay(c *Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"write":    func(ctx context.Context) error { _, err := c.Write(ctx, someWrite()); return err },
		"read":     func(ctx context.Context) error { _, err := c.Status(ctx); return err },
		"once":     func(ctx context.Context) error { _, err := c.Health(ctx, false); return err },
		"snapshot": func(ctx context.Context) error { _, err := c.Snapshot(ctx, io.Discard); return err },
		"restore": func(ctx context.Context) error {
			_, err := c.Restore(ctx, bytes.NewReader(make([]byte, 1<<20)), RestoreArgs{})
			return err
		},
	}
}

func wantDenied(t *testing.T, what string, err error, says ...string) {
	t.Helper()
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeDenied {
		t.Errorf("%s: err = %v, want one that is denied", what, err)
		return
	}
	for _, part := range says {
		if text := e.Message + "\n" + e.Hint; !strings.Contains(text, part) {
			t.Errorf("%s: it does not say %q:\n%s", what, part, text)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestAServerThatRefusesIsNoReasonToLeaveOutTheOthers(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	ana := member(t, ca, access.Admin, "ana", 1, time.Now())
	foreign := openPort(t, &fake{leads: true}, member(t, other, access.Node, "x", 1, time.Now()), nil, nil)
	strict := openPort(t, &fake{leads: true}, member(t, ca, access.Node, "n2", 1, time.Now()), nil, func(string) bool { return true })
	var asked atomic.Int32
	good := openPort(t, &fake{leads: true, write: func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		if asked.Add(1)%3 != 0 { // no leader yet: a refusal by another must not end the wait for one
			return nil, store.Errorf(store.CodeUnavailable, "no leader")
		}
		return &mutation.Answer{}, nil
	}}, member(t, ca, access.Node, "n1", 1, time.Now()), nil, nil)
	_, socket := serveFake(t, &fake{leads: true})
	for _, servers := range [][]string{
		{foreign.address, good.address}, {good.address, foreign.address}, {strict.address, good.address}, {good.address, strict.address},
		{nobodyAt(t), foreign.address, strict.address, good.address}, {foreign.address, "unix:" + socket},
	} {
		for what, do := range everyWay(clientOf(t, &ana, servers...)) {
			if what == "restore" {
				continue // of no archive
			}
			if err := do(soon(t)); err != nil {
				t.Errorf("%s at %v: %v", what, servers, err)
			}
		}
	}
	for _, servers := range [][]string{{foreign.address, nobodyAt(t)}, {nobodyAt(t), strict.address}, {strict.address, foreign.address}} {
		for what, do := range everyWay(clientOf(t, &ana, servers...)) {
			wantDenied(t, what, do(soon(t)))
		}
	}
}

func TestListsOfSocketsAndAddressesWorkWithoutACertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	p := openPort(t, &fake{leads: true}, member(t, ca, access.Node, "n1", 1, time.Now()), nil, nil)
	_, socket := serveFake(t, &fake{leads: true})
	for _, servers := range [][]string{{"unix:" + socket, p.address}, {p.address, "unix:" + socket}} {
		if _, err := clientOf(t, nil, servers...).Write(soon(t), someWrite()); err != nil {
			t.Errorf("%v: %v", servers, err)
		}
	}
}

func TestWhatWasSentBeforeARefusalStaysUnknown(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ana := member(t, ca, access.Admin, "ana", 1, time.Now())
	var revoked atomic.Bool
	var p *port
	f := &fake{leads: true, write: func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		revoked.Store(true)
		p.cut()
		return &mutation.Answer{}, nil
	}}
	p = openPort(t, f, member(t, ca, access.Node, "n1", 1, time.Now()), nil, func(string) bool { return revoked.Load() })
	req := someWrite()
	_, err := clientOf(t, &ana, p.address).Write(soon(t), req)
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeUnknown || !strings.Contains(e.Message, "request id "+req.ID) || !strings.Contains(e.Hint, "it was revoked") {
		t.Errorf("err = %v (%+v), want that nobody knows, and why nobody can be asked", err, e)
	}
}

func TestWhoCannotBeReachedIsTriedAgain(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ana := member(t, ca, access.Admin, "ana", 1, time.Now())
	servers := []string{nobodyAt(t), nobodyAt(t)}
	_, err := clientOf(t, &ana, servers...).Write(within(t, 300*time.Millisecond), someWrite())
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeUnavailable {
		t.Fatalf("err = %v", err)
	}
	for _, part := range []string{servers[0] + " connection refused", servers[1] + " connection refused", "do they listen there"} {
		if !strings.Contains(e.Hint, part) {
			t.Errorf("%q does not say %q", e.Hint, part)
		}
	}
}

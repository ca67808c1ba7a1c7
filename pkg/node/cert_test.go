package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

const day = 24 * time.Hour

func (c *trio) serials() map[string]string {
	out := map[string]string{}
	for _, n := range c.running() {
		out[n.Name()] = n.own.Load().id.Serial
	}
	return out
}

// renewed waits until every running node has another certificate than before, and
// one that is on record everywhere.
func (c *trio) renewed(before map[string]string) {
	c.t.Helper()
	c.until("every node has another certificate", func() error {
		for name, serial := range c.serials() {
			if serial == before[name] {
				return fmt.Errorf("%s has %s still", name, serial)
			}
			for _, n := range c.running() {
				if certificateOf(n.Image(), serial).Serial == "" {
					return fmt.Errorf("that of %s is not on record at %s", name, n.Name())
				}
			}
		}
		return nil
	})
}

// shown is the serial that a node shows to who dials it, and the open connection.
func (c *trio) shown(from, to *Node) (string, net.Conn) {
	c.t.Helper()
	conn, err := from.Dial(context.Background(), Member{ID: to.ID(), Address: to.Address()}, ProtocolRPC)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	id, err := pki.IdentityOf(conn.(*tls.Conn).ConnectionState().PeerCertificates[0])
	if err != nil {
		c.t.Fatal(err)
	}
	return id.Serial, conn
}

// alive reports whether the other end has not closed an idle connection.
func alive(conn net.Conn) bool {
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// The third part of a life before its end, with no restart: what is open goes on,
// what is new shows the new certificate, and the files are those in use.
func TestACertificateIsRenewedWhenTwoThirdsOfItsLifeAreOver(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	before := c.serials()
	leader := c.leader()
	other := c.nodes["n2"]
	if other == leader {
		other = c.nodes["n3"]
	}
	accepted := make(chan net.Conn, 8)
	go func() { // nobody else does in this test
		for {
			conn, err := other.Listener(ProtocolRPC).Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	serial, old := c.shown(leader, other)
	if serial != before[other.Name()] {
		t.Errorf("it shows %s, and has %s", serial, before[other.Name()])
	}
	c.clock.Store(int64(59 * day))
	for _, n := range c.running() {
		if n.due() {
			t.Errorf("%s renews its certificate of 90 days after 59", n.Name())
		}
	}
	term := leader.raft().CurrentTerm()
	c.clock.Store(int64(61 * day))
	c.renewed(before)
	c.must(clientNamed("acme", "web"))
	serial, _ = c.shown(leader, other)
	if serial != other.own.Load().id.Serial || serial == before[other.Name()] {
		t.Errorf("it shows %s, and has %s", serial, other.own.Load().id.Serial)
	}
	if !alive(old) {
		t.Error("a connection that was open is gone")
	}
	if now := c.leader().raft().CurrentTerm(); now != term {
		t.Errorf("the renewals made an election: term %d, then %d", term, now)
	}
	for _, n := range c.running() {
		record := n.records()[n.ID()]
		if record.Serial != n.own.Load().id.Serial || record.LineOf() != before[n.Name()] || record.Voter != (n.Name() != "n1") || record.Authority == "" {
			t.Errorf("%s has on record %+v", n.Name(), record)
		}
		_, files, err := n.dir.loadSecrets(n.self)
		if err != nil || string(files.CertPEM) != string(n.own.Load().CertPEM) {
			t.Errorf("%s has other files than it uses: %v", n.Name(), err)
		}
		if _, err := os.Lstat(n.dir.file(tlsNew)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s has left %s behind: %v", n.Name(), tlsNew, err)
		}
	}
	for len(accepted) > 0 {
		(<-accepted).Close()
	}
	c.close(other.Name())
	c.open(other.Name(), false)
	c.agree()
}

// Off for longer than a certificate lives: all of them, and later one alone.
func TestWhoseCertificateHasExpiredFindsBack(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	before := c.serials()
	for name := range before {
		c.close(name)
	}
	c.clock.Store(int64(400 * day))
	for name := range before {
		c.open(name, false)
	}
	c.must(clientNamed("acme", "web"))
	c.renewed(before)
	before = c.serials()
	c.close("n3")
	c.clock.Store(int64(470 * day))
	c.renewed(map[string]string{"n1": before["n1"], "n2": before["n2"]})
	c.clock.Store(int64(495 * day))
	c.open("n3", false)
	c.renewed(map[string]string{"n3": before["n3"]})
	c.agree()
	for _, n := range c.running() {
		if s := n.Progress().Standing; s != "" {
			t.Errorf("%s is %s", n.Name(), s)
		}
	}
}

// Its own certificate, and everything on record of it, has ended long ago.
func TestARemovedNodeThatFindsBackIsTurnedAway(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	if c.leader().Name() == "n3" {
		if err := c.nodes["n3"].raft().LeadershipTransfer().Error(); err != nil {
			t.Fatal(err)
		}
	}
	c.agree()
	c.close("n3")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.until("n3 is removed", func() error {
		_, err := c.leader().Remove(ctx, RemoveRequest{Name: "n3"}, access.Local("0"))
		return err
	})
	before := c.serials()
	c.clock.Store(int64(400 * day))
	c.renewed(before)
	gone := c.open("n3", false)
	if gone.selfMade.Load() == nil {
		t.Fatal("it did not make a certificate for itself")
	}
	for _, n := range c.running() {
		if n == gone {
			continue
		}
		id := gone.own.Load().id
		if why, removed := n.Farewell(id.Serial, id.NodeID); why == nil || !removed {
			t.Errorf("%s tells it %v, removed %v", n.Name(), why, removed)
		}
		conn, err := gone.Dial(ctx, Member{ID: n.ID(), Address: n.Address()}, ProtocolRaft)
		if err == nil && alive(conn) {
			t.Errorf("%s takes its raft", n.Name())
		}
		if _, err := n.Dial(ctx, Member{ID: gone.ID(), Address: gone.Address()}, ProtocolRaft); err == nil {
			t.Errorf("%s reaches for it", n.Name())
		}
	}
	if _, err := c.leader().Renew(ctx, nil, access.Actor{Role: access.Node, Name: "n3", Serial: gone.own.Load().id.Serial}); !errors.Is(err, store.ErrDenied) {
		t.Errorf("it asks for a certificate: %v, want denied", err)
	}
}

func TestOnlyWhoHoldsACertificateRenewsIt(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	csr, _, err := pki.NewCSR("ana")
	if err != nil {
		t.Fatal(err)
	}
	first := func(serial string, id mutation.Certificate) mutation.Certificate {
		id.Serial, id.IssuedAt, id.NotAfter = serial, store.TimeOf(time.Now()), store.TimeOf(time.Now().Add(time.Hour))
		if err := n.recordCertificate(ctx, id, "test"); err != nil {
			t.Fatal(err)
		}
		return id
	}
	ana := first("c1", mutation.Certificate{Role: "operator", Name: "ana", Tenant: "acme"})
	by := access.Actor{Role: access.Operator, Name: "ana", Tenant: "acme", Serial: "c1", Source: "127.0.0.1:9"}
	e, err := n.Renew(ctx, csr, by)
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.Credentials{CertPEM: e.CertPEM}.Identity()
	if err != nil || id.Role != access.Operator || id.Name != "ana" || id.Tenant != "acme" || len(e.ClusterKey) != 0 {
		t.Errorf("%+v, %v, with %d bytes of the cluster key", id, err, len(e.ClusterKey))
	}
	if r := certificateOf(n.Image(), id.Serial); r.LineOf() != ana.Serial || r.Tenant != "acme" {
		t.Errorf("on record is %+v", r)
	}
	otherName, unbound, unknown, asNode := by, by, by, by
	otherName.Name, unbound.Tenant, unknown.Serial = "eve", "", "c9"
	asNode.Role, asNode.Name, asNode.Tenant = access.Node, "n1", ""
	for what, eve := range map[string]access.Actor{"another's": otherName, "one without the bound": unbound, "one that is not on record": unknown, "a node's": asNode} {
		if _, err := n.Renew(ctx, csr, eve); !errors.Is(err, store.ErrDenied) {
			t.Errorf("%s: %v, want denied", what, err)
		}
	}
	if _, err := n.Renew(ctx, csr, access.Local("0")); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("at the socket: %v, want invalid", err)
	}
	c.clock.Store(int64(2 * time.Hour))
	if _, err := n.Renew(ctx, csr, by); !errors.Is(err, store.ErrDenied) {
		t.Errorf("one that has expired: %v, want denied", err)
	}
	c.clock.Store(0)
	if _, _, err := n.Revoke(ctx, "c1", access.Local("0")); err != nil {
		t.Fatal(err)
	}
	by.Serial = id.Serial
	if _, err := n.Renew(ctx, csr, by); !errors.Is(err, store.ErrDenied) {
		t.Errorf("one of a line that was taken back: %v, want denied", err)
	}
}

// Each renewal is a record in the state of every node, for as long as the
// certificate lives: a reader must not be able to fill it.
func TestALineIsNotRenewedWithoutEnd(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	csr, _, err := pki.NewCSR("ci")
	if err != nil {
		t.Fatal(err)
	}
	for serial, name := range map[string]string{"c1": "ci", "c2": "ana"} {
		id := mutation.Certificate{Serial: serial, Role: "reader", Name: name, IssuedAt: store.TimeOf(n.cfg.Now().Add(-61 * day)), NotAfter: store.TimeOf(n.cfg.Now().Add(29 * day))}
		if err := n.recordCertificate(ctx, id, "test"); err != nil {
			t.Fatal(err)
		}
	}
	renewals := func(name, serial string) (good int) {
		var all sync.WaitGroup
		var mu sync.Mutex
		for range 3 * renewalsAtOnce {
			all.Go(func() {
				_, err := n.Renew(ctx, csr, access.Actor{Role: access.Reader, Name: name, Serial: serial, Source: "127.0.0.1:9"})
				if err != nil && !errors.Is(err, store.ErrDenied) {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					good++
				}
			})
		}
		all.Wait()
		return good
	}
	for what, count := range map[string]func() int{
		"of one reader": func() int { return renewals("ci", "c1") }, "of another": func() int { return renewals("ana", "c2") },
	} {
		if got := count(); got != renewalsAtOnce {
			t.Errorf("%d renewals %s at once, want %d", got, what, renewalsAtOnce)
		}
	}
	c.clock.Store(int64(10 * day)) // more than a tenth of 90 days
	if got := renewals("ci", "c1"); got != renewalsAtOnce {
		t.Errorf("%d renewals some days later, want %d", got, renewalsAtOnce)
	}
}

func TestThatOfAVoterIsNotTakenBack(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, _, err := n.Revoke(ctx, n.own.Load().id.Serial, access.Local("0")); !errors.Is(err, store.ErrRefused) {
		t.Errorf("that of a voter: %v, want refused", err)
	}
	if _, _, err := n.Revoke(ctx, "none", access.Local("0")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that is not there: %v, want not found", err)
	}
	if _, _, err := n.Revoke(ctx, "none", access.Actor{Role: access.Operator, Name: "ana"}); !errors.Is(err, store.ErrDenied) {
		t.Errorf("by an operator: %v, want denied", err)
	}
	record := mutation.Certificate{Serial: "d1", Role: "node", Name: "n9", NodeID: "id9", NotAfter: store.TimeOf(time.Now().Add(time.Hour)), IssuedAt: store.TimeOf(time.Now())}
	if err := n.recordCertificate(ctx, record, "test"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, _, err := n.Revoke(ctx, "d1", access.Local("7")); err != nil || !got.Revoked || got.Removed() || got.Why != "revoked by unix/7" {
			t.Errorf("that of a node that is no member: %+v, %v", got, err)
		}
	}
	if why, removed := n.Farewell("d1", "id9"); why == nil || removed {
		t.Errorf("its holder is told %v, removed %v", why, removed)
	}
	if why, _ := n.Farewell("unknown", "id9"); why == nil {
		t.Error("a certificate of the node that is not on record is good")
	}
	if _, err := n.Remove(ctx, RemoveRequest{Name: "id9"}, access.Local("7")); err != nil {
		t.Fatal(err)
	}
	if why, removed := n.Farewell("d1", "id9"); why == nil || !removed {
		t.Errorf("once the node is removed its holder is told %v, removed %v", why, removed)
	}
}

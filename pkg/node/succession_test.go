package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// enrolled is a person with a certificate of the leader's.
func (c *trio) enrolled(name string) pki.Credentials { return c.enrolledIn(name, "") }

func (c *trio) enrolledIn(name, tenant string) pki.Credentials {
	c.t.Helper()
	leader := c.leader()
	csr, signer, err := pki.NewCSR(name)
	if err != nil {
		c.t.Fatal(err)
	}
	e, record, err := leader.sign(csr, pki.Identity{Role: access.Operator, Name: name, Tenant: tenant, ClusterID: leader.ClusterID(), Generation: leader.self.Generation})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := leader.recordCertificate(ctx, record, "test"); err != nil {
		c.t.Fatal(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(signer)
	if err != nil {
		c.t.Fatal(err)
	}
	return pki.Credentials{CertPEM: e.CertPEM, KeyPEM: keyPEM, CAPEM: e.CAPEM}
}

// calls is a connection of a person to a node. The refusal of a server comes
// with the first read.
func (c *trio) calls(who pki.Credentials, n *Node) (net.Conn, error) {
	cfg, err := pki.ClientTLS(who, n.ClusterID(), 1, nil, ProtocolStream, "")
	if err != nil {
		return nil, err
	}
	conn, err := tls.Dial("tcp", n.Address(), cfg)
	if err != nil {
		return nil, err
	}
	c.t.Cleanup(func() { conn.Close() })
	if !alive(conn) {
		return conn, errors.New("the server closed the connection")
	}
	return conn, nil
}

// takes accepts what comes to a node, as package rpc does, and leaves it open.
func (c *trio) takes(n *Node) {
	go func() {
		for {
			conn, err := n.Listener(ProtocolStream).Accept()
			if err != nil {
				return
			}
			c.t.Cleanup(func() { conn.Close() })
			id, err := pki.IdentityOf(conn.(*tls.Conn).ConnectionState().PeerCertificates[0])
			if why, _ := n.Farewell(id.Serial, id.NodeID); err != nil || why != nil {
				conn.Close()
			}
		}
	}()
}

func (c *trio) rotate(req RotateRequest) (*Authorities, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.leader().Rotate(ctx, req, access.Local("0"))
}

func (c *trio) phase(want string) *Authorities {
	c.t.Helper()
	var a *Authorities
	c.until("phase "+want, func() (err error) {
		if a, err = c.rotate(RotateRequest{Look: true}); err == nil && a.Phase != want {
			err = fmt.Errorf("%+v", a)
		}
		return err
	})
	return a
}

// Nobody is shut out on the way, whoever leads: a member that is away holds the
// switch up, people who have not renewed go on, and only the last step ends them.
func TestTheAuthorityIsRolledOver(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	ana, eve := c.enrolled("ana"), c.enrolledIn("eve", "acme")
	before := c.serials()
	first := c.phase(CAOne).Signs
	away := "n1"
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			away = n.Name()
		}
	}
	c.close(away)
	a, err := c.rotate(RotateRequest{})
	if err != nil || a.Phase != CAAnnounced || a.Signs != first {
		t.Fatalf("%+v, %v", a, err)
	}
	second := a.Other
	c.until("only "+away+" is waited for", func() error {
		a, err := c.rotate(RotateRequest{}) // given again, it begins nothing
		if err == nil && (len(a.Waiting) != 1 || a.Waiting[0] != away || a.Other != second) {
			err = fmt.Errorf("%+v", a)
		}
		return err
	})
	was := c.leader()
	was.succeed() // as its watch does
	if a, err := c.rotate(RotateRequest{}); err != nil || a.Phase != CAAnnounced || a.Signs != first {
		t.Errorf("while %s is waited for: %+v, %v", away, a, err)
	}
	if _, err := c.rotate(RotateRequest{Retire: true}); !errors.Is(err, store.ErrRefused) {
		t.Errorf("retired before the switch: %v, want refused", err)
	}
	if err := was.raft().LeadershipTransfer().Error(); err != nil {
		t.Fatal(err)
	}
	c.open(away, false)
	c.renewed(before)
	if a := c.phase(CASwitched); a.Signs != second || a.Other != first {
		t.Errorf("%+v, want %s after %s", a, second, first)
	}
	c.must(clientNamed("acme", "web"))
	for _, n := range c.running() {
		if o := n.own.Load(); pki.AuthorityID(o.CAPEM) != first || !pki.Trusts(o.CAPEM, good(o.Leaf())) || certificateOf(n.Image(), o.id.Serial).Authority != second {
			t.Errorf("%s has a certificate of %s", n.Name(), certificateOf(n.Image(), o.id.Serial).Authority)
		}
		c.takes(n)
	}

	n := c.leader()
	var open net.Conn
	c.until("ana is let in, who knows the old one only", func() (err error) { // and somebody accepts
		open, err = c.calls(ana, n)
		return err
	})
	bob := c.enrolled("bob")
	c.until("bob is let in, who was enrolled by the new one", func() error {
		_, err := c.calls(bob, n)
		return err
	})
	_, err = c.rotate(RotateRequest{Retire: true})
	if !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "operator/ana, operator/eve@acme") || strings.Contains(err.Error(), "bob") {
		t.Errorf("retired while ana and eve need it: %v", err)
	}
	if _, err := c.rotate(RotateRequest{}); !errors.Is(err, store.ErrRefused) {
		t.Errorf("a third one: %v, want refused", err)
	}
	if a, err := c.rotate(RotateRequest{Retire: true, Force: true}); err != nil || a.Phase != CAOne || a.Signs != second {
		t.Fatalf("%+v, %v", a, err)
	}
	c.until("every node trusts the new one only", func() error {
		for _, n := range c.running() {
			if o := n.own.Load(); pki.AuthorityID(o.CAPEM) != second || pki.Trusts(o.CAPEM, good(ana.Leaf())) {
				return errors.New(n.Name())
			}
		}
		return nil
	})
	c.until("ana's connection has ended", func() error {
		if alive(open) {
			return errors.New("it is open")
		}
		return nil
	})
	if _, err := c.calls(eve, n); err == nil {
		t.Error("eve's certificate of the old authority is taken")
	}
	for name := range c.dirs {
		c.close(name)
	}
	for name := range c.dirs {
		c.open(name, false)
	}
	c.must(clientNamed("acme", "after"))
	c.agree()
}

// An open connection ends on every node within a second of the answer, whoever
// dialled it, and no new one comes up.
func TestARevokedHolderIsDisconnectedEverywhere(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	ana, bob := c.enrolled("ana"), c.enrolled("bob")
	var conns []net.Conn
	var others []net.Conn
	for _, n := range c.running() {
		c.takes(n)
		conn, err := c.calls(ana, n)
		if err != nil {
			t.Fatal(err)
		}
		other, err := c.calls(bob, n)
		if err != nil {
			t.Fatal(err)
		}
		conns, others = append(conns, conn), append(others, other)
	}
	serial := good(ana.Identity()).Serial
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, _, err := c.leader().Revoke(ctx, serial, access.Local("0")); err != nil {
		t.Fatal(err)
	}
	answered := time.Now()
	for i, conn := range conns {
		conn.SetReadDeadline(time.Now().Add(patience))
		_, err := conn.Read(make([]byte, 1))
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatalf("connection %d is open", i)
		}
	}
	took := time.Since(answered)
	t.Logf("the last of %d connections ended %s after the answer", len(conns), took)
	if took > time.Second {
		t.Errorf("it took %s, want less than a second", took)
	}
	for i, n := range c.running() {
		if _, err := c.calls(ana, n); err == nil {
			t.Errorf("%s takes a new one", n.Name())
		}
		if !alive(others[i]) {
			t.Error("bob was disconnected, too")
		}
	}
}

// A node that is no longer good is cut off in both directions: what it dialled,
// what it was dialled, and what raft keeps open.
func TestARemovedNodeIsCutOffInBothDirections(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	leader := c.leader()
	var gone *Node
	for _, n := range c.running() {
		if n != leader {
			gone = n
		}
		c.takes(n)
	}
	dial := func(from, to *Node) (net.Conn, error) {
		return from.Dial(context.Background(), Member{ID: to.ID(), Address: to.Address()}, ProtocolStream)
	}
	there := good(dial(leader, gone))
	back := good(dial(gone, leader))
	t.Cleanup(func() { there.Close(); back.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := leader.Remove(ctx, RemoveRequest{Name: gone.Name()}, access.Local("0")); err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{there, back} {
		c.until("the end of both connections", func() error {
			if alive(conn) {
				return errors.New("one is open")
			}
			return nil
		})
	}
	c.until("no connection of the removed node", func() error {
		leader.open.mu.Lock()
		defer leader.open.mu.Unlock()
		for h := range leader.open.open {
			if h.id.NodeID == gone.ID() {
				return fmt.Errorf("%s is open", h.RemoteAddr())
			}
		}
		return nil
	})
	if _, err := dial(leader, gone); err == nil {
		t.Error("the removed node is dialled")
	}
	if conn, err := dial(gone, leader); err == nil && alive(conn) {
		t.Error("the removed node is let in")
	}
}

// good is a value that a test can do nothing without.
func good[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

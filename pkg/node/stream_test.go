package node

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestRaftAddress(t *testing.T) {
	for _, c := range []struct{ address, id, hostport string }{
		{"n1@127.0.0.1:7700", "n1", "127.0.0.1:7700"},
		{"0198-aa@node.example:1", "0198-aa", "node.example:1"},
		{"n1@[::1]:7700", "n1", "[::1]:7700"},
	} {
		id, hostport, err := splitAddress(raft.ServerAddress(c.address))
		if id != c.id || hostport != c.hostport || err != nil {
			t.Errorf("%s = %q, %q, %v", c.address, id, hostport, err)
		}
		if got := joinAddress(id, hostport); string(got) != c.address {
			t.Errorf("joined %q, want %q", got, c.address)
		}
	}
	for _, bad := range []string{"", "127.0.0.1:7700", "@127.0.0.1:7700", "n1@", "n1@127.0.0.1", "n1@:7700", "n1@127.0.0.1:", "n1@::1:7700", "n1@a@b:1x@:"} {
		if id, hostport, err := splitAddress(raft.ServerAddress(bad)); err == nil || id+hostport != "" {
			t.Errorf("%q = %q, %q, %v; want an error", bad, id, hostport, err)
		}
	}
}

func TestStreamLayerAcceptsNodesOnly(t *testing.T) {
	ca := newWireCA(t)
	ln := listenLoopback(t)
	m := newMux(ln, serverTLS(t, ca.member(t, access.Node, "n1")))
	defer m.Close()
	layer := newStreamLayer(m.Listener(ProtocolRaft), string(joinAddress("n1-id", ln.Addr().String())), nil)
	if got := layer.Addr().String(); got != "n1-id@"+ln.Addr().String() {
		t.Errorf("Addr = %q", got)
	}
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			conn, err := layer.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	for _, role := range []access.Role{access.Admin, access.Operator, access.Reader} {
		conn := tls.Client(dialTCP(t, ln), clientTLS(t, ca.member(t, role, "ana"), ProtocolRaft, "n1-id"))
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, string(role), conn)
	}
	conn := tls.Client(dialTCP(t, ln), clientTLS(t, ca.member(t, access.Node, "n2"), ProtocolRaft, "n1-id"))
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	got, ok := <-accepted
	if !ok {
		t.Fatal("the layer ended")
	}
	defer got.Close()
	if id, err := pki.IdentityOf(got.(*counted).Conn.(*tls.Conn).ConnectionState().PeerCertificates[0]); id.Name != "n2" || err != nil {
		t.Errorf("accepted %s, %v", id, err)
	}
	layer.Close()
	if _, ok := <-accepted; ok {
		t.Error("a further connection was accepted")
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := nodeOf(a); err == nil {
		t.Error("a connection without TLS is a node's")
	}
}

func TestStreamLayerDialsTheNodeItMeans(t *testing.T) {
	ca := newWireCA(t)
	ln := listenLoopback(t)
	m := newMux(ln, serverTLS(t, ca.member(t, access.Node, "n1")))
	defer m.Close()
	go echo(m.Listener(ProtocolRaft), 'r')
	n2 := ca.member(t, access.Node, "n2")
	layer := newStreamLayer(nil, "n2-id@127.0.0.1:1", func(id string) (*tls.Config, error) {
		if id == "unknown" {
			return nil, errors.New("no such member")
		}
		return pki.ClientTLS(n2, wireCluster, 1, nil, ProtocolRaft, id)
	})
	at := ln.Addr().String()
	silent := listenLoopback(t) // its backlog answers, nobody else does
	defer silent.Close()
	for _, c := range []struct {
		fact    string
		address raft.ServerAddress
		timeout time.Duration
		says    string // "": it connects
	}{
		{"the node", joinAddress("n1-id", at), 10 * time.Second, ""},
		{"the node, with no timeout given", joinAddress("n1-id", at), 0, ""},
		{"another node at the address", joinAddress("n3-id", at), 10 * time.Second, "where node n3-id was expected"},
		{"a node that is no member", joinAddress("unknown", at), 10 * time.Second, "no such member"},
		{"an address with no id", raft.ServerAddress(at), 10 * time.Second, "not of the form"},
		{"one that does not answer", joinAddress("n1-id", silent.Addr().String()), 50 * time.Millisecond, "dial node n1-id at"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			conn, err := layer.Dial(c.address, c.timeout)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || conn != nil {
					t.Errorf("connection %v, error %v, want %q", conn, err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			answer := make([]byte, 1)
			if _, err := conn.Write([]byte{'?'}); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(answer); err != nil || answer[0] != 'r' {
				t.Errorf("answer %q, %v", answer, err)
			}
		})
	}
	_, err := layer.Dial(joinAddress("n3-id", at), 10*time.Second)
	if !errors.Is(err, store.ErrDenied) {
		t.Errorf("another node: %v, want one of code denied", err)
	}
}

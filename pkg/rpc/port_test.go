package rpc

import (
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

const testCluster = "c-1"

func newAuthority(t *testing.T) *pki.Authority {
	t.Helper()
	ca, err := pki.NewAuthority(testCluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// member certifies somebody for an hour from then on.
func member(t *testing.T, ca *pki.Authority, role access.Role, name string, generation uint64, from time.Time) pki.Credentials {
	t.Helper()
	id := pki.Identity{Role: role, Name: name, ClusterID: testCluster, Generation: generation}
	if role == access.Node {
		id.NodeID = name + "-id"
	}
	csr, key, err := pki.NewCSR(name)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := ca.Sign(csr, id, time.Hour, from)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	return pki.Credentials{CertPEM: cert, KeyPEM: keyPEM, CAPEM: ca.CertPEM()}
}

// port is a node's port, on which the fake answers whom TLS lets in.
type port struct {
	address string
	server  *Server

	mu    sync.Mutex
	conns []net.Conn
}

// openPort serves the fake as a node with these credentials would.
func openPort(t *testing.T, f *fake, own pki.Credentials, change func(*tls.Config), revoked func(string) bool) *port {
	t.Helper()
	if f.img == nil {
		f.img = store.NewImage()
	}
	id, err := own.Identity()
	if err != nil {
		t.Fatal(err)
	}
	if revoked == nil {
		revoked = func(string) bool { return false }
	}
	cfg, err := pki.ServerTLS(own, testCluster, id.Generation, revoked, []string{ProtocolRPC, ProtocolStream})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(cfg)
	}
	s, err := NewServer(f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &port{address: l.Addr().String(), server: s}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, raw)
			p.mu.Unlock()
			done.Go(func() {
				defer raw.Close()
				conn := tls.Server(raw, cfg)
				if conn.Handshake() != nil {
					return
				}
				s.servePeer(conn, conn.ConnectionState().NegotiatedProtocol)
			})
		}
	})
	t.Cleanup(func() { l.Close(); p.cut(); done.Wait() })
	return p
}

// cut breaks every connection.
func (p *port) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// nobodyAt is an address at which nobody listens.
func nobodyAt(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func clientOf(t *testing.T, own *pki.Credentials, servers ...string) *Client {
	c := NewClient(Options{Servers: servers, Credentials: own})
	t.Cleanup(func() { c.Close() })
	return c
}

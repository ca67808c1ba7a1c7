package node

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
)

const wireCluster = "wire-test"

var wireProtocols = []string{ProtocolRaft, ProtocolRPC, ProtocolStream}

// wireCA certifies the peers of a test.
type wireCA struct{ *pki.Authority }

func newWireCA(t *testing.T) wireCA {
	t.Helper()
	a, err := pki.NewAuthority(wireCluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return wireCA{a}
}

func (a wireCA) member(t *testing.T, role access.Role, name string) pki.Credentials {
	t.Helper()
	id := pki.Identity{Role: role, Name: name, ClusterID: wireCluster, Generation: 1}
	if role == access.Node {
		id.NodeID = name + "-id"
	}
	csr, key, err := pki.NewCSR(name)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := a.Sign(csr, id, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	return pki.Credentials{CertPEM: cert, KeyPEM: keyPEM, CAPEM: a.CertPEM()}
}

func serverTLS(t *testing.T, c pki.Credentials) *tls.Config {
	t.Helper()
	cfg, err := pki.ServerTLS(c, wireCluster, 1, func(string) bool { return false }, wireProtocols)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func clientTLS(t *testing.T, c pki.Credentials, alpn, want string) *tls.Config {
	t.Helper()
	cfg, err := pki.ClientTLS(c, wireCluster, 1, nil, alpn, want)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func listenLoopback(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// dialTCP connects and gives up all waiting after ten seconds.
func dialTCP(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// wantClosed fails unless the other end closes the connection.
func wantClosed(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Errorf("%s: the connection is still open", what)
	}
}

// echo answers each connection's first byte with mark, until the listener ends.
func echo(ln net.Listener, mark byte) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				conn.Write([]byte{mark})
			}
		}()
	}
}

// ask handshakes over raw and returns the mark of the echo that answers.
func ask(raw net.Conn, cfg *tls.Config) (byte, error) {
	conn := tls.Client(raw, cfg)
	if _, err := conn.Write([]byte{'?'}); err != nil {
		return 0, err
	}
	answer := make([]byte, 1)
	_, err := io.ReadFull(conn, answer)
	return answer[0], err
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(15 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

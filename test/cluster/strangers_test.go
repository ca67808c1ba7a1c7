package cluster

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

// A stranger on the port is refused before anything that it says is decoded,
// and the node goes on.
func TestAStrangerOnThePortIsRefused(t *testing.T) {
	c, other := found(t, 1), found(t, 1)
	n := c.Nodes[0]
	foreign, err := tls.LoadX509KeyPair(filepath.Join(other.Nodes[0].Dir, "tls", "node.crt"), filepath.Join(other.Nodes[0].Dir, "tls", "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(n.Dir, "tls", "node.crt"), filepath.Join(n.Dir, "tls", "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	before := c.Settled()
	address := before.Nodes[0].Address

	// What a stranger would like to have done: a frame as nodes send it.
	write, err := newFrame(1, "Peer.Write", map[string]any{"actor": "unix/0", "timeout_ms": 2000, "args": mutation.Request{
		ID: "stranger", NoTime: true, Op: mutation.OpTenantCreate, Tenant: "stranger", Name: "stranger",
	}})
	if err != nil {
		t.Fatal(err)
	}
	with := func(certificate *tls.Certificate, version uint16, protocols ...string) *tls.Config {
		c := &tls.Config{MaxVersion: version, NextProtos: protocols, InsecureSkipVerify: true} // a stranger does not mind whom it reached
		if certificate != nil {
			// Shown even if the server asks for those of another authority.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
		}
		return c
	}
	const raft = "cpctl-raft/1"
	const tls12 = tls.VersionTLS12
	tests := []struct {
		name   string
		config *tls.Config // nil: no TLS at all
		says   []byte
		want   string // what the end of the connection is called; "" for any
	}{
		{"who speaks HTTP", nil, []byte("GET / HTTP/1.1\r\nHost: cpctl\r\n\r\n"), ""},
		{"who sends a write in clear", nil, write, ""},
		{"who sends the line of the socket", nil, append([]byte(rpc.ProtocolRPC+"\n"), write...), ""},
		{"who sends zeroes", nil, make([]byte, 64<<10), ""},
		{"TLS 1.2, with a certificate of the cluster", with(&own, tls12, rpc.ProtocolRPC), write, "protocol version not supported"},
		{"TLS 1.2, with a certificate of another", with(&foreign, tls12, rpc.ProtocolRPC), write, "protocol version not supported"},
		{"without a certificate", with(nil, 0, rpc.ProtocolRPC), write, "certificate required"},
		{"a node of another cluster, for rpc", with(&foreign, 0, rpc.ProtocolRPC), write, "unknown certificate authority"},
		{"a node of another cluster, for a stream", with(&foreign, 0, rpc.ProtocolStream), write, "unknown certificate authority"},
		{"a node of another cluster, for raft", with(&foreign, 0, raft), write, "unknown certificate authority"},
		{"a certificate of the cluster, for no protocol", with(&own, 0), write, "bad certificate"},
		{"a certificate of the cluster, for a protocol that nobody speaks", with(&own, 0, "h2"), write, "no application protocol"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			switch err := knock(t, address, tt.config, tt.says); {
			case err == nil:
				t.Error("was answered")
			case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE): // it was faster than its alert
			case !strings.Contains(err.Error(), tt.want):
				t.Errorf("sent away with %q, want %q", err, tt.want)
			}
		})
	}

	// The same frame from a member is heard: it was the stranger that was refused.
	if err := knock(t, address, with(&own, 0, rpc.ProtocolRPC), mustFrame(t, "Peer.Progress")); err != nil {
		t.Errorf("a member was refused: %v", err)
	}

	// Connections that say nothing do not keep anybody out either.
	for range 300 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if err := knock(t, address, with(&own, 0, rpc.ProtocolRPC), mustFrame(t, "Peer.Progress")); err != nil {
		t.Errorf("a member was kept out: %v", err)
	}

	if !n.Running() {
		t.Fatalf("the node ended with exit %d", n.ExitCode())
	}
	if after := c.Settled(); after.CommitIndex != before.CommitIndex || after.Nodes[0].StateDigest != before.Nodes[0].StateDigest {
		t.Errorf("a stranger changed the state: %+v, it was %+v", after, before)
	}
	if r := c.Cpctl(n.Server(), nil, "tenant", "get", "stranger"); r.Exit != 3 {
		t.Errorf("tenant get stranger: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	c.Must(n.Server(), "tenant", "create", "goes-on")
	if _, err := os.Stat(filepath.Join(n.Data(), "tenants", "goes-on", "tenant.json")); err != nil {
		t.Error(err)
	}
}

// knock connects, says something and returns nil if it is answered with
// anything but an alert.
func knock(t *testing.T, address string, config *tls.Config, says []byte) error {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(live.Patience)); err != nil {
		t.Fatal(err)
	}
	if config == nil {
		return knockInClear(conn, says)
	}
	over := tls.Client(conn, config)
	if err := over.Handshake(); err != nil {
		return err
	}
	// In TLS 1.3 the client is done before the server has judged its certificate.
	_, unsaid := over.Write(says)
	if _, err = io.ReadFull(over, make([]byte, 1)); err != nil {
		return timedOut(t, errors.Join(err, unsaid))
	}
	return nil
}

// knockInClear expects at most an alert of TLS, which is a record of type 21
// (RFC 8446 section 5.1), and then the end.
func knockInClear(conn net.Conn, says []byte) error {
	if _, err := conn.Write(says); err != nil {
		return err
	}
	heard, err := io.ReadAll(conn)
	switch {
	case len(heard) > 0 && (heard[0] != 21 || len(heard) != 7):
		return nil
	case err == nil:
		return io.EOF
	}
	return err
}

// timedOut makes a connection that is held open without a word a failure: a
// stranger has to be sent away.
func timedOut(t *testing.T, err error) error {
	t.Helper()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("neither answered nor sent away within %s", live.Patience)
	}
	return err
}

// mustFrame is a call without arguments.
func mustFrame(t *testing.T, method string) []byte {
	t.Helper()
	b, err := newFrame(1, method, map[string]any{"timeout_ms": 5000, "args": json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

package pki

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

var none = func(string) bool { return false }

// shake connects two configurations over loopback. The client's error is that
// of its first read where its handshake went well: TLS 1.3 refuses that late.
func shake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	deadline := time.Now().Add(5 * time.Second)
	done := make(chan error, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		conn := tls.Server(raw, server)
		defer conn.Close()
		conn.SetDeadline(deadline)
		if err := conn.Handshake(); err != nil {
			done <- err
			return
		}
		_, err = conn.Write([]byte{1})
		done <- err
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, client)
	conn.SetDeadline(deadline)
	if clientErr = conn.Handshake(); clientErr == nil {
		state = conn.ConnectionState()
		_, clientErr = conn.Read(make([]byte, 1))
	}
	conn.Close()
	return state, <-done, clientErr
}

func serve(t *testing.T, c Credentials) *tls.Config {
	t.Helper()
	return must[*tls.Config](t)(ServerTLS(c, testCluster, 1, none, []string{"cpctl-raft/1", "cpctl-rpc/1"}))
}

func dial(t *testing.T, c Credentials, want string) *tls.Config {
	t.Helper()
	return must[*tls.Config](t)(ClientTLS(c, testCluster, 1, none, "cpctl-rpc/1", want))
}

func TestHandshakeAccepted(t *testing.T) {
	a := newAuthority(t, testCluster)
	n1, _ := member(t, a, node("n1"), time.Now())
	n2, _ := member(t, a, node("n2"), time.Now())
	ana, _ := member(t, a, operator("ana"), time.Now())
	for _, c := range []struct {
		fact   string
		client *tls.Config
	}{
		{"a node that dials the node it means", dial(t, n2, "n1-id")},
		{"a node that dials any node", dial(t, n2, "")},
		{"an operator", dial(t, ana, "")},
	} {
		t.Run(c.fact, func(t *testing.T) {
			state, serverErr, clientErr := shake(t, serve(t, n1), c.client)
			if serverErr != nil || clientErr != nil {
				t.Fatalf("server %v, client %v", serverErr, clientErr)
			}
			if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "cpctl-rpc/1" {
				t.Errorf("TLS %#x, protocol %q", state.Version, state.NegotiatedProtocol)
			}
		})
	}
}

func TestHandshakeRefused(t *testing.T) {
	a, foreign := newAuthority(t, testCluster), newAuthority(t, testCluster)
	n1, n1Serial := member(t, a, node("n1"), time.Now())
	n2, n2Serial := member(t, a, node("n2"), time.Now())
	ana, _ := member(t, a, operator("ana"), time.Now())
	stranger, _ := member(t, foreign, node("n2"), time.Now())
	past, _ := member(t, a, node("n2"), time.Now().Add(-2*time.Hour))
	future, _ := member(t, a, node("n2"), time.Now().Add(time.Hour))
	next := node("n2")
	next.Generation = 2
	second, _ := member(t, a, next, time.Now())
	other := node("n2")
	other.ClusterID = "other"
	elsewhereAuthority := newAuthority(t, "other")
	elsewhereAuthority.key, elsewhereAuthority.cert = a.key, a.cert // signs a wrong name with the right key
	elsewhere, _ := member(t, elsewhereAuthority, other, time.Now())

	// raw configurations stand for peers that do not keep to the rules
	raw := func(c Credentials, edit func(*tls.Config)) *tls.Config {
		own := must[tls.Certificate](t)(tls.X509KeyPair(c.CertPEM, c.KeyPEM))
		cfg := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}, NextProtos: []string{"cpctl-rpc/1"}}
		// whatever authorities the server asks for
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		if edit != nil {
			edit(cfg)
		}
		return cfg
	}
	revokes := func(serial string) func(string) bool { return func(s string) bool { return s == serial } }
	server := serve(t, n1)
	const atServer, atClient = true, false
	for _, c := range []struct {
		fact           string
		server, client *tls.Config
		where          bool
		says           string
	}{
		{"a client of a foreign authority", server, raw(stranger, nil), atServer, "unknown authority"},
		{"a client with no certificate", server, raw(n2, func(c *tls.Config) {
			c.GetClientCertificate = nil
			c.Certificates = nil
		}), atServer, "didn't provide a certificate"},
		{"a client of another cluster", server, raw(elsewhere, nil), atServer, "is of cluster other"},
		{"a client of another generation", server, raw(second, nil), atServer, "recovered as generation 2"},
		{"a client whose time is over", server, raw(past, nil), atServer, "expired"},
		{"a client whose time has not come", server, raw(future, nil), atServer, "not yet valid"},
		{"a client that was revoked", must[*tls.Config](t)(ServerTLS(n1, testCluster, 1, revokes(n2Serial), []string{"cpctl-rpc/1"})),
			dial(t, n2, ""), atServer, "was revoked"},
		{"TLS 1.2", server, raw(n2, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), atServer, "unsupported versions"},
		{"a protocol that is not served", server, raw(n2, func(c *tls.Config) { c.NextProtos = []string{"h2"} }), atServer, "unsupported application protocols"},
		{"no protocol", server, raw(n2, func(c *tls.Config) { c.NextProtos = nil }), atServer, "speaks none of"},

		{"a server of a foreign authority", raw(stranger, nil), dial(t, n2, ""), atClient, "unknown authority"},
		{"a server of another cluster", raw(elsewhere, nil), dial(t, n2, ""), atClient, "is of cluster other"},
		{"a server of another generation", raw(second, nil), dial(t, n2, ""), atClient, "recovered as generation 2"},
		{"a server whose time is over", raw(past, nil), dial(t, n2, ""), atClient, "expired"},
		{"a server that was revoked", server, must[*tls.Config](t)(ClientTLS(n2, testCluster, 1, revokes(n1Serial), "cpctl-rpc/1", "")), atClient, "was revoked"},
		{"an operator that serves", raw(ana, nil), dial(t, n2, ""), atClient, "incompatible key usage"},
		{"another node than the one dialled", server, dial(t, n2, "n3-id"), atClient, "reached node n1-id (n1) where node n3-id"},
		{"a server of TLS 1.2", raw(n1, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), dial(t, n2, ""), atClient, "protocol version"},
		{"a server that agrees on no protocol", raw(n1, func(c *tls.Config) { c.NextProtos = nil }), dial(t, n2, ""), atClient, "speaks none of"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			_, serverErr, clientErr := shake(t, c.server, c.client)
			err := clientErr
			if c.where == atServer {
				err = serverErr
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("server %v, client %v, want %q", serverErr, clientErr, c.says)
			}
			if clientErr == nil {
				t.Error("the client read an answer")
			}
		})
	}
}

// The extended key usage stops an operator's certificate already; the role is
// looked at all the same, should an authority ever sign otherwise.
func TestOnlyANodeServes(t *testing.T) {
	a := newAuthority(t, testCluster)
	ana, _ := member(t, a, operator("ana"), time.Now())
	if _, err := ServerTLS(ana, testCluster, 1, none, []string{"cpctl-rpc/1"}); err == nil {
		t.Error("an operator's certificate serves")
	}
	cert := must[tls.Certificate](t)(tls.X509KeyPair(ana.CertPEM, ana.KeyPEM))
	state := tls.ConnectionState{NegotiatedProtocol: "cpctl-rpc/1"}
	expect := peer{own: node("n1"), alpn: []string{"cpctl-rpc/1"}}
	wantError(t, expect.verifyNode(state, ""), store.CodeDenied, "no certificate")
	state.PeerCertificates = append(state.PeerCertificates, cert.Leaf)
	wantError(t, expect.verifyNode(state, ""), store.CodeDenied, "is not a node")
}

func TestRevokedCertificateDoesNotResume(t *testing.T) {
	a := newAuthority(t, testCluster)
	n1, _ := member(t, a, node("n1"), time.Now())
	n2, serial := member(t, a, node("n2"), time.Now())
	var mu sync.Mutex
	asked, gone := 0, false
	server := must[*tls.Config](t)(ServerTLS(n1, testCluster, 1, func(s string) bool {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return gone && s == serial
	}, []string{"cpctl-rpc/1"}))
	client := dial(t, n2, "n1-id")
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8) // a client that would like to
	for range 2 {
		state, serverErr, clientErr := shake(t, server, client)
		if serverErr != nil || clientErr != nil || state.DidResume {
			t.Fatalf("server %v, client %v, resumed %v", serverErr, clientErr, state.DidResume)
		}
	}
	mu.Lock()
	gone = true
	mu.Unlock()
	_, serverErr, clientErr := shake(t, server, client)
	wantError(t, serverErr, store.CodeDenied, "was revoked")
	if clientErr == nil {
		t.Error("the revoked client was served")
	}
	if asked != 3 {
		t.Errorf("asked for revocation %d times in 3 handshakes", asked)
	}
}

func TestCredentialsRefused(t *testing.T) {
	a := newAuthority(t, testCluster)
	n1, _ := member(t, a, node("n1"), time.Now())
	n2, _ := member(t, a, node("n2"), time.Now())
	for _, c := range []struct {
		fact       string
		creds      Credentials
		cluster    string
		generation uint64
		revoked    func(string) bool
		alpn       string
	}{
		{"another's key", Credentials{n1.CertPEM, n2.KeyPEM, n1.CAPEM}, testCluster, 1, none, "x"},
		{"no authority", Credentials{n1.CertPEM, n1.KeyPEM, nil}, testCluster, 1, none, "x"},
		{"nothing", Credentials{}, testCluster, 1, none, "x"},
		{"an authority's certificate", Credentials{a.CertPEM(), must[[]byte](t)(EncodeKeyPEM(a.key)), a.CertPEM()}, testCluster, 1, none, "x"},
		{"another cluster", n1, "other", 1, none, "x"},
		{"another generation", n1, testCluster, 2, none, "x"},
		{"no protocol", n1, testCluster, 1, none, ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			var alpn []string
			if c.alpn != "" {
				alpn = []string{c.alpn}
			}
			if _, err := ServerTLS(c.creds, c.cluster, c.generation, c.revoked, alpn); err == nil {
				t.Error("it serves")
			}
			if _, err := ClientTLS(c.creds, c.cluster, c.generation, c.revoked, c.alpn, ""); err == nil {
				t.Error("it dials")
			}
		})
	}
	if _, err := ServerTLS(n1, testCluster, 1, nil, []string{"x"}); err == nil {
		t.Error("it serves without knowing what was revoked")
	}
	_, err := ClientTLS(n1, "other", 1, nil, "x", "")
	if !errors.Is(err, store.ErrDenied) {
		t.Errorf("error = %v, want one of code denied", err)
	}
}

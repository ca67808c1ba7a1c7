package node

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
)

func TestMuxTellsProtocolsApart(t *testing.T) {
	ca := newWireCA(t)
	ln := listenLoopback(t)
	m := newMux(ln, serverTLS(t, ca.member(t, access.Node, "n1")))
	defer m.Close()
	for i, p := range wireProtocols {
		go echo(m.Listener(p), byte('a'+i))
	}
	n2, ana := ca.member(t, access.Node, "n2"), ca.member(t, access.Operator, "ana")
	for i, p := range wireProtocols {
		if got, err := ask(dialTCP(t, ln), clientTLS(t, n2, p, "n1-id")); got != byte('a'+i) || err != nil {
			t.Errorf("a node that asked for %s reached %q, %v", p, got, err)
		}
		got, err := ask(dialTCP(t, ln), clientTLS(t, ana, p, "n1-id"))
		if want := p != ProtocolRaft; (got == byte('a'+i) && err == nil) != want {
			t.Errorf("an operator that asked for %s reached %q, %v; served: %v expected", p, got, err, want)
		}
	}
}

func TestMuxGivesCompleteTLSConnections(t *testing.T) {
	ca := newWireCA(t)
	ln := listenLoopback(t)
	m := newMux(ln, serverTLS(t, ca.member(t, access.Node, "n1")))
	defer m.Close()
	l := m.Listener(ProtocolRPC)
	if l.Addr().String() != ln.Addr().String() {
		t.Errorf("the listener is at %s, the port at %s", l.Addr(), ln.Addr())
	}
	client := tls.Client(dialTCP(t, ln), clientTLS(t, ca.member(t, access.Reader, "ci"), ProtocolRPC, ""))
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	if !state.HandshakeComplete || state.NegotiatedProtocol != ProtocolRPC {
		t.Fatalf("state = %+v", state)
	}
	if id, err := pki.IdentityOf(state.PeerCertificates[0]); id.String() != "reader/ci" {
		t.Errorf("the peer is %s, %v", id, err)
	}
}

func TestBadPeerCostsOnlyItsOwnConnection(t *testing.T) {
	ca, foreign := newWireCA(t), newWireCA(t)
	ln := listenLoopback(t)
	m := newMux(ln, serverTLS(t, ca.member(t, access.Node, "n1")))
	defer m.Close()
	go echo(m.Listener(ProtocolRPC), 'a')
	good := clientTLS(t, ca.member(t, access.Operator, "ana"), ProtocolRPC, "n1-id")

	silent := dialTCP(t, ln)
	half := dialTCP(t, ln)
	half.Write([]byte{22, 3, 1}) // the beginning of a handshake
	for _, c := range []struct {
		fact string
		peer func(net.Conn)
	}{
		{"one that speaks HTTP", func(c net.Conn) { c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) }},
		{"one that sends noise", func(c net.Conn) { c.Write(make([]byte, 4096)) }},
		{"one of a foreign cluster", func(c net.Conn) {
			cfg := clientTLS(t, foreign.member(t, access.Node, "n1"), ProtocolRPC, "")
			cfg.VerifyConnection = nil
			ask(c, cfg)
		}},
		{"one with no certificate", func(c net.Conn) {
			ask(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ProtocolRPC}})
		}},
		{"one that asks for a protocol nobody accepts", func(c net.Conn) {
			ask(c, clientTLS(t, ca.member(t, access.Operator, "bob"), ProtocolStream, ""))
		}},
		{"one that leaves", func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }},
	} {
		t.Run(c.fact, func(t *testing.T) {
			conn := dialTCP(t, ln)
			c.peer(conn)
			wantClosed(t, c.fact, conn)
			if got, err := ask(dialTCP(t, ln), good); got != 'a' || err != nil {
				t.Errorf("a good peer after it: %q, %v", got, err)
			}
		})
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, "the silent one, after Close", silent)
	wantClosed(t, "the one that began, after Close", half)
}

func TestSlowHandshakeEnds(t *testing.T) {
	ca := newWireCA(t)
	ln := listenLoopback(t)
	m := newMuxWithin(ln, serverTLS(t, ca.member(t, access.Node, "n1")), 50*time.Millisecond, 8)
	defer m.Close()
	wantClosed(t, "a peer that says nothing", dialTCP(t, ln))
}

func TestOldestHandshakeMakesRoom(t *testing.T) {
	ca := newWireCA(t)
	ln := listenLoopback(t)
	m := newMuxWithin(ln, serverTLS(t, ca.member(t, access.Node, "n1")), time.Hour, 2)
	defer m.Close()
	go echo(m.Listener(ProtocolRPC), 'a')
	entered := func(n int) func() bool {
		return func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.shaking.Len() == n }
	}
	oldest := dialTCP(t, ln)
	until(t, "the first is in handshake", entered(1))
	dialTCP(t, ln)
	until(t, "the second is in handshake", entered(2))
	if got, err := ask(dialTCP(t, ln), clientTLS(t, ca.member(t, access.Operator, "ana"), ProtocolRPC, "")); got != 'a' || err != nil {
		t.Errorf("a member when all places are taken: %q, %v", got, err)
	}
	wantClosed(t, "the oldest", oldest)
	until(t, "only the second is in handshake", entered(1))
}

func TestListenerIsClosedAndMadeAgain(t *testing.T) {
	ca := newWireCA(t)
	ln := listenLoopback(t)
	m := newMux(ln, serverTLS(t, ca.member(t, access.Node, "n1")))
	defer m.Close()
	cfg := clientTLS(t, ca.member(t, access.Node, "n2"), ProtocolRaft, "n1-id")
	first := m.Listener(ProtocolRaft)
	if m.Listener(ProtocolRaft) != first {
		t.Error("an open listener was made twice")
	}
	first.Close()
	if _, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := ask(dialTCP(t, ln), cfg); err == nil {
		t.Error("a closed listener's protocol is served")
	}
	go echo(m.Listener(ProtocolRaft), 'b')
	if got, err := ask(dialTCP(t, ln), cfg); got != 'b' || err != nil {
		t.Errorf("made again: %q, %v", got, err)
	}
}

func TestClosedMux(t *testing.T) {
	ca := newWireCA(t)
	ln := listenLoopback(t)
	m := newMux(ln, serverTLS(t, ca.member(t, access.Node, "n1")))
	l := m.Listener(ProtocolRPC)
	waiting := tls.Client(dialTCP(t, ln), clientTLS(t, ca.member(t, access.Operator, "ana"), ProtocolRPC, ""))
	if err := waiting.Handshake(); err != nil {
		t.Fatal(err)
	}
	until(t, "the connection waits to be accepted", func() bool { return len(l.(*protoListener).queue) == 1 })
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Errorf("Close = %v", err)
	}
	wantClosed(t, "a connection that nobody accepted", waiting)
	for _, l := range []net.Listener{l, m.Listener(ProtocolRPC), m.Listener(ProtocolRaft)} {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept = %v, want %v", err, net.ErrClosed)
		}
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the port is open")
	}
}

func TestMuxEndsWithItsPort(t *testing.T) {
	ca := newWireCA(t)
	ln := listenLoopback(t)
	m := newMux(ln, serverTLS(t, ca.member(t, access.Node, "n1")))
	l := m.Listener(ProtocolRPC)
	ln.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want %v", err, net.ErrClosed)
	}
	if err := m.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

// shortOfFiles cannot accept the first times.
type shortOfFiles struct {
	net.Listener
	left atomic.Int32
}

func (s *shortOfFiles) Accept() (net.Conn, error) {
	if s.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return s.Listener.Accept()
}

func TestMuxOutlivesAcceptErrors(t *testing.T) {
	ca := newWireCA(t)
	ln := &shortOfFiles{Listener: listenLoopback(t)}
	ln.left.Store(3)
	m := newMux(ln, serverTLS(t, ca.member(t, access.Node, "n1")))
	defer m.Close()
	go echo(m.Listener(ProtocolRPC), 'a')
	if got, err := ask(dialTCP(t, ln), clientTLS(t, ca.member(t, access.Operator, "ana"), ProtocolRPC, "")); got != 'a' || err != nil {
		t.Errorf("after it was short of files: %q, %v", got, err)
	}
}

func TestListenerThatNobodyAcceptsFrom(t *testing.T) {
	l := &protoListener{queue: make(chan *waiting, 1), done: make(chan struct{}), wait: time.Hour}
	a, b := net.Pipe()
	defer b.Close()
	conn := tls.Server(a, &tls.Config{})
	for i, want := range []bool{true, false} {
		if got := l.offer(conn); got != want {
			t.Errorf("connection %d: taken = %v, want %v", i+1, got, want)
		}
	}
	if got, err := l.Accept(); got != net.Conn(conn) || err != nil {
		t.Errorf("accepted %v, %v", got, err)
	}
	l.Close()
	if l.offer(conn) {
		t.Error("a closed listener took a connection")
	}
}

// A peer that has proved who it is, and whom nobody takes, is let go of too.
func TestAConnectionThatNobodyAcceptsIsClosed(t *testing.T) {
	l := &protoListener{queue: make(chan *waiting, 2), done: make(chan struct{}), wait: 10 * time.Millisecond}
	a, b := net.Pipe()
	defer b.Close()
	if !l.offer(tls.Server(a, &tls.Config{})) {
		t.Fatal("it was not taken")
	}
	b.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read %v, want the end of the connection", err)
	}
	c, d := net.Pipe()
	defer d.Close()
	fresh := tls.Server(c, &tls.Config{})
	l.wait = time.Hour
	l.offer(fresh)
	if got, err := l.Accept(); got != net.Conn(fresh) || err != nil {
		t.Errorf("accepted %v, %v; want the one that still waits", got, err)
	}
}

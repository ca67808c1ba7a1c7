package attacks

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

// idle is how many connections say nothing.
const idle = 10_000

// Ten thousand connections that say nothing cost a node no more than 256 do, and
// keep nobody out.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	c := found(t, 1)
	n := c.Nodes[0]
	b := c.write(t)
	before := loadOf(t, n)
	conns := hold(t, c.at(0), idle)
	live.Until(t, "idle connections keep no more than 256 open in the node", func() bool { return loadOf(t, n).open <= before.open+256+16 })
	ana := c.client(c.person(access.Operator, "ana", ""), 0)
	for range 5 {
		if _, err := ana.Health(t.Context(), false); err != nil {
			t.Errorf("an operator among them: %v", err)
		}
	}
	b.goesOn(t, 20)
	wantBounded(t, n, before, 128)
	for _, conn := range conns {
		conn.Close()
	}
	c.nothingLeft(t, b, before)
}

// hold opens idle connections, fewer if the machine has no more.
func hold(t *testing.T, address string, most int) []net.Conn {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if need := uint64(most + 500); limit.Cur < need {
		want := syscall.Rlimit{Cur: need, Max: max(limit.Max, need)}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want); err != nil {
			t.Logf("only %d files may be open here (ulimit -n): fewer than %d connections are tried", limit.Cur, most)
			most = int(limit.Cur) - 500
		}
	}
	var conns []net.Conn
	t.Cleanup(func() {
		for _, conn := range conns {
			conn.Close()
		}
	})
	for len(conns) < most {
		conn, err := net.Dial("tcp", address)
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Logf("the machine has no more than %d connections: %v", len(conns), err)
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return conns
}

// One identity has 64 connections, whatever certificate of its it shows. It hears
// so, and everybody else finds the node as it was.
func TestOneIdentityDoesNotTakeAllConnections(t *testing.T) {
	t.Parallel()
	c := found(t, 3)
	n := c.Nodes[0]
	b := c.write(t)
	before := loadOf(t, n)
	who := []pki.Credentials{c.person(access.Reader, "ci", ""), c.person(access.Reader, "ci", "")} // one renewed the other
	health := args(t, struct{}{}, nil)
	served, refused := 0, 0
	for i := range 100 {
		w := c.dial(t, who[i%2], 0, rpc.ProtocolRPC)
		a, err := w.call("Cluster.Health", health)
		switch {
		case err == nil && a.Err == nil && a.Value != nil:
			served++
		case err == nil && a.Err != nil && a.Err.Message == "too many connections of reader/ci: at most 64":
			refused++
			wantEnd(t, "a refused connection", w, 10*time.Second)
			w.Close()
		default:
			t.Fatalf("connection %d: %v, %v", i, a, err)
		}
	}
	if served != 64 || refused != 36 {
		t.Errorf("%d connections were served and %d refused, want 64 and 36", served, refused)
	}
	live.Until(t, "no more than 64 connections are open", func() bool { return loadOf(t, n).open <= before.open+64+16 })
	if _, err := c.client(c.person(access.Reader, "other", ""), 0).Health(t.Context(), false); err != nil {
		t.Errorf("another reader: %v", err)
	}
	for i := range c.Nodes { // forwarded to the leader, whoever it is, or taken by it
		if _, err := c.client(c.person(access.Operator, "ana", ""), i).Write(t.Context(), renamed("acme", i)); err != nil {
			t.Errorf("a change through node %d: %v", i+1, err)
		}
	}
	b.goesOn(t, 20)
}

// Handshakes that are begun and never ended, as many as can be made, keep nobody
// out either.
func TestHalfHandshakesKeepNobodyOut(t *testing.T) {
	t.Parallel()
	c := found(t, 1)
	b := c.write(t)
	before := loadOf(t, c.Nodes[0])
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for range 4 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if conn, err := net.DialTimeout("tcp", c.at(0), time.Second); err == nil {
					conn.Write([]byte{22, 3, 1, 2, 0, 1})
					defer conn.Close()
				} else {
					time.Sleep(10 * time.Millisecond) // out of ports or files; they come back with the end
				}
			}
		})
	}
	ana := c.client(c.person(access.Operator, "ana", ""), 0)
	for i := range 5 {
		if _, err := ana.Write(t.Context(), renamed("acme", i)); err != nil {
			t.Errorf("an operator's change: %v", err)
		}
		if err := ana.Close(); err != nil { // the next one shakes hands again
			t.Error(err)
		}
	}
	b.goesOn(t, 20)
	close(stop)
	flood.Wait()
	settles(t, c.Nodes[0], before)
	wantBounded(t, c.Nodes[0], before, 160)
	c.nothingLeft(t, b, before)
}

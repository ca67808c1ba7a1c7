package node

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func TestANodeWithTooManyConnectionsLosesItsOldest(t *testing.T) {
	var c callers
	var far []net.Conn // the other ends
	enter := func(id string) *counted {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		b.SetDeadline(time.Now().Add(10 * time.Second))
		far = append(far, b)
		return c.enter(id, a)
	}
	closed := func(conn net.Conn) bool {
		wait := time.Millisecond
		if conn == far[1] && len(far) > maxRaftConnections+1 {
			wait = 10 * time.Second // it is closed in a goroutine of its own
		}
		conn.SetReadDeadline(time.Now().Add(wait))
		_, err := conn.Read(make([]byte, 1))
		return errors.Is(err, io.EOF)
	}
	all := []*counted{enter("n3")}
	for range maxRaftConnections {
		all = append(all, enter("n2"))
	}
	if closed(far[1]) {
		t.Fatal("one is closed before there are too many")
	}
	newest := enter("n2")
	if !closed(far[1]) || closed(far[2]) || closed(far[0]) || closed(far[len(far)-1]) {
		t.Error("want the oldest closed, and none of the others or of another node")
	}
	for range 2 { // whoever read from the oldest closes it, too; twice does no harm
		for _, conn := range append(all, newest) {
			conn.Close()
		}
	}
	if len(c.conns) != 0 {
		t.Errorf("%d nodes are still counted", len(c.conns))
	}
}

package node

import (
	"crypto/tls"
	"net"
	"sync"
)

// acceptBacklog is how many connections of one protocol may wait to be accepted.
const acceptBacklog = 128

// protoListener is the net.Listener of one protocol.
type protoListener struct {
	addr  net.Addr
	queue chan *tls.Conn
	done  chan struct{} // closed with the listener

	mu sync.Mutex // orders offer and Close, so that no connection is left in the queue
}

// Accept waits for the next connection, a *tls.Conn, or returns net.ErrClosed.
func (l *protoListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close closes also the connections that were not accepted yet.
func (l *protoListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return nil
	}
	close(l.done)
	for {
		select {
		case conn := <-l.queue:
			conn.NetConn().Close()
		default:
			return nil
		}
	}
}

func (l *protoListener) Addr() net.Addr { return l.addr }

// offer queues a connection unless the listener is closed or too many wait.
func (l *protoListener) offer(conn *tls.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return false
	}
	select {
	case l.queue <- conn:
		return true
	default:
		return false
	}
}

func (l *protoListener) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

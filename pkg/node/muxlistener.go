package node

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// protoListener is the net.Listener of one protocol.
type protoListener struct {
	addr  net.Addr
	queue chan *waiting
	done  chan struct{} // closed with the listener
	wait  time.Duration // to be accepted

	mu sync.Mutex // orders offer and Close, so that no connection is left in the queue
}

// waiting is a connection that was not accepted yet. It is closed when its time
// is over.
type waiting struct {
	conn  *tls.Conn
	until *time.Timer
}

// Accept waits for the next connection, a *tls.Conn, or returns net.ErrClosed.
func (l *protoListener) Accept() (net.Conn, error) {
	for {
		select {
		case w := <-l.queue:
			if w.until.Stop() {
				return w.conn, nil
			}
		case <-l.done:
			return nil, net.ErrClosed
		}
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
		case w := <-l.queue:
			w.until.Stop()
			w.conn.NetConn().Close()
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
	w := &waiting{conn, time.AfterFunc(l.wait, func() { conn.NetConn().Close() })}
	select {
	case l.queue <- w:
		return true
	default:
		w.until.Stop()
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

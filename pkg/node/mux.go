package node

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// Mux takes the connections of one TCP port and hands each, once its TLS
// handshake told who the peer is, to the listener of the protocol that ALPN
// agreed upon. A peer that is slow, wrong or hostile costs only its own
// connection: handshakes run beside each other and have handshakeTimeout. When
// maxHandshakes are under way the oldest is given up for the newcomer, so idle
// connections cannot keep members out. Raft's connections are nodes' alone: raft
// decodes what it reads with a decoder that was not made for strangers.
type Mux struct {
	ln     net.Listener
	config *tls.Config
	wait   time.Duration   // for a handshake
	most   int             // handshakes at once
	open   *conns          // keeps what was accepted
	ctx    context.Context // ends with Close, and ends handshakes
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	listeners map[string]*protoListener
	shaking   *list.List                      // of net.Conn, the oldest first
	refused   func(conn *tls.Conn, err error) // nil: nobody wants to know
	closed    bool
}

// newMux starts to accept from ln, which the Mux closes. The configuration must
// authenticate clients; to change certificates it has a GetConfigForClient.
func newMux(ln net.Listener, tlsConfig *tls.Config) *Mux {
	return newMuxWithin(ln, tlsConfig, handshakeTimeout, maxHandshakes)
}

func newMuxWithin(ln net.Listener, tlsConfig *tls.Config, wait time.Duration, most int) *Mux {
	return newMuxKeeping(newConns(nil), ln, tlsConfig, wait, most)
}

// newMuxKeeping is newMux for a node, which keeps what it accepts in open.
func newMuxKeeping(open *conns, ln net.Listener, tlsConfig *tls.Config, wait time.Duration, most int) *Mux {
	m := &Mux{ln: ln, config: tlsConfig, open: open, wait: wait, most: most, listeners: map[string]*protoListener{}, shaking: list.New()}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.wg.Go(m.accept)
	return m
}

// Listener gives the connections that speak alpn, each a *tls.Conn whose
// handshake is complete. It is one and the same until it is closed; a later call
// makes a new one (raft's is closed and made again when raft is restarted).
// Peers that ask for a protocol with no listener are disconnected.
func (m *Mux) Listener(alpn string) net.Listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.listeners[alpn]
	if l == nil || l.isClosed() {
		l = &protoListener{addr: m.ln.Addr(), queue: make(chan *waiting, acceptBacklog), done: make(chan struct{}), wait: acceptTimeout}
		m.listeners[alpn] = l
	}
	if m.closed {
		l.Close()
	}
	return l
}

// Close stops accepting, gives up the handshakes under way and closes all
// listeners. Connections that were accepted belong to whoever accepted them.
func (m *Mux) Close() error {
	err := m.ln.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	m.end()
	m.wg.Wait()
	return err
}

func (m *Mux) end() {
	m.cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, l := range m.listeners {
		l.Close()
	}
}

func (m *Mux) accept() {
	defer m.end() // also when somebody else closed the port
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		conn, err := m.ln.Accept()
		switch {
		case err == nil:
			pause = shortest
			place := m.enter(conn) // before the next one is taken: those that wait to run count, too
			m.wg.Go(func() { m.shake(conn, place) })
		case errors.Is(err, net.ErrClosed) || m.ctx.Err() != nil:
			return
		default:
			// Out of descriptors, most likely: it passes.
			slog.Warn("cannot accept connections", "address", m.ln.Addr().String(), "error", err)
			select {
			case <-m.ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, longest)
		}
	}
}

// enter counts a connection among those in handshake.
func (m *Mux) enter(conn net.Conn) *list.Element {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shaking.Len() >= m.most {
		// Its own goroutine leaves later; a removed element is removed once.
		m.shaking.Remove(m.shaking.Front()).(net.Conn).Close()
	}
	return m.shaking.PushBack(conn)
}

// errNobody says nothing against the peer: this node is starting, stopping or
// busy.
var errNobody = errors.New("nobody accepts this protocol now")

func (m *Mux) shake(raw net.Conn, place *list.Element) {
	ctx, cancel := context.WithTimeout(m.ctx, m.wait)
	defer cancel()
	held := m.open.hold(raw)
	conn := tls.Server(held, m.config)
	err := conn.HandshakeContext(ctx)
	proto := conn.ConnectionState().NegotiatedProtocol
	if err == nil {
		// Who is no longer good is told so by package rpc; see Goodbye there.
		if barred := m.open.enter(held, conn.ConnectionState()); proto == ProtocolRaft {
			err = barred
		}
	}
	m.mu.Lock()
	m.shaking.Remove(place)
	l, refused := m.listeners[proto], m.refused
	m.mu.Unlock()
	if err == nil && proto == ProtocolRaft {
		_, err = nodeOf(conn)
	}
	if err == nil && (l == nil || !l.offer(conn)) {
		err = errNobody
	}
	if err == nil {
		return
	}
	held.Close()
	if m.ctx.Err() == nil {
		slog.Log(m.ctx, refusalLevel(err), "refused a connection", "peer", raw.RemoteAddr().String(), "protocol", proto, "error", err)
		if refused != nil && err != errNobody {
			refused(conn, err)
		}
	}
}

// onRefused names who is told of the connections that are refused.
func (m *Mux) onRefused(f func(conn *tls.Conn, err error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = f
}

// refusalLevel keeps port scans, health checks and lost connections out of the
// log of everyday; a peer that showed a wrong certificate is worth a line.
func refusalLevel(err error) slog.Level {
	var notTLS tls.RecordHeaderError
	var network net.Error
	switch {
	case errors.As(err, &notTLS), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

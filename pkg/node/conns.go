package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"

	"github.com/cpctl/cpctl/pkg/pki"
)

// conns are the open connections of this node to whoever showed a certificate,
// accepted and dialled: they end when it is no longer good.
type conns struct {
	mu   sync.Mutex
	open map[*held]bool
	bad  func(*held) error         // why the other end is not good; nil: it always is
	met  func(pki.Identity, error) // is told who was dialled and showed a certificate, and whether that is known; nil: nobody

	dialer func(ctx context.Context, address string) (net.Conn, error)
}

// held is one connection below TLS. Closing it ends what is above it at once,
// with no word to a peer that may not read.
type held struct {
	net.Conn
	of   *conns
	id   pki.Identity
	leaf *x509.Certificate
}

func newConns(bad func(*held) error) *conns {
	return &conns{open: map[*held]bool{}, bad: bad, dialer: dialPlain}
}

func dialPlain(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

func (c *conns) hold(raw net.Conn) *held { return &held{Conn: raw, of: c} }

func (h *held) Close() error {
	h.of.mu.Lock()
	delete(h.of.open, h)
	h.of.mu.Unlock()
	return h.Conn.Close()
}

// enter keeps a connection whose handshake is complete, or says why its peer is
// not good. It is kept first: a revocation that comes meanwhile is seen here, or
// the sweep after it sees the connection.
func (c *conns) enter(h *held, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil // whoever has no certificate has none to lose
	}
	id, err := pki.IdentityOf(state.PeerCertificates[0])
	if err != nil {
		return err
	}
	h.id, h.leaf = id, state.PeerCertificates[0]
	c.mu.Lock()
	c.open[h] = true
	c.mu.Unlock()
	if c.bad == nil {
		return nil
	}
	if err := c.bad(h); err != nil {
		c.mu.Lock()
		delete(c.open, h)
		c.mu.Unlock()
		return err
	}
	return nil
}

// sweep ends the connections that are no longer good, in a caller's words.
func (c *conns) sweep(bad func(*held) bool) (ended []pki.Identity) {
	c.mu.Lock()
	all := make([]*held, 0, len(c.open))
	for h := range c.open {
		all = append(all, h)
	}
	c.mu.Unlock()
	for _, h := range all {
		if bad(h) {
			h.Close()
			ended = append(ended, h.id)
		}
	}
	return ended
}

// dial connects with TLS and keeps the connection.
func (c *conns) dial(ctx context.Context, cfg *tls.Config, address string) (net.Conn, error) {
	raw, err := c.dialer(ctx, address)
	if err != nil {
		return nil, err
	}
	h := c.hold(raw)
	conn := tls.Client(h, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		if c.met != nil {
			c.met(shownBy(err), err)
		}
		return nil, errors.Join(err, ignoreClosed(h.Close()))
	}
	if err := c.enter(h, conn.ConnectionState()); err != nil {
		h.Close()
		return nil, err
	}
	if c.met != nil {
		c.met(h.id, nil)
	}
	return conn, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// barred says why this node has nothing to do with a peer any more.
func (n *Node) barred(h *held) error {
	if why, _ := n.Farewell(h.id.Serial, h.id.NodeID); why != nil {
		return why
	}
	return nil
}

// trustChanged is called by the state machine when the state in which somebody's
// certificate may be another is visible. Nothing here blocks.
func (n *Node) trustChanged() {
	for _, look := range []chan struct{}{n.swept, n.trust} {
		select {
		case look <- struct{}{}:
		default: // it has not looked yet
		}
	}
}

// sweeping ends the connections of those whose certificate was taken back.
func (n *Node) sweeping() {
	for {
		select {
		case <-n.swept:
		case <-n.closing:
			return
		}
		n.end(func(h *held) bool { return n.barred(h) != nil })
	}
}

// end ends connections that are no longer good.
func (n *Node) end(bad func(*held) bool) {
	for _, id := range n.open.sweep(bad) {
		n.cfg.Log.Warn("ended a connection: its certificate is no longer good", "peer", id.String(), "serial", id.Serial)
	}
}

package node

import (
	"context"
	"net"
	"sync"
)

// wires are the connections between the nodes of a trio, which can be cut, each
// way by itself. A cut is silent: what is sent is taken, and never arrives.
type wires struct {
	mu   sync.Mutex
	cuts map[[2]string]bool // from, to
	open map[*wire]bool
	good chan struct{} // closed, and replaced, when all ways are good again
}

func newWires() *wires {
	return &wires{cuts: map[[2]string]bool{}, open: map[*wire]bool{}, good: make(chan struct{})}
}

// cut ends what goes from a node to another.
func (w *wires) cut(from, to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]string{from, to}] = true
}

// heal makes all ways good again. Connections that lost something are of no more
// use, and end.
func (w *wires) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cuts)
	close(w.good)
	w.good = make(chan struct{})
	for c := range w.open {
		if c.torn {
			c.Conn.Close()
		}
	}
}

// dial connects a node with another. Over a way that is cut nobody answers.
func (w *wires) dial(ctx context.Context, from, to, address string) (net.Conn, error) {
	w.mu.Lock()
	cut, good := w.cuts[[2]string{from, to}] || w.cuts[[2]string{to, from}], w.good
	w.mu.Unlock()
	if cut {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-good:
		}
	}
	raw, err := dialPlain(ctx, address)
	if err != nil {
		return nil, err
	}
	c := &wire{Conn: raw, of: w, from: from, to: to}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[c] = true
	return c, nil
}

// wire is one connection, as the node has it that made it.
type wire struct {
	net.Conn
	of       *wires
	from, to string
	torn     bool // something was lost: the rest would make no sense
}

// lost notes whether what goes a way now is lost.
func (c *wire) lost(from, to string) bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.torn = c.torn || c.of.cuts[[2]string{from, to}]
	return c.torn
}

func (c *wire) Write(b []byte) (int, error) {
	if c.lost(c.from, c.to) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *wire) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.lost(c.to, c.from) {
			return n, err
		}
	}
}

func (c *wire) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

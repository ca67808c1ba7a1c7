package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// peer is one kind of connection to a member. How it is is asked on one of its
// own, which may be given up without harm to calls that are under way.
type peer struct {
	id, address string
	probe       bool
}

// peers keeps one connection to each other node that was asked something.
type peers struct {
	node Node

	mu      sync.Mutex
	clients map[peer]*link
	closed  bool
}

func newPeers(node Node) *peers { return &peers{node: node, clients: map[peer]*link{}} }

func (p *peers) get(ctx context.Context, m Member, to peer) (*link, error) {
	p.mu.Lock()
	c := p.clients[to]
	p.mu.Unlock()
	if c != nil {
		return c, nil
	}
	conn, err := p.node.Dial(ctx, m, ProtocolRPC)
	if err != nil {
		return nil, store.Errorf(store.CodeUnavailable, "%s does not answer: %s", p.called(m), whyNot(ctx, err))
	}
	var made *link
	ready := make(chan struct{})
	made = newLink(conn, func() { <-ready; p.drop(to, made) }, nil)
	close(ready)
	c = made
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.clients[to]; other != nil || p.closed {
		c.Close()
		return other, nil
	}
	p.clients[to] = c
	return c, nil
}

func (p *peers) drop(to peer, c *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[to] == c {
		delete(p.clients, to)
	}
	c.Close()
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.clients {
		c.Close()
	}
}

const progressMethod = "Peer.Progress"

// ask makes one call to another node. A connection that broke is not used
// again; whether the call was done is then unknown.
func ask[A, R any](ctx context.Context, p *peers, m Member, method string, from *access.Actor, args A) (R, error) {
	var zero R
	to := peer{id: m.ID, address: m.Address, probe: method == progressMethod}
	c, err := p.get(ctx, m, to)
	if err != nil {
		return zero, err
	}
	if c == nil {
		return zero, store.Errorf(store.CodeUnavailable, "this node is stopping")
	}
	v, err := do[A, R](ctx, c, method, from, args)
	if errors.Is(err, errBroken) {
		deposed := context.Cause(ctx) == errDeposed
		if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) || to.probe || deposed {
			p.drop(to, c) // the peer is gone, does not even say how it is, or has not answered since before it was deposed
		}
		return zero, store.Errorf(store.CodeUnknown, "%s was asked, but its answer did not come: %s", p.called(m), whyNot(ctx, err))
	}
	return v, err
}

// called is what people call a node, and where it was asked.
func (p *peers) called(m Member) string {
	name := p.node.NameOf(m.ID)
	if name == "" { // the state that names it is not here yet
		name = m.ID
	}
	return fmt.Sprintf("node %q at %s", name, m.Address)
}

// whyNot says in few words why no answer came.
func whyNot(ctx context.Context, err error) string {
	if context.Cause(ctx) == errDeposed {
		return errDeposed.Error()
	}
	switch {
	case overdue(err):
		return "the time is over"
	case errors.Is(err, errSilent):
		return errSilent.Error()
	}
	return reason(err)
}

package rpc

import (
	"context"
	"errors"
	"net/rpc"
	"sync"

	"github.com/cpctl/cpctl/pkg/store"
)

// peers keeps one connection to each other node that was asked something.
type peers struct {
	node Node

	mu      sync.Mutex
	clients map[Member]*rpc.Client
	closed  bool
}

func newPeers(node Node) *peers { return &peers{node: node, clients: map[Member]*rpc.Client{}} }

func (p *peers) get(ctx context.Context, m Member) (*rpc.Client, error) {
	m.Name, m.Voter = "", false // who it is and where; the rest may change
	p.mu.Lock()
	c := p.clients[m]
	p.mu.Unlock()
	if c != nil {
		return c, nil
	}
	conn, err := p.node.Dial(ctx, m, ProtocolRPC)
	if err != nil {
		return nil, store.Errorf(store.CodeUnavailable, "node %s at %s does not answer: %v", m.ID, m.Address, err)
	}
	var made *rpc.Client
	ready := make(chan struct{})
	made = rpc.NewClientWithCodec(clientCodec{codec: newCodec(conn, nil), dead: func() { <-ready; p.drop(m, made) }})
	close(ready)
	c = made
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.clients[m]; other != nil || p.closed {
		c.Close()
		return other, nil
	}
	p.clients[m] = c
	return c, nil
}

func (p *peers) drop(m Member, c *rpc.Client) {
	m.Name, m.Voter = "", false
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[m] == c {
		delete(p.clients, m)
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
func ask[A, R any](ctx context.Context, p *peers, m Member, method, actor string, args A) (R, error) {
	var zero R
	c, err := p.get(ctx, m)
	if err != nil {
		return zero, err
	}
	if c == nil {
		return zero, store.Errorf(store.CodeUnavailable, "this node is stopping")
	}
	v, err := do[A, R](ctx, c, method, actor, args)
	if errors.Is(err, errBroken) {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) || method == progressMethod {
			p.drop(m, c) // the peer is gone, or does not even say how it is
		}
		return zero, store.Errorf(store.CodeUnknown, "node %s at %s was asked, but its answer did not come: %v", m.ID, m.Address, err)
	}
	return v, err
}

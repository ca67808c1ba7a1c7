package rpc

import (
	"context"
	"errors"
	"net/rpc"
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
	clients map[peer]*rpc.Client
	closed  bool
}

func newPeers(node Node) *peers { return &peers{node: node, clients: map[peer]*rpc.Client{}} }

func (p *peers) get(ctx context.Context, m Member, to peer) (*rpc.Client, error) {
	p.mu.Lock()
	c := p.clients[to]
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
	made = rpc.NewClientWithCodec(clientCodec{codec: newCodec(conn, nil), dead: func() { <-ready; p.drop(to, made) }})
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

func (p *peers) drop(to peer, c *rpc.Client) {
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
		if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) || to.probe {
			p.drop(to, c) // the peer is gone, or does not even say how it is
		}
		return zero, store.Errorf(store.CodeUnknown, "node %s at %s was asked, but its answer did not come: %v", m.ID, m.Address, err)
	}
	return v, err
}

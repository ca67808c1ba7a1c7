package rpc

import (
	"container/list"
	"context"
	"net"
	"sync"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// guests counts the connections of everybody who has proved who they are. People
// beyond their share are turned away; a node loses its oldest connection instead.
type guests struct {
	mu     sync.Mutex
	people int // connections of theirs to the port
	of     map[string]*guest
	nodes  map[string]*list.List // node and protocol -> of net.Conn, the oldest first
	all    *room
}

// guest is one identity: what one has, the others do not lack.
type guest struct {
	conns int
	pace  pace
	own   *room
	all   *room
}

func newGuests() *guests {
	return &guests{of: map[string]*guest{}, nodes: map[string]*list.List{}, all: newRoom(roomOfAll)}
}

// enter counts a connection of somebody. The guest is nil for those whose calls
// are not counted: nodes, and whoever is at the socket.
func (g *guests) enter(by access.Actor, protocol string, conn net.Conn) (who *guest, leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if by.Role == access.Node {
		return nil, g.enterNode(by.String()+" "+protocol, conn), nil
	}
	most, local := maxOfOne, by.Source == access.Unix
	if local {
		most = maxOfUser
	}
	name := by.String()
	who = g.of[name]
	switch {
	case who != nil && who.conns >= most:
		return nil, nil, store.Errorf(store.CodeUnavailable, "too many connections of %s: at most %d", by, most).
			WithHint("close some; one carries any number of calls")
	case !local && g.people >= maxConnections:
		return nil, nil, store.Errorf(store.CodeUnavailable, "too many connections: this node takes %d", maxConnections).
			WithHint("ask another node, or wait for some to be closed")
	case who == nil:
		who = &guest{own: newRoom(roomOfOne), all: g.all}
		g.of[name] = who
	}
	who.conns++
	if !local {
		g.people++
	}
	counted := who
	leave = func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if counted.conns--; counted.conns == 0 {
			delete(g.of, name)
		}
		if !local {
			g.people--
		}
	}
	if local {
		return nil, leave, nil
	}
	return who, leave, nil
}

func (g *guests) enterNode(name string, conn net.Conn) (leave func()) {
	all := g.nodes[name]
	if all == nil {
		all = list.New()
		g.nodes[name] = all
	}
	if all.Len() >= maxOfNode {
		go all.Remove(all.Front()).(net.Conn).Close() // TLS says goodbye first, which may take its time
	}
	place := all.PushBack(conn)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		all.Remove(place)
		if all.Len() == 0 && g.nodes[name] == all {
			delete(g.nodes, name)
		}
	}
}

// take waits for the turn of a call and for room for it. The order is the same for all, so that nobody
// waits for those who wait for them.
func (g *guest) take(ctx context.Context, size int64) error {
	if g == nil {
		return nil
	}
	if err := g.pace.wait(ctx); err != nil {
		return err
	}
	if err := g.own.take(ctx, size); err != nil {
		return err
	}
	if err := g.all.take(ctx, size); err != nil {
		g.own.give(size)
		return err
	}
	return nil
}

// sent counts an answer.
func (g *guest) sent(size int) {
	if g != nil {
		g.pace.sent(size)
	}
}

func (g *guest) give(size int64) {
	if g != nil {
		g.all.give(size)
		g.own.give(size)
	}
}

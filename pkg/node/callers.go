package node

import (
	"container/list"
	"net"
	"sync"
)

// callers counts the raft connections of each node. One that has too many loses
// its oldest, never the newest: what it made last is what it uses.
type callers struct {
	mu    sync.Mutex
	conns map[string]*list.List // node id -> of *counted, the oldest first
}

// counted is a connection that leaves the count when it is closed.
type counted struct {
	net.Conn
	leave func()
}

// enter counts a connection.
func (c *callers) enter(nodeID string, conn net.Conn) *counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns == nil {
		c.conns = map[string]*list.List{}
	}
	all := c.conns[nodeID]
	if all == nil {
		all = list.New()
		c.conns[nodeID] = all
	}
	if all.Len() >= maxRaftConnections {
		go all.Remove(all.Front()).(*counted).Conn.Close() // TLS says goodbye first, which may take its time
	}
	in := &counted{Conn: conn}
	place := all.PushBack(in)
	in.leave = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		all.Remove(place)
		if all.Len() == 0 && c.conns[nodeID] == all {
			delete(c.conns, nodeID)
		}
	}
	return in
}

func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}

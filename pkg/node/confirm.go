package node

import (
	"context"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/store"
)

// confirmer lets reads that wait share one confirmation of leadership. A read
// takes part only in a round that begins after it arrived.
type confirmer struct {
	mu      sync.Mutex
	running bool
	next    *round // nil: nobody waits for it
}

type round struct {
	done  chan struct{}
	index uint64
	err   error
}

// index runs confirm, or waits for the run that is next, and returns its answer.
func (c *confirmer) index(ctx context.Context, confirm func() (uint64, error)) (uint64, error) {
	r := c.enter(confirm)
	select {
	case <-r.done:
		return r.index, r.err
	case <-ctx.Done():
		return 0, store.Errorf(store.CodeUnavailable, "leadership was not confirmed in time")
	}
}

// enter returns the round that begins next.
func (c *confirmer) enter(confirm func() (uint64, error)) *round {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = &round{done: make(chan struct{})}
	}
	if !c.running {
		c.running = true
		go c.run(confirm)
	}
	return c.next
}

func (c *confirmer) run(confirm func() (uint64, error)) {
	for {
		c.mu.Lock()
		r := c.next
		c.next = nil
		if r == nil {
			c.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		r.index, r.err = confirm()
		close(r.done)
	}
}

// ReadIndex returns the log index that a linearizable read beginning now must
// have seen. Only a leader that has applied an entry of its own term answers,
// and only after a quorum confirmed that it still leads.
func (n *Node) ReadIndex(ctx context.Context) (uint64, error) {
	if _, err := n.leading(ctx); err != nil {
		return 0, err
	}
	return n.confirm.index(ctx, func() (index uint64, err error) {
		for err = errOthers; err == errOthers; { // by those who were the voters when it began
			index, err = n.confirmIndex()
		}
		return index, err
	})
}

// confirmIndex is one round.
func (n *Node) confirmIndex() (uint64, error) {
	r, l := n.running.Load(), n.lead.Load()
	term := r.raft.CurrentTerm()
	if l == nil || r.raft.State() != raft.Leader || r.raft.CurrentTerm() != term {
		return 0, ErrNotLeader // from here on this node has led in that term
	}
	if n.Image().Term != term { // elected again, and not ready: the commit index may lack what came between
		return 0, store.Errorf(store.CodeUnavailable, "node %s has applied nothing of term %d yet", n.self.Name, term)
	}
	index := r.raft.CommitIndex()
	members := r.raft.GetConfiguration()
	if err := r.await(members.Error); err != nil {
		return 0, store.Errorf(store.CodeUnavailable, "this node leads no longer: %v", err)
	}
	asked := members.Configuration().Servers
	others := func() bool {
		now := r.raft.GetConfiguration()
		return now.Error() == nil && !slices.Equal(now.Configuration().Servers, asked)
	}
	if err := r.electors.confirm(raft.ServerID(n.self.NodeID), asked, term, l.over, others); err != nil {
		return 0, err
	}
	if now := r.raft.CurrentTerm(); now != term {
		return 0, store.Errorf(store.CodeUnavailable, "the term changed from %d to %d", term, now)
	}
	return index, nil
}

// confirmed waits until this node has applied everything that was committed when
// it was called, and knows that it still leads.
func (n *Node) confirmed(ctx context.Context) error {
	index, err := n.ReadIndex(ctx)
	if err != nil {
		return err
	}
	return n.WaitApplied(ctx, index)
}

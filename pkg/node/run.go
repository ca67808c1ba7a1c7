package node

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	maxPool    = 3 // connections kept to a peer
	rpcTimeout = 10 * time.Second

	// callsInFlight to a follower: one, which turns raft's pipelines off. In v1.7.3
	// the goroutine that sends over one blocks for good when the reader of its
	// answers has left and another call was on its way. The reader leaves after any
	// answer that is no success: a refusal, a newer term, a broken connection. The
	// leader goes on leading, and that follower gets no entries any more.
	callsInFlight = 1
)

// running is one raft, from its start to its shutdown.
type running struct {
	raft      *raft.Raft
	transport *transport
	electors  electorate
	stopped   chan struct{} // closed after the shutdown
	once      sync.Once
}

// stopPatience is how long raft may take to end its goroutines: they end at once,
// but for a call to a follower that is under way, which has up to rpcTimeout. One
// that waits for its answer holds no lock and touches nothing any more.
const stopPatience = 3 * time.Second

var errStuck = errors.New("raft has not ended all of its goroutines")

// stop ends raft. An error of errStuck is no harm to a process that ends, too.
func (r *running) stop() error {
	defer r.once.Do(func() { close(r.stopped) }) // a node that could not go on behind it is closed, too
	ended := make(chan error, 1)
	go func() { ended <- r.raft.Shutdown().Error() }()
	var err error
	select {
	case err = <-ended:
	case <-time.After(stopPatience):
		err = errStuck
	}
	return errors.Join(err, r.transport.Close())
}

// await waits for a future of raft's, which are not all answered at a shutdown.
func (r *running) await(future func() error) error {
	answered := make(chan error, 1)
	go func() { answered <- future() }()
	select {
	case err := <-answered:
		return err
	case <-r.stopped:
	}
	select {
	case err := <-answered:
		return err
	default:
		return raft.ErrRaftShutdown
	}
}

func (n *Node) raft() *raft.Raft { return n.running.Load().raft }

// openRaft opens the port and starts raft on what openState found.
func (n *Node) openRaft(founding bool) error {
	if err := n.listen(); err != nil {
		return err
	}
	snaps, err := n.snapshots()
	if err != nil {
		return err
	}
	if err := n.logs.followSnapshots(snaps, n.noteStale); err != nil {
		return err
	}
	has, err := raft.HasExistingState(n.logs, n.logs, snaps)
	if err != nil {
		return err
	}
	if founding && !has {
		first := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(n.self.NodeID), Address: joinAddress(n.self.NodeID, n.self.Advertise)}}}
		transport := n.newTransport()
		err := raft.BootstrapCluster(n.raftConfig(), n.logs, n.logs, snaps, transport, first)
		if err = errors.Join(err, transport.Close()); err != nil {
			return fmt.Errorf("found the cluster: %w", err)
		}
	}
	return n.startRaft()
}

// startRaft makes a raft on the node's stores.
func (n *Node) startRaft() error {
	snaps, err := n.snapshots()
	if err != nil {
		return err
	}
	cached := newLogCache(n.logs)
	transport := n.newTransport()
	var machine raft.BatchingFSM = n.fsm
	if n.cfg.between != nil {
		machine = n.cfg.between(machine)
	}
	kept := &sparing{SnapshotStore: snaps, spare: n.spare, give: func() error {
		// One that leads is to hand over; raft knows that it leads before n.lead does.
		if r := n.running.Load(); r != nil && r.raft.State() == raft.Leader {
			return n.holdSnapshot()
		}
		return nil
	}}
	r, err := raft.NewRaft(n.raftConfig(), machine, cached, untilClosed{n.logs}, kept, transport)
	if err != nil {
		return errors.Join(fmt.Errorf("start raft: %w", err), transport.Close())
	}
	self := raft.ServerID(n.self.NodeID)
	ask := func(s raft.Server, term uint64) error { return transport.echo(self, s, term) }
	n.running.Store(&running{raft: r, transport: transport, electors: electorate{ask: ask}, stopped: make(chan struct{})})
	return nil
}

// noteStale is called by the log, inside raft, after an install that raft's
// memory of its last entry did not survive.
func (n *Node) noteStale() {
	select {
	case n.stale <- struct{}{}:
	default:
	}
}

// restartRaft makes raft anew on the same stores, which is the only way for it
// to read what is in them.
func (n *Node) restartRaft() error {
	n.lifecycle.Lock()
	defer n.lifecycle.Unlock()
	select {
	case <-n.closing:
		return nil
	default:
	}
	n.cfg.Log.Warn("restarting raft: the log ends elsewhere than raft believes, after a snapshot was installed")
	old := n.running.Load()
	switch err := old.stop(); {
	case errors.Is(err, errStuck):
		n.cfg.Log.Warn("going on all the same", "error", err)
	case err != nil:
		return err
	}
	n.fsm.Restarted()
	return n.startRaft()
}

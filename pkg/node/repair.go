package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// A repair takes the state of a member for that of this node, which was found
// not to be the majority's. It is done on request only, and that it was asked
// for is on the disk: whatever ends it in the middle, the next start goes on
// with it, and until it is done nothing is answered from the state.
//
//  1. A voter sends its state as an archive. The majority of voters confirms the
//     digest that it begins with, and it is verified as every archive is.
//  2. It is written as a snapshot of raft's that has no name yet, beside a raft
//     that goes on: this node keeps the log and votes.
//  3. Raft is stopped, the snapshot gets its name, all others go (they are of the
//     wrong state), the state in memory is replaced, and raft goes on behind it
//     (see takeover.go).
//  4. The mark goes, and the files are exchanged as a whole.

const (
	repairEvery = 5 * time.Second  // after a failed repair
	comeWait    = 30 * time.Second // for the log to come to the index of a state that was given: an election, and then some
)

// repairs lets those who ask for a repair share one.
type repairs struct {
	mu   sync.Mutex
	next *attempt
}

type attempt struct {
	done chan struct{}
	err  error
}

func (r *repairs) attempt() *attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &attempt{done: make(chan struct{})}
	}
	return r.next
}

func (r *repairs) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.next; a != nil {
		a.err = err
		close(a.done)
	}
	r.next = nil
}

// RepairDrift brings a state that is not the majority's back to it. It returns
// when that is done or has failed once; the node goes on trying.
func (n *Node) RepairDrift(ctx context.Context) error {
	if n.Drifted() == nil {
		return nil
	}
	if err := n.askRepair(); err != nil {
		return fmt.Errorf("the repair cannot be noted, so it is not begun: %w", err)
	}
	a := n.repairs.attempt()
	select {
	case n.mend <- struct{}{}:
	default:
	}
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return store.Errorf(store.CodeUnavailable, "the repair is under way")
	case <-n.closing:
		return notProposed("this node is stopping")
	}
}

// askRepair puts on the disk that a repair is wanted.
func (n *Node) askRepair() error {
	n.repairs.mu.Lock()
	defer n.repairs.mu.Unlock()
	d := n.Drifted()
	if d == nil || d.Repair {
		return nil
	}
	asked := *d
	asked.Repair = true
	if err := n.dir.saveRecord(driftFile, &asked); err != nil {
		return err
	}
	n.driftKept.Store(&asked)
	n.drift.Store(&asked)
	return nil
}

// repairing does the repairs that were asked for, one after the other.
func (n *Node) repairing() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-n.closing
		cancel()
	}()
	again := time.NewTimer(0) // one may have been begun before the start
	defer again.Stop()
	for {
		select {
		case <-n.mend:
		case <-again.C:
		case <-n.closing:
			return
		}
		switch d := n.Drifted(); {
		case d == nil:
			n.repairs.end(nil)
			continue
		case !d.Repair: // whoever is about to ask for one wakes this again
			continue
		}
		err := n.repairOnce(ctx)
		if err != nil {
			n.cfg.Log.Warn("the state of this node is not repaired yet", "error", err)
			again.Reset(repairEvery)
		}
		n.repairs.end(err)
	}
}

// repairOnce makes one attempt.
func (n *Node) repairOnce(ctx context.Context) error {
	if n.cfg.FetchState == nil || n.cfg.DigestAt == nil {
		return store.Errorf(store.CodeUnavailable, "this node has no way to ask others")
	}
	if !n.settled.Load() {
		return store.Errorf(store.CodeUnavailable, "node %q does not know yet how far it had come before its start", n.self.Name)
	}
	if n.raft().State() == raft.Leader { // which it hands over (see yield)
		return store.Errorf(store.CodeUnavailable, "node %q still leads; it is handing leadership over", n.self.Name)
	}
	img, from, err := n.rightState(ctx, n.Image().Index)
	if err != nil {
		return err
	}
	// Then the log has all that led to it, and there is no gap behind it.
	come, cancel := context.WithTimeout(ctx, comeWait)
	defer cancel()
	if err := n.fsm.Wait(come, img.Index); err != nil {
		return store.Errorf(store.CodeUnavailable, "this node does not come to index %d, of which it was given the state: %v", img.Index, err)
	}
	members, err := n.membersIn(img.Index)
	if err != nil {
		return err
	}
	sink, err := n.stage(img, members)
	if err != nil {
		return err
	}
	a := adoption{img: img, sink: sink, members: members.index, done: make(chan error, 1)}
	select {
	case n.adopting <- a:
	case <-ctx.Done():
		return errors.Join(ctx.Err(), sink.Cancel())
	}
	if err := <-a.done; err != nil {
		return err
	}
	n.cfg.Log.Warn("the state of this node was repaired: it is the majority's again", "index", img.Index, "digest", img.StateDigest(), "from", from)
	n.cfg.Record(audit.Event{Actor: actorSystem, Type: "state.repair", Target: "node/" + n.self.Name, Index: img.Index, Revision: img.Revision(), Result: audit.OK,
		Message: "from node " + from})
	return nil
}

// rightState asks the voters in turn for their state, not older than an index,
// until one gives a state that the majority has.
func (n *Node) rightState(ctx context.Context, behind uint64) (img *store.Image, from string, err error) {
	errs := []error{}
	for _, m := range n.Members() {
		if p, _ := n.LastHeard(m.ID); m.ID == n.self.NodeID || !m.Voter || p.Drifted {
			continue
		}
		err := n.cfg.FetchState(ctx, m, behind, func(head snapshot.Manifest, archive io.Reader) (err error) {
			img, err = n.receiveState(ctx, behind, head, archive)
			return err
		})
		if err == nil {
			return img, m.Name, nil
		}
		errs = append(errs, fmt.Errorf("node %q: %w", m.Name, err))
	}
	return nil, "", store.Errorf(store.CodeUnavailable, "no voter has given a state that a majority of the voters has: %v", errors.Join(errs...))
}

// receiveState reads the state of another node, if the majority has the same.
func (n *Node) receiveState(ctx context.Context, behind uint64, head snapshot.Manifest, archive io.Reader) (*store.Image, error) {
	switch {
	case head.ClusterID != n.self.ClusterID:
		return nil, store.Errorf(store.CodeIntegrity, "it gave a state of cluster %s", head.ClusterID)
	case head.Index < behind:
		return nil, store.Errorf(store.CodeUnavailable, "it is at index %d, and this node at %d", head.Index, behind)
	}
	asking, cancel := context.WithTimeout(ctx, 4*watchEvery)
	defer cancel()
	voters, voices := n.voices(asking, head.Index, "")
	votes := 0
	for _, v := range voices {
		if v.digest == head.StateDigest {
			votes++
		}
	}
	if 2*votes <= voters {
		return nil, store.Errorf(store.CodeUnavailable, "%d of %d voters have its state at index %d, more than half are needed", votes, voters, head.Index)
	}
	c, err := snapshot.Read(archive, snapshot.Limits{})
	if err != nil {
		return nil, err
	}
	if img := c.Image; img.Index == head.Index && img.Term == head.Term && img.StateDigest() == head.StateDigest {
		return img, nil
	}
	return nil, store.Errorf(store.CodeIntegrity, "it gave another state than it announced")
}

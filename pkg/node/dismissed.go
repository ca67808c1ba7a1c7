package node

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// dismissals are the members that have told this node that it was removed. One of
// them may be wrong, and nothing brings a node back that has noted it: so a second
// one is heard, where there is one.
type dismissals struct {
	mu    sync.Mutex
	since time.Time            // of the first of those in by
	by    map[string]time.Time // id of a member -> when it said so last
	said  said
}

const (
	dismissalWait = 5 * time.Second  // for a second member to say so
	dismissalLast = 15 * time.Second // how long a word counts that is not repeated
)

// note takes a member's word, and returns how many members have given theirs, and
// when the first one did.
func (d *dismissals) note(by string, now time.Time) (count int, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, at := range d.by {
		if now.Sub(at) > dismissalLast {
			delete(d.by, id)
		}
	}
	if len(d.by) == 0 {
		d.by, d.since = map[string]time.Time{}, now
	}
	d.by[by] = now
	return len(d.by), d.since
}

// dismissed does what has to be done when a member says that this node was
// removed. It is so when two say it, or the only other one there is, or if what
// this node knows itself says the same. While others serve it, it goes on. If
// nobody else answers it stops, and asks again at its next start.
func (n *Node) dismissed(by Member, err error) {
	now := time.Now()
	count, since := n.dismissals.note(by.ID, now)
	if count > 1 || n.alone(by) || n.outside() {
		n.part(err)
		return
	}
	if now.Sub(since) < dismissalWait {
		return
	}
	if other := n.servedBy(by, since); other != "" {
		n.dismissals.mu.Lock()
		defer n.dismissals.mu.Unlock()
		if n.dismissals.said.changed(err) {
			n.cfg.Log.Error("one member says that this node was removed, and another one does not; it goes on", "says", nameOf(by), "does_not", other, "error", err,
				"hint", "see: cpctl cluster members at both; the one that differs from the others is wrong: cpctl cluster check")
		}
		return
	}
	var why *store.Error
	if !errors.As(err, &why) {
		why = store.Errorf(store.CodeDenied, "%v", err)
	}
	n.fail(fmt.Errorf("%w: %w", ErrRemoved, store.Errorf(store.CodeDenied, "%s; node %q says so, and no other member answers", why.Message, nameOf(by)).
		WithHint("a start asks again; if it was removed, %s", n.dir.rejoin())))
}

// alone reports whether a member is the only other one there is to ask.
func (n *Node) alone(by Member) bool {
	for _, m := range n.Members() {
		if m.ID != by.ID && m.ID != n.self.NodeID {
			return false
		}
	}
	return true
}

// outside reports whether this node knows itself that it is no member any more.
func (n *Node) outside() bool {
	record := n.records()[n.self.NodeID]
	return record.Removed() || !n.isMember(n.self.NodeID)
}

// servedBy names a member that has answered this node since then, other than by.
func (n *Node) servedBy(by Member, since time.Time) string {
	for _, m := range n.Members() {
		if m.ID == by.ID || m.ID == n.self.NodeID {
			continue
		}
		if p, ok := n.LastHeard(m.ID); ok && p.Seen.After(since) {
			return nameOf(m)
		}
	}
	return ""
}

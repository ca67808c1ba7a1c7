package node

import (
	"context"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// Ready is nil if this leader would make a change that somebody asks for now, and
// returns the log index that a node has to have applied to show it. It looks at
// everything that a change may be turned away for before the log is asked, and at
// whether the log moves.
func (n *Node) Ready(ctx context.Context, by access.Actor) (uint64, error) {
	index, err := n.ReadIndex(ctx)
	if err != nil {
		return 0, err
	}
	if to := n.handing.Load(); to != nil {
		return 0, store.Errorf(store.CodeUnavailable, "leadership is being handed over to node %s", *to)
	}
	if _, err := n.requestKey(n.Image()); err != nil {
		return 0, err
	}
	if full := n.full(false); full != nil {
		return 0, full
	}
	// Followers whose disk hangs still say that they follow.
	if waited := n.proposer.inFlight.oldest(); waited > stalled {
		return 0, store.Errorf(store.CodeUnavailable, "changes have waited for %s for a majority of the voters to store them", waited.Round(100*time.Millisecond))
	}
	if n.ration.spent(by, time.Now()) {
		return 0, store.Errorf(store.CodeUnavailable, "%s has made too many changes at once, and waits for a moment", by)
	}
	return index, nil
}

// stalled is how long an entry may be on its way before the log counts as stuck:
// an election takes less.
const stalled = 2 * time.Second

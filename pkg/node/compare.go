package node

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// How nodes find out that their states differ. What each says of itself twice a
// second to a leader, and every three seconds to the others, has the digest of
// its state at the last entry that it applied; nodes remember their own digests
// behind a thousand entries, so that comparing costs a look. Only when two
// digests of one index differ are all voters asked for theirs, at one index. A
// majority of all voters, not of those that answer, is right. Each node judges
// itself alone: no other can make it stop.

// voice is what one voter has said of its state at an index.
type voice struct{ name, digest string }

// judge returns the digest that more than half of all voters have, "" if there
// is none, and the names of those voters that have another one: than that, or
// else than this node.
func judge(voters int, own string, voices []voice) (right string, others []string) {
	count := map[string]int{}
	for _, v := range voices {
		if count[v.digest]++; 2*count[v.digest] > voters {
			right = v.digest
		}
	}
	for _, v := range voices {
		if v.digest != cmp.Or(right, own) {
			others = append(others, v.name)
		}
	}
	slices.Sort(others)
	return right, others
}

// compareStates is a part of watch. Asked: another node has found a difference.
func (n *Node) compareStates(asked bool) {
	if n.cfg.DigestAt == nil || n.Drifted() != nil || time.Now().Before(n.heardAt.Add(n.hearPause)) {
		return
	}
	if asked || n.doubtful() || n.split.Load() {
		n.hear()
	}
}

// doubtful reports whether what another node last said of itself is not what
// this one was at the same index.
func (n *Node) doubtful() bool {
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	for id, p := range n.peers.m {
		if id == n.self.NodeID || p.Drifted || p.StateDigest == "" || !p.fresh() { // one that knows of it says so
			continue
		}
		if own, known := n.fsm.DigestAt(p.Applied); known && own != p.StateDigest {
			return true
		}
	}
	return false
}

// hear asks all voters for their states at the newest index of this node, and
// draws its conclusion about itself.
func (n *Node) hear() {
	n.hearPause = driftPause
	defer func() { n.heardAt = time.Now() }()
	index := n.Image().Index
	own, known := n.fsm.DigestAt(index)
	if !known {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*watchEvery)
	defer cancel()
	voters, voices := n.voices(ctx, index, own)
	right, others := judge(voters, own, voices)
	switch {
	case right != "" && right != own:
		n.split.Store(false)
		n.setDrift(Drift{Index: index, Digest: own, Right: right})
	case right != "":
		if n.split.Swap(false) {
			n.cfg.Log.Info("a majority has the state of this node again", "index", index)
		}
		if names := strings.Join(others, ", "); names != n.driftOthers {
			if n.driftOthers = names; names != "" {
				n.cfg.Log.Warn("the majority has the state of this node, and others have another one", "index", index, "digest", own, "others", names)
			}
		}
		n.splits = 0
	case len(others) > 0:
		// One that does not answer at once may be the one that tells which is right.
		if n.splits++; n.splits > 1 && !n.split.Swap(true) {
			n.cfg.Log.Error("nodes have different states and no majority of the voters tells which is right: nothing is done about it",
				"index", index, "digest", own, "others", strings.Join(others, ", "))
		}
		if n.split.Load() {
			n.hearPause = splitPause
		}
	default: // those that answer agree, and are too few to say more
		n.splits = 0
	}
}

// voices asks every voter for the digest of its state at an index, and tells it
// this node's, which is one of them if this node votes.
func (n *Node) voices(ctx context.Context, index uint64, own string) (voters int, voices []voice) {
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, m := range n.Members() {
		if !m.Voter {
			continue
		}
		voters++
		asked.Go(func() {
			digest, err := own, error(nil)
			if m.ID != n.self.NodeID {
				digest, err = n.cfg.DigestAt(ctx, m, index, own)
			}
			if err != nil {
				n.cfg.Log.Debug("a voter does not say what its state was", "name", m.Name, "index", index, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			voices = append(voices, voice{m.Name, digest})
		})
	}
	asked.Wait()
	return voters, voices
}

// DigestAt returns the digest of the state that this node had at a log index,
// which it waits for. theirs is that of the node that asks, "" if it does not
// say: another one is a reason to look around.
func (n *Node) DigestAt(ctx context.Context, index uint64, theirs string) (string, error) {
	if err := n.fsm.Wait(ctx, index); err != nil {
		return "", store.Errorf(store.CodeUnavailable, "node %s has applied index %d, not %d yet", n.self.Name, n.fsm.Image().Index, index)
	}
	own, known := n.fsm.DigestAt(index)
	if !known {
		return "", store.Errorf(store.CodeUnavailable, "node %s does not know any more what its state was at index %d", n.self.Name, index)
	}
	if theirs != "" && theirs != own {
		select {
		case n.doubt <- struct{}{}:
		default:
		}
	}
	return own, nil
}

package node

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// successor is another voter, as one that might lead after this node.
type successor struct {
	Member
	applied uint64
	answers bool
	off     time.Duration // of its clock, ahead of the cluster's
	unfit   string        // why it should not lead; "" if it may
}

// ledWithin is how many entries a voter may lack when it is to lead: nobody can
// change anything until it has them.
const ledWithin = 64

// successors are the other voters, the best first: those that may lead, then
// those that at least answer, the most advanced of each. Everybody who hands
// leadership over asks here.
func (n *Node) successors() []successor {
	began, commit := time.Now(), n.raft().CommitIndex() // what comes while they are asked they need not have
	n.askAround()
	var out []successor
	for _, m := range n.Members() {
		if !m.Voter || m.ID == n.self.NodeID {
			continue
		}
		s := successor{Member: m}
		p, known := n.LastHeard(m.ID)
		s.answers = known && p.Seen.After(began)
		s.off = n.offOf(m.ID)
		s.applied, s.unfit = p.Applied, n.unfit(m, p, s.answers, commit)
		out = append(out, s)
	}
	rank := func(s successor) int {
		switch {
		case s.unfit == "":
			return 0
		case s.answers:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(out, func(a, b successor) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.applied, a.applied))
	})
	return out
}

// unfit says why a voter should not lead now, as it follows its name: it could
// not do what a leader has to.
func (n *Node) unfit(m Member, p Progress, answers bool, commit uint64) string {
	keys, gone := named(n.Image()), departures(n.Image())
	switch {
	case !answers && p.Seen.IsZero():
		return "does not answer"
	case !answers:
		return fmt.Sprintf("does not answer; it was last heard %s ago", time.Since(p.Seen).Round(time.Second))
	case gone.Of(m.ID) != nil:
		return "is about to be removed"
	case p.Drifted:
		return "has a state that is not that of the majority"
	case p.Degraded:
		return "is degraded: its files cannot be written (" + p.Reason + ")"
	case len(keys) > 0 && !p.has(keys[0]):
		return "does not have the cluster key that seals"
	case p.Standing != "":
		return "is degraded (" + p.Standing + ")"
	case p.SkewMS != 0:
		return fmt.Sprintf("has a clock that is off the others' by %s, and at most %s is allowed", signed(time.Duration(p.SkewMS)*time.Millisecond), maxSkew)
	case p.Applied+ledWithin < commit:
		return fmt.Sprintf("is too far behind: it has applied entry %d of %d, and may lack %d", p.Applied, commit, ledWithin)
	}
	return ""
}

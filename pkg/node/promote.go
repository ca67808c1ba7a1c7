package node

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// When a member without a vote may have one: a vote that does not answer counts
// all the same, so it is given to a node that keeps up.
const (
	promoteWithin = 64              // entries that it may be behind
	promoteAfter  = 2 * time.Second // for which it has answered, and was not further behind
)

// Promotion is what came of asking for a vote.
type Promotion struct {
	Member  Member
	Voters  int
	CanLose int  // of them, before nothing is decided any more
	Changed bool // it had none before
}

// promote gives the vote to members that want one, answer, and have caught up.
func (n *Node) promote() {
	all, index, err := n.configuration()
	if err != nil {
		return
	}
	for _, m := range all {
		if m.Voter || !n.records()[m.ID].Voter || n.unready(m) != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
		err := n.giveVote(ctx, m, index)
		cancel()
		if err != nil {
			n.cfg.Log.Warn("a member that has caught up did not get its vote", "name", m.Name, "error", err)
			continue
		}
		n.cfg.Log.Info("a member has caught up and votes now", "name", m.Name)
		n.cfg.Record(audit.Event{Actor: actorSystem, Type: "member.promote", Target: "node/" + m.Name, Result: audit.OK})
		return // the next one of another configuration
	}
}

// unready is what keeps a member from voting.
type unready struct {
	why  string
	soon bool // only time does
}

// unready says what keeps a member from voting, nil if nothing does: it answers,
// hardly behind, and has for a while; it could lead; and it has the cluster keys:
// that which seals, and that which will.
func (n *Node) unready(m Member) *unready {
	img, l := n.Image(), n.lead.Load()
	all := departures(img)
	p, ok := n.heard(m.ID)
	switch commit := n.raft().CommitIndex(); {
	case n.records()[m.ID].Revoked:
		return &unready{why: "its certificate was revoked"}
	case all.Of(m.ID) != nil:
		return &unready{why: "it is about to be removed"}
	case !ok && p.Seen.IsZero():
		return &unready{why: "it does not answer at " + m.Address}
	case !ok:
		return &unready{why: fmt.Sprintf("it has not answered for %s at %s", time.Since(p.Seen).Round(time.Second), m.Address)}
	case p.Applied+promoteWithin < commit:
		return &unready{why: fmt.Sprintf("it is %d entries behind (at %d of %d), and may be %d", commit-p.Applied, p.Applied, commit, promoteWithin)}
	}
	keys := named(img)
	if len(keys) > 1 && rollover(img).Phase != mutation.RollBegun {
		keys = keys[:1]
	}
	if len(keys) == 0 {
		return &unready{why: "the cluster has no key yet"}
	}
	for _, key := range keys {
		if !p.has(key) {
			return &unready{why: fmt.Sprintf("it does not have the cluster key %s", key.ID)}
		}
	}
	switch {
	case p.Drifted:
		return &unready{why: "its state is not that of the majority"}
	case p.Degraded:
		return &unready{why: fmt.Sprintf("its files cannot be written (%s)", p.Reason)}
	case p.Short:
		return &unready{why: fmt.Sprintf("too little disk space is left for its log (%s free at %s)", mebibytes(p.LogFree), p.LogDir)}
	case p.Standing != "":
		return &unready{why: "its certificate is not good (" + p.Standing + ")"}
	}
	if well := n.spells.well(l, m.ID); well < n.cfg.steady {
		return &unready{soon: true, why: fmt.Sprintf("it has kept up for %s, and has to for %s", well.Round(100*time.Millisecond), n.cfg.steady)}
	}
	return nil
}

// wellNow reports whether a member that has just answered keeps up.
func (n *Node) wellNow(p *Progress) bool { return p.Applied+promoteWithin >= n.raft().CommitIndex() }

// Promote gives a vote to a member that has none: also to one that joined without
// wanting it. That it wants one is in the log first, so that it is promoted by the
// next leader if this one dies.
func (n *Node) Promote(ctx context.Context, name string, by access.Actor) (*Promotion, error) {
	l, err := n.leading(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.may(by, access.Members, ""); err != nil {
		return nil, err
	}
	if err := n.confirmed(ctx); err != nil {
		return nil, err
	}
	if n.cfg.Probe != nil {
		n.probeAll() // a leader of a moment ago has heard nobody yet
	}
	for {
		all, index, err := n.configuration()
		if err != nil {
			return nil, err
		}
		m, ok := memberNamed(all, name)
		if !ok {
			return nil, n.unknownMember(name)
		}
		out := &Promotion{Member: m, Voters: votersOf(all)}
		if m.Voter {
			out.CanLose = n.quorumWithout(all, Member{}).canLose()
			return out, nil
		}
		not := n.unready(m)
		if not == nil {
			if err := n.wantVote(ctx, m, by); err != nil {
				return nil, err
			}
			if err := n.giveVote(ctx, m, index); err != nil {
				return nil, err
			}
			n.cfg.Log.Info("a member votes now", "name", m.Name, "by", by.String())
			m.Voter = true
			return n.promoted(m)
		}
		if !not.soon && n.spells.watching(l) > 0 {
			return nil, store.Errorf(store.CodeRefused, "node %q cannot have a vote yet: %s", nameOf(m), not.why).
				WithHint("nothing was changed; see: cpctl cluster status")
		}
		select {
		case <-ctx.Done():
			return nil, store.Errorf(store.CodeUnavailable, "node %q has no vote yet: %s; nothing was changed", nameOf(m), not.why)
		case <-l.over:
			return nil, ErrNotLeader
		case <-time.After(watchEvery / 5):
		}
	}
}

func (n *Node) promoted(m Member) (*Promotion, error) {
	all, _, err := n.configuration()
	if err != nil {
		return nil, err
	}
	return &Promotion{Member: m, Voters: votersOf(all), CanLose: n.quorumWithout(all, Member{}).canLose(), Changed: true}, nil
}

// wantVote puts on record that a member wants a vote.
func (n *Node) wantVote(ctx context.Context, m Member, by access.Actor) error {
	if n.records()[m.ID].Voter {
		return nil
	}
	want, err := payload(mutation.SysVote, mutation.Vote{NodeID: m.ID})
	if err == nil {
		_, _, err = n.system(ctx, "", by.String(), want)
	}
	return err
}

// giveVote looks once more under the lock, since a removal may have come between.
func (n *Node) giveVote(ctx context.Context, m Member, index uint64) error {
	if err := n.members.take(ctx, membersBusy); err != nil {
		return err
	}
	defer n.members.give()
	if not := n.unready(m); not != nil {
		return notProposed(not.why)
	}
	return n.reconfigure(func(r *raft.Raft) raft.IndexFuture {
		return r.AddVoter(raft.ServerID(m.ID), joinAddress(m.ID, m.Address), index, changeTimeout)
	})
}

func memberNamed(all []Member, name string) (Member, bool) {
	for _, m := range all {
		if m.Name == name || m.ID == name {
			return m, true
		}
	}
	return Member{}, false
}

package node

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// TransferRequest asks for another leader.
type TransferRequest struct {
	Name string // of the voter that shall lead; empty for the best one
	From string // name of the leader when that was asked for first, if there was one
}

// Transferred says who leads.
type Transferred struct {
	From    string // who led before
	Leader  string
	Term    uint64
	Index   uint64 // of the state, which has an entry of that term
	Changed bool   // false: it led already
}

// Transfer hands leadership to a voter and returns when that one leads: an entry
// of its own is applied here. Changes that come meanwhile are not proposed; those
// that were, the next leader has.
//
// A caller whose answer was lost asks again, and From says which leader it wanted
// to be rid of: that is done once.
func (n *Node) Transfer(ctx context.Context, req TransferRequest, by access.Actor) (*Transferred, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := n.may(by, access.Members, ""); err != nil {
		return nil, err
	}
	done := req.From != "" && req.From != n.self.Name
	if req.Name == n.self.Name || req.Name == n.self.NodeID || req.Name == "" && done {
		if err := n.confirmed(ctx); err != nil {
			return nil, err
		}
		img := n.Image()
		t := &Transferred{From: n.self.Name, Leader: n.self.Name, Term: img.Term, Index: img.Index, Changed: done}
		if done {
			t.From = req.From
		}
		return t, nil
	}
	if done { // asked of a leader of before, and has been on its way since
		if err := n.confirmed(ctx); err != nil {
			return nil, err
		}
		return nil, store.Errorf(store.CodeRefused, "leadership was not handed over to node %q: node %q leads by now, and no longer node %q, as when that was asked", req.Name, n.self.Name, req.From).
			WithHint("if it is to lead all the same, ask again: cpctl cluster transfer %s", req.Name)
	}
	to, err := n.chosen(req.Name)
	if err != nil {
		return nil, err
	}
	n.cfg.Log.Info("handing leadership over", "to", to.Name, "by", by.String())
	term := n.raft().CurrentTerm()
	if err := n.handTo(to); err != nil {
		return nil, notProposed("leadership was not handed over to node " + to.Name + ": " + err.Error())
	}
	return n.succeeded(ctx, to, term)
}

// chosen is the voter that shall lead: the named one, if it may, else the best.
func (n *Node) chosen(name string) (Member, error) {
	all := n.successors()
	if name == "" {
		if len(all) == 0 {
			return Member{}, store.Errorf(store.CodeRefused, "node %q is the only voter; there is nobody to hand leadership to", n.self.Name)
		}
		if all[0].unfit == "" {
			return all[0].Member, nil
		}
		var why []string
		for _, s := range all {
			why = append(why, s.Name+" "+s.unfit)
		}
		return Member{}, store.Errorf(store.CodeRefused, "no voter can lead instead of node %q", n.self.Name).WithHint("%s", strings.Join(why, "\n"))
	}
	for _, s := range all {
		switch {
		case s.Name != name && s.ID != name:
		case s.unfit != "":
			return Member{}, store.Errorf(store.CodeRefused, "node %q cannot lead: it %s", s.Name, strings.TrimPrefix(s.unfit, "it ")).
				WithHint("node %q leads on; see: cpctl cluster status", n.self.Name)
		default:
			return s.Member, nil
		}
	}
	for _, m := range n.Members() {
		if m.Name == name || m.ID == name {
			return Member{}, store.Errorf(store.CodeRefused, "node %q cannot lead: it has no vote", m.Name).
				WithHint("node %q leads on; see: cpctl cluster members", n.self.Name)
		}
	}
	return Member{}, store.Errorf(store.CodeNotFound, "node %q is not a member of this cluster", name).WithHint("see: cpctl cluster members")
}

// handTo lets a voter lead. It returns when this node leads no longer, or with
// the reason why it still does; within an election timeout either way.
func (n *Node) handTo(m Member) error {
	if !n.handing.CompareAndSwap(nil, &m.Name) {
		return raft.ErrLeadershipTransferInProgress
	}
	defer n.handing.Store(nil)
	return n.change(func(r *raft.Raft) raft.Future {
		return r.LeadershipTransferToServer(raft.ServerID(m.ID), joinAddress(m.ID, m.Address))
	})
}

// succeeded waits until the voter leads to which leadership was handed.
func (n *Node) succeeded(ctx context.Context, to Member, before uint64) (*Transferred, error) {
	ctx, cancel := context.WithTimeout(ctx, successionWait)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		img := n.Image()
		if m, known := n.Leader(); known && img.Term > before { // it has applied what the next leader began with
			if m.ID != to.ID {
				return nil, notProposed("node " + n.NameOf(m.ID) + " was elected instead of node " + to.Name)
			}
			return &Transferred{From: n.self.Name, Leader: to.Name, Term: img.Term, Index: img.Index, Changed: true}, nil
		}
		select {
		case <-tick.C:
		case <-n.closing:
			return nil, notProposed("this node is stopping; leadership was handed over to node " + to.Name)
		case <-ctx.Done():
			return nil, notProposed("leadership was handed over to node " + to.Name + ", which does not lead yet")
		}
	}
}

// successionWait is how long the next leader may take to begin: an election more.
const successionWait = 5 * time.Second

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// MinAutoremove is the least time after which a lost member may be removed by
// itself: long enough to be no restart of a process.
const MinAutoremove = 10 * time.Second

// Autoremove is when members that are lost are removed; nil: never, which is how
// a cluster begins. An operator who knows that a machine will not come back
// removes it at once; this is for those who have others started by themselves.
func (n *Node) Autoremove() *mutation.Autoremove {
	var a mutation.Autoremove
	if !n.Image().System(applier.AutoremovePath, &a) {
		return nil
	}
	return &a
}

// SetAutoremove sets it, or with no time turns it off. It is refused if it is no
// longer what the caller has seen, who may have been overtaken; nil: anything.
func (n *Node) SetAutoremove(ctx context.Context, a mutation.Autoremove, seen *mutation.Autoremove, by access.Actor) (uint64, error) {
	if _, err := n.leading(ctx); err != nil {
		return 0, err
	}
	if err := n.may(by, access.Members, ""); err != nil {
		return 0, err
	}
	const example = "for example: cpctl cluster autoremove --after 10m --min-voters 3"
	switch after := time.Duration(a.After); {
	case after == 0:
	case after < MinAutoremove:
		return 0, store.Errorf(store.CodeInvalid, "%s is too short to call a member lost that only restarts: it is %s at least", after, MinAutoremove).WithHint(example)
	case a.MinVoters < 1:
		return 0, store.Errorf(store.CodeInvalid, "at least one voter has to answer, not %d", a.MinVoters).WithHint(example)
	}
	if err := n.members.take(ctx, membersBusy); err != nil { // nobody else sets it between the look and the step
		return 0, err
	}
	defer n.members.give()
	if err := n.confirmed(ctx); err != nil {
		return 0, err
	}
	var is mutation.Autoremove
	if set := n.Autoremove(); set != nil {
		is = *set
	}
	if seen != nil && is != *seen && is != a {
		return 0, store.Errorf(store.CodeConflict, "autoremove was set by somebody else since that was asked; nothing was changed").
			WithHint("see: cpctl cluster autoremove")
	}
	m, err := payload(mutation.SysAutoremove, a)
	if err != nil {
		return 0, err
	}
	_, index, err := n.system(ctx, "", by.String(), m)
	return index, err
}

// removeLost is a leader's chore: it removes one member that has not answered for
// as long as is set. Only what this leader has seen itself counts. A voter goes
// only while those that answer without it are as many as is set, and a majority.
func (n *Node) removeLost(l *leadership) {
	a := n.Autoremove()
	if a == nil {
		return
	}
	all, index, err := n.configuration()
	if err != nil {
		return
	}
	gone := departures(n.Image())
	for _, m := range all {
		lost := n.spells.silent(l, m.ID)
		if m.ID == n.self.NodeID || gone.Of(m.ID) != nil || lost < time.Duration(a.After) {
			continue
		}
		err := n.removeOne(a, all, index, m)
		text := fmt.Sprintf("lost for %s", lost.Round(time.Second))
		if err == nil {
			n.cfg.Log.Warn("removed a member that was lost", "name", m.Name, "lost", lost.Round(time.Second))
			n.cfg.Record(audit.Event{Actor: actorSystem, Type: "member.remove", Target: "node/" + nameOf(m), Result: audit.OK, Message: text})
			return // the next one of another configuration
		}
		if n.unremoved.changed(err) {
			n.cfg.Log.Warn("a member that is lost is not removed", "name", m.Name, "lost", lost.Round(time.Second), "error", err)
		}
	}
}

func (n *Node) removeOne(a *mutation.Autoremove, all []Member, index uint64, m Member) error {
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	if err := n.members.take(ctx, membersBusy); err != nil {
		return err
	}
	defer n.members.give()
	err := n.confirmed(ctx)
	if err != nil {
		return err
	}
	q := n.quorumWithout(all, m)
	if q.there {
		return store.Errorf(store.CodeRefused, "node %q answers again", nameOf(m))
	}
	if m.Voter && (!q.holds() || len(q.answer) < a.MinVoters) {
		return store.Errorf(store.CodeRefused, "%s; %s set as the least that have to answer", q, tally(a.MinVoters, "1 is", "%d are"))
	}
	var is uint64
	if _, is, err = n.configuration(); err != nil || is != index {
		return store.Errorf(store.CodeUnavailable, "the members have changed meanwhile")
	}
	why := mutation.Leave{NodeID: m.ID, Name: m.Name, Why: mutation.Removal(actorSystem) + ": lost for more than " + a.After.String()}
	if err := n.decide(ctx, RemoveRequest{}, actorSystem, why); err != nil {
		return err
	}
	_, err = n.finish(ctx, mutation.Leaving{Leave: why, Actor: actorSystem})
	return err
}

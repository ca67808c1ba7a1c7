package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// RemoveRequest asks to take a member out of the cluster.
type RemoveRequest struct {
	Name    string     // or its id
	ID      string     // of the request: with the same one it happens once
	AgeUS   int64      // since the caller first made it, microseconds
	NoTime  bool       // the id tells nothing of its age
	Again   bool       // an earlier attempt may be on its way still
	Members uint64     // index of the configuration that the caller has seen; 0: any
	Decided store.Time // when the newest removal was decided that the caller has seen as not done yet
	Left    bool       // the node itself was told to leave
}

// Removal is what came of it.
type Removal struct {
	Gone    Member
	Voters  int // that are left
	CanLose int // of them, before nothing is decided any more
}

// Remove takes a member out of the cluster and its certificates back. That is one
// decision, which the log bears first; whoever leads then finishes it. It is
// refused when those that are left could not decide anything.
func (n *Node) Remove(ctx context.Context, req RemoveRequest, by access.Actor) (*Removal, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := n.may(by, access.Members, ""); err != nil {
		return nil, err
	}
	if err := n.members.take(ctx, membersBusy); err != nil {
		return nil, err
	}
	defer n.members.give()
	if err := n.confirmed(ctx); err != nil { // a refusal, too, is of a state that is not old
		return nil, err
	}
	if gone, err := n.removedBefore(ctx, req); gone != nil || err != nil {
		return gone, err
	}
	gone, err := n.removeNow(ctx, req, by)
	return gone, n.lastWord(ctx, req, by, err)
}

// removeNow is the work of Remove. The members are locked.
func (n *Node) removeNow(ctx context.Context, req RemoveRequest, by access.Actor) (*Removal, error) {
	for _, l := range departures(n.Image()).Nodes { // what was decided before comes first
		if _, err := n.finish(ctx, l); err != nil {
			n.cfg.Log.Warn("a removal that was decided is not finished yet", "name", l.Name, "error", err)
		}
	}
	all, index, err := n.configuration()
	if err != nil {
		return nil, err
	}
	why := mutation.Removal(by.String())
	if req.Left {
		why = mutation.Departure(by.String())
	}
	for _, m := range all {
		if m.Name != req.Name && m.ID != req.Name {
			continue
		}
		l := mutation.Leave{NodeID: m.ID, Name: m.Name, Why: why}
		if is := departures(n.Image()); is.Of(m.ID) == nil {
			if err := n.removable(all, index, m, req); err != nil {
				return nil, err
			}
			if err := n.decide(ctx, req, by.String(), l); err != nil {
				return nil, err
			}
		}
		gone, err := n.asked(ctx, req, mutation.Leaving{Leave: l, Actor: by.String()})
		return gone, unfinished(m, err)
	}
	for id, record := range n.records() { // a node that was enrolled and never came
		if (record.Name == req.Name || id == req.Name) && !record.Removed() {
			l := mutation.Leave{NodeID: id, Name: record.Name, Why: why}
			return &Removal{Gone: Member{ID: id, Name: record.Name}, Voters: votersOf(all)}, n.decide(ctx, req, by.String(), l)
		}
	}
	return nil, n.unknownMember(req.Name)
}

// removable refuses a removal that would leave a cluster which cannot decide, and
// one that was thought of when the members were others.
func (n *Node) removable(all []Member, index uint64, gone Member, req RemoveRequest) error {
	q := n.quorumWithout(all, gone)
	later := func(l mutation.Leaving) bool { return l.At > req.Decided }
	if req.Members != 0 && (req.Members != index || slices.ContainsFunc(departures(n.Image()).Nodes, later)) {
		return store.Errorf(store.CodeRefused, "node %q was not removed: the members have changed since that was asked; now %s", nameOf(gone), q).
			WithHint("see: cpctl cluster members; if it is to be removed all the same, ask again")
	}
	if !gone.Voter {
		return nil
	}
	if q.after() == 0 {
		return store.Errorf(store.CodeRefused, "node %q is the only voter; without it there is no cluster", nameOf(gone)).
			WithHint("to end the cluster, stop its node and keep or delete the data directory")
	}
	if !q.holds() {
		return store.Errorf(store.CodeRefused, "node %q was not removed: %s", nameOf(gone), q).
			WithHint("bring the others back first, or remove those that will not come back; see: cpctl cluster status")
	}
	if gone.ID == n.self.NodeID {
		_, err := n.chosen("")
		return err
	}
	return nil
}

// decide puts a removal into the log. A node that is no member of raft's needs
// nothing else, and is gone with the same entry.
func (n *Node) decide(ctx context.Context, req RemoveRequest, actor string, l mutation.Leave) error {
	leave, err := payload(mutation.SysLeave, l)
	if err != nil {
		return err
	}
	ms := []mutation.Mutation{leave}
	if !n.isMember(l.NodeID) {
		revoke, err := payload(mutation.SysRevoke, mutation.Revoke{NodeID: l.NodeID, Name: l.Name, Why: l.Why})
		if err != nil {
			return err
		}
		ms = append(ms, revoke)
	}
	s := n.proposeRemoval(ctx, req, actor, ms)
	if s.err != nil {
		return s.err
	}
	if s.result.Refusal != nil {
		return s.result.Refusal
	}
	return unfinished(Member{ID: l.NodeID, Name: l.Name}, n.step("decided"))
}

func (n *Node) proposeRemoval(ctx context.Context, req RemoveRequest, actor string, ms []mutation.Mutation) settled {
	return n.proposer.propose(ctx, func(now store.Time) (*mutation.Command, error) {
		c := &mutation.Command{ID: req.ID, Op: string(mutation.SysLeave), Actor: actor, Time: now, Level: n.level(), Mutations: ms}
		if req.ID != "" && !req.NoTime {
			c.Asked = now - store.Time(max(req.AgeUS, 0))
		}
		return c, nil
	})
}

// lastWord puts a refusal on record, if an earlier attempt may be on its way still:
// that one must not be carried out after its caller was told otherwise (see final).
func (n *Node) lastWord(ctx context.Context, req RemoveRequest, by access.Actor, err error) error {
	var refusal *store.Error
	if !req.Again || req.ID == "" || !errors.As(err, &refusal) || !ofTheState(refusal) {
		return err
	}
	answer, err2 := payload(mutation.SysAnswer, mutation.Answered{Refusal: refusal})
	if err2 != nil {
		return err2
	}
	switch s := n.proposeRemoval(ctx, req, by.String(), []mutation.Mutation{answer}); {
	case s.err != nil:
		return s.err
	case s.result.Replayed != nil:
		return unknownOutcome("the same request was answered at the same time")
	case s.result.Refusal != nil: // as a rule the one that was put there
		return s.result.Refusal
	}
	return err
}

// unfinished is what a caller is told of an error behind the decision: whoever
// leads goes on with it, so that it is neither done nor nothing.
func unfinished(m Member, err error) error {
	if err == nil || errors.Is(err, store.ErrUnknown) {
		return err
	}
	out := store.Errorf(store.CodeUnknown, "it was decided that node %q is removed, and it is not done yet: %s", nameOf(m), strings.TrimPrefix(err.Error(), nothingChanged)).
		WithHint("whoever leads goes on with it; see: cpctl cluster status")
	var typed *store.Error
	switch {
	case !errors.As(err, &typed):
		return fmt.Errorf("%w (%w)", out, err)
	case typed.Hint != "":
		return out.WithHint("%s", typed.Hint)
	}
	return out
}

// finish does what is left of a removal: the configuration, then the certificates.
// The members are locked.
func (n *Node) finish(ctx context.Context, l mutation.Leaving) (*Removal, error) {
	out, err := n.takeOut(l)
	if err != nil {
		return nil, err
	}
	revoke, err := payload(mutation.SysRevoke, mutation.Revoke{NodeID: l.NodeID, Name: l.Name, Why: l.Why})
	if err != nil {
		return nil, err
	}
	if _, _, err := n.system(ctx, "", l.Actor, revoke); err != nil {
		return nil, err
	}
	n.cfg.Log.Info("a node is no longer a member", "name", l.Name, "node", l.NodeID, "why", l.Why)
	return out, n.step("revoked")
}

// asked is finish for whoever asked. A node that leaves is answered before its
// certificates are taken back, a moment later by finishRemovals: the answer goes over
// a connection that ends with them.
func (n *Node) asked(ctx context.Context, req RemoveRequest, l mutation.Leaving) (*Removal, error) {
	if req.Left {
		return n.takeOut(l)
	}
	return n.finish(ctx, l)
}

// takeOut takes a member out of the configuration.
func (n *Node) takeOut(l mutation.Leaving) (*Removal, error) {
	all, index, err := n.configuration()
	if err != nil {
		return nil, err
	}
	out := &Removal{Gone: Member{ID: l.NodeID, Name: l.Name}, Voters: votersOf(all), CanLose: n.quorumWithout(all, Member{}).canLose()}
	for _, m := range all {
		if m.ID != l.NodeID {
			continue
		}
		out.Gone = m
		q := n.quorumWithout(all, m)
		if m.Voter && !q.holds() { // others were lost meanwhile
			return nil, store.Errorf(store.CodeUnavailable, "that needs more of the others: %s", q).
				WithHint("bring the others back, or remove those that will not come back; see: cpctl cluster status")
		}
		if m.ID == n.self.NodeID { // the next leader does it
			to, err := n.chosen("")
			if err == nil {
				err = n.handTo(to)
			}
			if err != nil {
				return nil, store.Errorf(store.CodeUnavailable, "it leads until leadership can be handed over: %v", err)
			}
			return nil, store.Errorf(store.CodeUnavailable, "leadership is being handed over, and the next leader does it")
		}
		if err := n.reconfigure(func(r *raft.Raft) raft.IndexFuture {
			return r.RemoveServer(raft.ServerID(m.ID), index, changeTimeout)
		}); err != nil {
			return nil, err
		}
		if err := n.step("taken out"); err != nil {
			return nil, err
		}
		out.Voters = q.after()
		out.CanLose = q.canLose()
	}
	return out, nil
}

// finishRemovals is a leader's chore: what an earlier leader has decided.
func (n *Node) finishRemovals() {
	if l := departures(n.Image()); len(l.Nodes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	if n.members.take(ctx, membersBusy) != nil {
		return
	}
	defer n.members.give()
	for _, l := range departures(n.Image()).Nodes {
		if _, err := n.finish(ctx, l); err != nil && !errors.Is(err, ErrNotLeader) && n.unfinished.changed(err) {
			n.cfg.Log.Warn("a removal that was decided is not finished yet", "name", l.Name, "error", err)
		}
	}
}

// removedBefore answers a request that was here before, nil if it was not.
func (n *Node) removedBefore(ctx context.Context, req RemoveRequest) (*Removal, error) {
	known := n.Image().Request(req.ID)
	if req.ID == "" || known == nil {
		return nil, nil
	}
	reused := store.Errorf(store.CodeRequestReused, "request id %s was already used for another change (%s)", req.ID, known.Op).
		WithHint("nothing was changed; use a new request id")
	if known.Op != string(mutation.SysLeave) {
		return nil, reused
	}
	if known.Refusal != nil {
		return nil, known.Refusal
	}
	id := strings.TrimPrefix(known.Names[0], "node/")
	record := n.records()[id]
	if record.Name != req.Name && id != req.Name {
		return nil, reused
	}
	if l := departures(n.Image()); l.Of(id) != nil {
		gone, err := n.asked(ctx, req, *l.Of(id))
		return gone, unfinished(Member{ID: id, Name: record.Name}, err)
	}
	all, _, err := n.configuration()
	return &Removal{Gone: Member{ID: id, Name: record.Name}, Voters: votersOf(all), CanLose: n.quorumWithout(all, Member{}).canLose()}, err
}

// unknownMember says that there is no such member, and what became of it if there
// was one.
func (n *Node) unknownMember(name string) *store.Error {
	e := store.Errorf(store.CodeNotFound, "node %q is not a member of this cluster", name).WithHint("see: cpctl cluster members")
	var last mutation.Certificate
	for id, record := range n.records() {
		if (record.Name == name || id == name) && record.Removed() && (last.Serial == "" || applier.Newer(record, last)) {
			last = record
		}
	}
	if last.Serial != "" {
		e.Message += " any more: " + last.Why
	}
	return e
}

func (n *Node) isMember(nodeID string) bool {
	for _, m := range n.Members() {
		if m.ID == nodeID {
			return true
		}
	}
	return false
}

func votersOf(all []Member) (count int) {
	for _, m := range all {
		if m.Voter {
			count++
		}
	}
	return count
}

// step is where a test ends a leader in the middle of something.
func (n *Node) step(at string) error {
	if n.cfg.step == nil {
		return nil
	}
	return n.cfg.step(n, at)
}

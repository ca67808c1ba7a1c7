package node

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Member is one server of raft's configuration.
type Member struct {
	ID      string
	Name    string
	Address string // host:port
	Voter   bool
}

// promoteWithin is how many entries a non-voter may be behind when it gets its vote.
const promoteWithin = 64

// changeTimeout bounds one change of membership.
const changeTimeout = 10 * time.Second

// Members returns the members of the newest configuration, sorted by name.
func (n *Node) Members() []Member {
	future := n.raft().GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	return n.membersOf(future.Configuration())
}

func (n *Node) membersOf(c raft.Configuration) []Member {
	records := n.records()
	out := make([]Member, 0, len(c.Servers))
	for _, s := range c.Servers {
		id, addr, err := splitAddress(s.Address)
		if err != nil {
			id, addr = string(s.ID), string(s.Address)
		}
		out = append(out, Member{ID: id, Name: records[id].Name, Address: addr, Voter: s.Suffrage == raft.Voter})
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

// records returns what is on record of each node, by its id: of its newest
// certificate.
func (n *Node) records() map[string]mutation.Certificate {
	img, out := n.Image(), map[string]mutation.Certificate{}
	for d := range img.Scan(applier.CertsPrefix) {
		var c mutation.Certificate
		if !img.System(d.Path, &c) || c.NodeID == "" {
			continue
		}
		if is, ok := out[c.NodeID]; !ok || applier.Newer(c, is) {
			out[c.NodeID] = c
		}
	}
	return out
}

func (n *Node) voters() (count int) {
	for _, m := range n.Members() {
		if m.Voter {
			count++
		}
	}
	return count
}

// NameOf returns the name of a node, empty if none is on record.
func (n *Node) NameOf(nodeID string) string { return n.records()[nodeID].Name }

// Leader returns the member that leads, without its name, as far as this node knows.
func (n *Node) Leader() (Member, bool) {
	addr, id := n.raft().LeaderWithID()
	if id == "" {
		return Member{}, false
	}
	nodeID, hostport, err := splitAddress(addr)
	if err != nil {
		return Member{}, false
	}
	return Member{ID: nodeID, Address: hostport, Voter: true}, true
}

// Leads reports whether this node believes that it leads.
func (n *Node) Leads() bool { return n.lead.Load() != nil }

// Admit makes an enrolled node a member without a vote, if it answers at the
// address. The vote follows once it has caught up (promote).
func (n *Node) Admit(ctx context.Context, req AdmitRequest) error {
	if _, err := n.leading(ctx); err != nil {
		return err
	}
	record, ok := n.records()[req.NodeID]
	if !ok || record.Revoked { // looked at again under the lock below
		return store.Errorf(store.CodeDenied, "node %s has no good certificate of this cluster", req.NodeID).
			WithHint("start it with an empty data directory and --join")
	}
	m := Member{ID: req.NodeID, Name: record.Name, Address: req.Address}
	conn, err := n.Dial(ctx, m, ProtocolRPC)
	if err != nil {
		return store.Errorf(store.CodeUnavailable, "node %q does not answer at %s: %v", m.Name, m.Address, err).
			WithHint("check its --listen and --advertise; nothing was changed")
	}
	conn.Close()

	n.members.Lock()
	defer n.members.Unlock()
	if n.records()[req.NodeID].Revoked {
		return store.Errorf(store.CodeDenied, "node %q was removed meanwhile", m.Name)
	}
	current := n.raft().GetConfiguration()
	if err := current.Error(); err != nil {
		return notProposed(err.Error())
	}
	for _, is := range n.membersOf(current.Configuration()) {
		if is.ID == m.ID && is.Address == m.Address {
			return nil
		}
	}
	if err := n.change(func(r *raft.Raft) raft.Future {
		return r.AddNonvoter(raft.ServerID(m.ID), joinAddress(m.ID, m.Address), current.Index(), changeTimeout)
	}); err != nil {
		return classify(err)
	}
	n.cfg.Log.Info("admitted a node without a vote", "name", m.Name, "address", m.Address)
	return nil
}

// promote gives the vote to members that want one, answer, and have caught up.
func (n *Node) promote() {
	for _, m := range n.Members() {
		if m.Voter || !n.ripe(m) {
			continue
		}
		if err := n.giveVote(m); err != nil {
			n.cfg.Log.Warn("a member that has caught up did not get its vote", "name", m.Name, "error", err)
			continue
		}
		n.cfg.Log.Info("a member has caught up and votes now", "name", m.Name)
		n.cfg.Record(audit.Event{Actor: actorSystem, Type: "member.promote", Target: "node/" + m.Name, Result: audit.OK})
	}
}

// ripe reports whether a member may vote: it wants to, it said a moment ago that
// it is hardly behind, and it has the cluster keys: that which seals, and that
// which will.
func (n *Node) ripe(m Member) bool {
	record := n.records()[m.ID]
	p, ok := n.heard(m.ID)
	img := n.Image()
	keys := named(img)
	if len(keys) > 1 && rollover(img).Phase != mutation.RollBegun {
		keys = keys[:1]
	}
	for _, key := range keys {
		ok = ok && p.has(key)
	}
	ok = ok && !p.Drifted
	return ok && len(keys) > 0 && record.Voter && !record.Revoked && p.Applied+promoteWithin >= n.raft().CommitIndex()
}

// change asks raft for something and waits for its answer, not beyond its end.
func (n *Node) change(ask func(*raft.Raft) raft.Future) error {
	r := n.running.Load()
	return r.await(ask(r.raft).Error)
}

// giveVote looks once more under the lock, since a removal may have come between.
func (n *Node) giveVote(m Member) error {
	n.members.Lock()
	defer n.members.Unlock()
	current := n.raft().GetConfiguration()
	if err := current.Error(); err != nil {
		return err
	}
	if !slices.Contains(n.membersOf(current.Configuration()), m) || !n.ripe(m) {
		return errors.New("it is no longer what it was")
	}
	return n.change(func(r *raft.Raft) raft.Future {
		return r.AddVoter(raft.ServerID(m.ID), joinAddress(m.ID, m.Address), current.Index(), changeTimeout)
	})
}

// Remove takes a member out of the cluster and its certificate back. It is
// refused when those that are left could not decide anything.
func (n *Node) Remove(ctx context.Context, name string, by access.Actor) (Member, int, error) {
	if _, err := n.leading(ctx); err != nil {
		return Member{}, 0, err
	}
	if err := n.may(by, access.Members, ""); err != nil {
		return Member{}, 0, err
	}
	if n.cfg.Probe != nil {
		n.probeAll() // a leader of a moment ago has heard nobody yet
	}
	n.members.Lock()
	defer n.members.Unlock()
	current := n.raft().GetConfiguration()
	if err := current.Error(); err != nil {
		return Member{}, 0, notProposed(err.Error())
	}
	var gone *Member
	voters, alive := 0, 0
	for _, m := range n.membersOf(current.Configuration()) {
		if m.Name == name || m.ID == name {
			gone = &m
			continue
		}
		if m.Voter {
			voters++
			if _, ok := n.heard(m.ID); m.ID == n.self.NodeID || ok {
				alive++
			}
		}
	}
	if gone == nil { // an earlier attempt may have come half way, or a node was enrolled and never came
		for id, record := range n.records() {
			if (record.Name == name || id == name) && !record.Revoked {
				m := Member{ID: id, Name: record.Name}
				return m, voters, n.revokeNode(ctx, m, by.String())
			}
		}
		return Member{}, 0, store.Errorf(store.CodeNotFound, "node %q is not a member of this cluster", name).WithHint("see: cpctl cluster members")
	}
	if voters == 0 {
		return Member{}, 0, store.Errorf(store.CodeRefused, "node %q is the only voter; without it there is no cluster", name).
			WithHint("to end the cluster, stop its node and keep or delete the data directory")
	}
	if need := voters/2 + 1; gone.Voter && alive < need {
		return Member{}, 0, store.Errorf(store.CodeRefused, "without node %q there would be %d voters, of which %d answer; %d are needed to decide", name, voters, alive, need).
			WithHint("bring the others back first; see: cpctl cluster status")
	}
	if gone.ID == n.self.NodeID { // the next leader does it, when the caller asks again
		if err := n.change(func(r *raft.Raft) raft.Future { return r.LeadershipTransfer() }); err != nil {
			return Member{}, 0, notProposed("leadership could not be handed over: " + err.Error())
		}
		return Member{}, 0, notProposed("leadership is being handed over")
	}
	if err := n.change(func(r *raft.Raft) raft.Future {
		return r.RemoveServer(raft.ServerID(gone.ID), current.Index(), changeTimeout)
	}); err != nil {
		return Member{}, 0, classify(err)
	}
	n.cfg.Log.Info("removed a member", "name", gone.Name, "by", by.String())
	return *gone, voters, n.revokeNode(ctx, *gone, by.String())
}

// revokeNode takes every certificate of a node back, which frees its name.
func (n *Node) revokeNode(ctx context.Context, m Member, actor string) error {
	revoke, err := payload(mutation.SysRevoke, mutation.Revoke{NodeID: m.ID, Name: m.Name, Why: "removed by " + actor})
	if err != nil {
		return err
	}
	_, _, err = n.system(ctx, "", actor, revoke)
	return err
}

package node

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/applier"
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

// Roster returns them with the index of the entry that made them so.
func (n *Node) Roster() ([]Member, uint64) {
	all, index, err := n.configuration()
	if err != nil {
		return nil, 0
	}
	return all, index
}

func (n *Node) membersOf(c raft.Configuration) []Member {
	records := n.records()
	out := make([]Member, 0, len(c.Servers))
	for _, s := range c.Servers {
		out = append(out, memberOf(s, records))
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

func memberOf(s raft.Server, records map[string]mutation.Certificate) Member {
	id, addr, err := splitAddress(s.Address)
	if err != nil {
		id, addr = string(s.ID), string(s.Address)
	}
	return Member{ID: id, Name: records[id].Name, Address: addr, Voter: s.Suffrage == raft.Voter}
}

// records returns what is on record of each node, by its id: of its newest
// certificate.
func (n *Node) records() map[string]mutation.Certificate { return recordsIn(n.Image()) }

func recordsIn(img *store.Image) map[string]mutation.Certificate {
	out := map[string]mutation.Certificate{}
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

// change asks raft for something and waits for its answer, not beyond its end.
func (n *Node) change(ask func(*raft.Raft) raft.Future) error {
	r := n.running.Load()
	return r.await(ask(r.raft).Error)
}

// reconfigure asks raft for another configuration than the one of an index. It is
// certain that nothing came of it when that is not the newest any more.
func (n *Node) reconfigure(ask func(*raft.Raft) raft.IndexFuture) error {
	err := n.change(func(r *raft.Raft) raft.Future { return ask(r) })
	if err != nil && strings.HasPrefix(err.Error(), "configuration changed since") { // raft has no name for it
		return notProposed(err.Error())
	}
	return classify(err)
}

// departures is what was decided about members and is not done yet.
func departures(img *store.Image) (l mutation.LeavingNodes) {
	img.System(applier.LeavingPath, &l)
	return l
}

// configuration is the newest one, and the index of its entry, which raft does not
// tell (see logStore.membership): what the log has must be what raft has.
func (n *Node) configuration() ([]Member, uint64, error) {
	current := n.raft().GetConfiguration()
	if err := current.Error(); err != nil {
		return nil, 0, notProposed(err.Error())
	}
	logged, err := n.logs.membership()
	if err != nil {
		return nil, 0, err
	}
	if c := current.Configuration(); logged.index == 0 || !slices.Equal(c.Servers, logged.is.Servers) {
		return nil, 0, notProposed("the members are changing")
	}
	return n.membersOf(current.Configuration()), logged.index, nil
}

package applier

import (
	"slices"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Where the cluster keeps what was decided about its members.
const (
	LeavingPath    = "system/leaving.json"
	AutoremovePath = "system/autoremove.json"
)

// leave decides that a node is a member no longer. The first decision stays: it
// says who made it.
func (ch *change) leave(m *mutation.Mutation) error {
	l, err := decode[mutation.Leave](m)
	if err != nil {
		return err
	}
	if _, err := ch.member(l.NodeID, l.Name); err != nil {
		return err
	}
	ch.names = append(ch.names, "node/"+l.NodeID) // by which a request that comes again finds it
	var all mutation.LeavingNodes
	ch.System(LeavingPath, &all)
	if all.Of(l.NodeID) != nil {
		return nil
	}
	all.Nodes = append(all.Nodes, mutation.Leaving{Leave: l, Actor: ch.Actor, At: ch.Time})
	return ch.PutSystem(LeavingPath, all)
}

// left forgets that a node was leaving: it is gone.
func (ch *change) left(nodeID string) error {
	var all mutation.LeavingNodes
	if !ch.System(LeavingPath, &all) || all.Of(nodeID) == nil {
		return nil
	}
	all.Nodes = slices.DeleteFunc(all.Nodes, func(l mutation.Leaving) bool { return l.NodeID == nodeID })
	if len(all.Nodes) == 0 {
		ch.DeleteSystem(LeavingPath)
		return nil
	}
	return ch.PutSystem(LeavingPath, all)
}

// vote notes that a node wants a vote that joined without one.
func (ch *change) vote(m *mutation.Mutation) error {
	v, err := decode[mutation.Vote](m)
	if err != nil {
		return err
	}
	good, err := ch.member(v.NodeID, v.NodeID)
	if err != nil {
		return err
	}
	var all mutation.LeavingNodes
	if ch.System(LeavingPath, &all) && all.Of(v.NodeID) != nil {
		return store.Errorf(store.CodeRefused, "node %q is about to be removed", all.Of(v.NodeID).Name)
	}
	for _, c := range good {
		if c.Voter {
			continue
		}
		c.Voter = true
		if err := ch.PutSystem(CertPath(c.Serial), c); err != nil {
			return err
		}
	}
	return nil
}

// member returns the certificates of a node that was not removed.
func (ch *change) member(nodeID, name string) (of []mutation.Certificate, err error) {
	for d := range ch.Scan(CertsPrefix) {
		var c mutation.Certificate
		if ch.System(d.Path, &c) && nodeID != "" && c.NodeID == nodeID && !c.Removed() {
			of = append(of, c)
		}
	}
	if len(of) == 0 {
		return nil, store.Errorf(store.CodeNotFound, "node %q is not a member of this cluster", name).WithHint("see: cpctl cluster members")
	}
	return of, nil
}

// autoremove sets when members that are lost are removed, or that they are not.
func (ch *change) autoremove(m *mutation.Mutation) error {
	a, err := decode[mutation.Autoremove](m)
	if err != nil {
		return err
	}
	if a.After == 0 {
		ch.DeleteSystem(AutoremovePath)
		return nil
	}
	if a.MinVoters < 1 {
		return store.Errorf(store.CodeInvalid, "members that are lost are removed while at least one voter answers, not %d", a.MinVoters)
	}
	return ch.PutSystem(AutoremovePath, a)
}

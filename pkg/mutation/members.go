package mutation

import "github.com/cpctl/cpctl/pkg/store"

// Leave is the payload of sys.leave: the decision that a node is a member no
// longer. What is left to do, the configuration of raft and the certificates, any
// leader finishes.
type Leave struct {
	NodeID string `json:"node_id"`
	Name   string `json:"name"`
	Why    string `json:"why"` // what its certificates will bear; see Removal and Departure
}

// LeavingNodes is what system/leaving.json holds until that is done.
type LeavingNodes struct {
	Nodes []Leaving `json:"nodes"` // in the order of their decisions
}

// Leaving is one of them.
type Leaving struct {
	Leave
	Actor string     `json:"actor"`
	At    store.Time `json:"at"`
}

// Of returns what was decided about a node, nil if nothing was.
func (l *LeavingNodes) Of(nodeID string) *Leaving {
	for i := range l.Nodes {
		if l.Nodes[i].NodeID == nodeID {
			return &l.Nodes[i]
		}
	}
	return nil
}

// Vote is the payload of sys.vote: a node that joined without a vote wants one.
type Vote struct {
	NodeID string `json:"node_id"`
}

// Autoremove is the payload of sys.autoremove, and what system/autoremove.json
// holds while it is on: members that are lost for that long are removed.
type Autoremove struct {
	After     store.Duration `json:"after"`      // none: off
	MinVoters int            `json:"min_voters"` // that have to answer without the lost one
}

// The beginnings of what a certificate says of a node that is gone.
const (
	removedBy = "removed by "
	leftAs    = "left the cluster, as "
)

// Removal is why the certificates of a node are no longer good that somebody
// has removed.
func Removal(actor string) string { return removedBy + actor }

// Departure is why, if the node itself was told to leave.
func Departure(actor string) string { return leftAs + actor + " asked" }

package node

import (
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// Farewell says why this node has nothing to do with the holder of a certificate
// any more: it was taken back, or its node was removed. Nil: it is good, as far
// as this node knows. nodeID is empty for who is no node. A node whose state is not
// the majority's turns it away, too, and does not say removed: whoever hears that
// of one member ends for good.
func (n *Node) Farewell(serial, nodeID string) (why *store.Error, removed bool) {
	if n.fsm == nil {
		return nil, false
	}
	record := certificateOf(n.fsm.Image(), serial)
	if record.Serial == "" && nodeID != "" { // newer than the state here, or made by the node itself to find back
		record = n.records()[nodeID]
	}
	if !record.Revoked {
		return nil, false
	}
	hint := "log in again with a new token"
	if nodeID != "" {
		hint = "a node whose certificate was taken back comes back with an empty data directory, as a new member; if it is a member still, remove it first"
	}
	if record.Removed() {
		hint = "it comes back with an empty data directory, as a new member"
	}
	return store.Errorf(store.CodeDenied, "certificate %s %s", serial, record.Fate()).WithHint("%s", hint), record.Removed() && n.Drifted() == nil
}

// ErrRevoked is in the error of a probe by which another node said that this
// one's certificate was revoked.
var ErrRevoked = errors.New("the certificate of this node was revoked")

// heed does what has to be done when a member does not talk to this node, and
// says why.
func (n *Node) heed(m Member, err error) {
	switch {
	case errors.Is(err, ErrRemoved) && left(err) && n.departing.Load() > 0: // it is told so itself, and answers first
	case errors.Is(err, ErrRemoved):
		n.dismissed(m, err)
	case errors.Is(err, ErrRevoked):
		if old := n.refused.Swap(&err); old == nil || (*old).Error() != err.Error() {
			n.cfg.Log.Error("the other members do not talk to this node any more", "error", err,
				"hint", "remove it (cpctl cluster remove "+n.self.Name+"), and join again with an empty data directory")
		}
	}
}

// leftBehind stops this node if an error says that the cluster was recovered
// without it: by a certificate that the cluster's authority has signed, whoever
// called. What it has on its disk is of no use to anybody any more.
func (n *Node) leftBehind(err error) bool {
	var other *pki.OtherGeneration
	if !errors.As(err, &other) || !other.Later() {
		return false
	}
	n.fail(other)
	return true
}

// hearWhy gives a node that raft has sent away a moment to hear from a member who
// did that. The node stops either way.
func (n *Node) hearWhy() {
	const attempts, pause = 5, 200 * time.Millisecond
	for range attempts {
		if n.cfg.Probe == nil {
			return
		}
		n.probeAll()
		select {
		case <-n.closing:
			return
		case <-time.After(pause):
		}
	}
}

// standing is what status says of this node's certificate: "" if it is good.
func (n *Node) standing() string {
	switch {
	case n.refused.Load() != nil:
		return "certificate_revoked"
	case n.cfg.Now().After(n.own.Load().ends):
		return "certificate_expired"
	case n.strangers.only():
		return "authority_replaced"
	}
	return ""
}

package node

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// ErrLeft is given to Stop when this node has left the cluster, as it was told to.
var ErrLeft = errors.New("this node has left the cluster")

// part ends a node that is no longer a member, with the reason. That is noted in
// its directory, so that a later start says so by itself: what it has is old, and
// the others do not talk to it.
func (n *Node) part(why error) {
	phase, text := phaseRemoved, strings.TrimPrefix(why.Error(), ErrRemoved.Error()+": ")
	if left(why) {
		phase = phaseLeft
		text = strings.TrimPrefix(text, ErrLeft.Error()+": ")
		if _, who, ok := strings.Cut(text, leftWords); ok { // the rest says the same as ErrLeft
			text = "as " + who
		}
		why = fmt.Errorf("%w: %s", ErrLeft, text)
	}
	n.parting.Do(func() {
		if err := n.dir.part(n.self, phase, text); err != nil {
			n.cfg.Log.Warn("that this node is no longer a member could not be noted", "error", err)
		}
		n.fail(why)
	})
}

// left reports whether a node is gone because it was told to leave.
func left(why error) bool {
	return errors.Is(why, ErrLeft) || errors.Is(why, ErrRemoved) && strings.Contains(why.Error(), leftWords)
}

// leftWords are in the farewell of a node that was told to leave.
const leftWords = "its node left the cluster, as "

// Depart ends this node, which has left the cluster because by has told it to.
// The cluster has decided so already.
func (n *Node) Depart(by string) { n.part(fmt.Errorf("%w: as %s asked", ErrLeft, by)) }

// Departing holds back the end of a node that is about to leave until whoever told
// it to has an answer. It returns what lets go.
func (n *Node) Departing() func() {
	n.departing.Add(1)
	return func() { n.departing.Add(-1) }
}

// rejoin says how a node comes back into a cluster that it is no member of.
func (d *dataDir) rejoin() string {
	return "what it has is of the past. To join again, as a new member of any name that is free, empty " + d.path + "\n" +
		"and start it with --join (over the network with --token-file too; see: cpctl token create --help)"
}

// checkGone refuses to start a node that is no longer a member.
func (d *dataDir) checkGone(id *identity) error {
	switch {
	case id == nil:
	case id.Phase == phaseLeft:
		return store.Errorf(store.CodeRefused, "node %q has left cluster %s: %s", id.Name, id.ClusterID, id.Gone).WithHint("%s", d.rejoin())
	case id.Phase == phaseRemoved:
		return fmt.Errorf("%w: %w", ErrRemoved, store.Errorf(store.CodeDenied, "node %q of cluster %s: %s", id.Name, id.ClusterID, id.Gone).WithHint("%s", d.rejoin()))
	}
	return nil
}

package node

import (
	"errors"

	"github.com/cpctl/cpctl/pkg/store"
)

// advise adds to the error of damage what to do about it.
func (n *Node) advise(err error) error {
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeIntegrity || e.Hint != "" {
		return err
	}
	return store.Errorf(store.CodeIntegrity, "%v", err).WithHint("%s", n.recovery())
}

// recovery says how a node comes back whose data directory is damaged.
func (n *Node) recovery() string {
	name := n.cfg.Name
	if n.self != nil {
		name = n.self.Name
	}
	const alone = "there is no other member to copy from: found a new cluster in an empty directory\n" +
		"and restore your newest archive into it (cpctl restore FILE); keep this directory"
	rejoin := "to bring this node back: stop it, remove it at another member (cpctl cluster remove " + name + "),\n" +
		"empty its data directory and join it again"
	switch known, others := n.others(); {
	case !known:
		return rejoin + "; if the cluster has no other member,\nfound a new one in an empty directory and restore your newest archive into it"
	case others == 0:
		return alone
	}
	return rejoin
}

// others counts the nodes besides this one that are on record and not removed.
func (n *Node) others() (known bool, count int) {
	if !n.loaded {
		return false, 0 // others may have come since the snapshot
	}
	for id, record := range n.records() {
		if id != n.self.NodeID && !record.Revoked {
			count++
		}
	}
	return true, count
}

package node

import (
	"errors"
	"strings"

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
	alone := "there is no other member to copy from: if cluster.key is what is missing, put your copy of it back; if tls/ is,\n" +
		"cpctl recover run --dir " + n.dir.path + " makes it anew, and the cluster goes on with all that is here; else keep\n" +
		"this directory, and restore your newest archive as a new cluster in an empty one, with your copy of cluster.key\n" +
		"(cpctl restore FILE --offline --data-dir DIR --cluster-key-file cluster.key); without that key the private keys\n" +
		"in the archive stay closed"
	rejoin := "to bring this node back: stop it, remove it at another member (cpctl cluster remove " + name + "),\n" +
		"empty its data directory and join it again"
	switch known, others := n.others(); {
	case !known:
		return rejoin + ";\nif the cluster has no other member: " + strings.TrimPrefix(alone, "there is no other member to copy from: ")
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

package node

import (
	"fmt"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// wayBack is how long a certificate is good that a node makes for itself: long
// enough to find a leader, which gives it one that is on record.
const wayBack = time.Hour

// findBack gives a node whose certificate has expired, because it was off or saw
// no leader for so long, one that it signs itself. Every node has what that
// takes, the authority's key in the state and the cluster key that opens it; so
// nobody gains anything by it, and a cluster that was off for a season comes up
// again. A node that was removed meanwhile is told so by the first member that
// it reaches: what is on record of a node is kept.
func (n *Node) findBack() error {
	o := n.own.Load()
	now := n.cfg.Now()
	if now.Before(o.ends) {
		return nil
	}
	if record := n.records()[n.self.NodeID]; record.Serial == "" || record.Revoked {
		return store.Errorf(store.CodeDenied, "the certificate of this node has expired at %s, and it is not known to be a member", o.ends.UTC().Format(time.RFC3339)).
			WithHint("remove it at another member (cpctl cluster remove %s), empty its data directory and join it again", n.self.Name)
	}
	csr, signer, err := pki.NewCSR(n.self.Name)
	if err != nil {
		return err
	}
	f := n.found()
	next := pki.Credentials{CAPEM: []byte(f.Bundle())}
	if next.KeyPEM, err = pki.EncodeKeyPEM(signer); err != nil {
		return err
	}
	ca, err := n.authority(n.Image())
	if err != nil {
		return err
	}
	if next.CertPEM, _, err = ca.Sign(csr, n.self.certified(), min(n.cfg.CertTTL, wayBack), now); err != nil {
		return err
	}
	if err := n.replace(next); err != nil {
		return fmt.Errorf("a certificate to find back could not be put into %s: %w", n.dir.file("tls"), err)
	}
	n.selfMade.Store(n.own.Load())
	n.cfg.Log.Warn("the certificate of this node had expired; it has made one for itself, until the leader gives it another", "expired", o.ends)
	return nil
}

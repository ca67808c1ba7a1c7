package node

import (
	"context"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Revoke takes a certificate back, and with it all of its line: the one that it
// was renewed from, and those that were renewed from it. It returns once the
// state says so here, with the index; every node ends its holder's connections
// when it comes there.
//
// That of a voter is not taken back: it would go on counting for the quorum and
// could not be heard. Remove does both.
func (n *Node) Revoke(ctx context.Context, serial string, by access.Actor) (mutation.Certificate, uint64, error) {
	var c mutation.Certificate
	if _, err := n.leading(ctx); err != nil {
		return c, 0, err
	}
	if err := n.may(by, access.Certs, ""); err != nil {
		return c, 0, err
	}
	if err := n.members.take(ctx, membersBusy); err != nil { // so that no node is admitted or promoted meanwhile
		return c, 0, err
	}
	defer n.members.give()
	img := n.Image()
	if c = certificateOf(img, serial); c.Serial == "" {
		return c, 0, store.Errorf(store.CodeNotFound, "certificate %q is not on record", serial).WithHint("see: cpctl cert list")
	}
	for _, m := range n.Members() {
		if c.NodeID != "" && m.ID == c.NodeID && m.Voter {
			return c, 0, store.Errorf(store.CodeRefused, "certificate %s is that of node %q, which votes: without it the vote is lost and still counts", serial, m.Name).
				WithHint("remove the node, which takes its certificates back: cpctl cluster remove %s", m.Name)
		}
	}
	if c.Revoked {
		return c, img.Index, nil
	}
	revoke, err := payload(mutation.SysRevoke, mutation.Revoke{NodeID: c.NodeID, Name: c.Name, Line: c.LineOf(), Why: "revoked by " + by.String()})
	if err != nil {
		return c, 0, err
	}
	_, index, err := n.system(ctx, "", by.String(), revoke)
	if err != nil {
		return c, 0, err
	}
	n.cfg.Log.Info("revoked a certificate", "serial", c.Serial, "of", c.Role+"/"+c.Name, "by", by.String())
	return certificateOf(n.Image(), serial), index, nil
}

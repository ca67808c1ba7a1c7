package node

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// RecordExport puts into the log that the private part of a key is about to be
// given to an actor at the socket of a node, and returns which key it is and
// the index of the record. Without a kid it is the active one. Only the leader
// records. Every call is a record of its own: a retry is another export.
func (n *Node) RecordExport(ctx context.Context, tenant, kid, node string, by access.Actor) (exported string, index uint64, err error) {
	if _, err := n.leading(ctx); err != nil {
		return "", 0, err
	}
	if err := n.may(by, access.Export, tenant); err != nil {
		return "", 0, err
	}
	if err := n.Changeable(); err != nil {
		return "", 0, err
	}
	payload, err := json.Marshal(mutation.Export{Tenant: tenant, KID: kid, Node: node})
	if err != nil {
		return "", 0, err
	}
	res, index, err := n.system(ctx, "", by.String(), mutation.Mutation{Kind: mutation.SysExport, Payload: payload})
	if err != nil {
		return "", 0, err
	}
	ref, err := store.ParseRef(res.Names[0])
	if err != nil {
		return "", 0, err
	}
	n.cfg.Log.Warn("a private key is exported", "tenant", tenant, "kid", ref.Name, "actor", by.String(), "node", node, "index", index)
	return ref.Name, index, nil
}

// PrivateJWK opens the private part of a key that is in this node's image. The
// caller records it before and wipes it after.
func (n *Node) PrivateJWK(tenant, kid string) ([]byte, error) {
	doc := n.Image().Get(store.KeysetPath(tenant))
	if doc == nil {
		return nil, store.NotFound(store.Ref{Kind: "keyset", Tenant: tenant})
	}
	ks, err := store.Stored[store.Keyset](doc)
	if err != nil {
		return nil, err
	}
	k, err := applier.Exportable(ks, kid)
	if errors.Is(err, store.ErrRefused) { // it had one when the export was recorded
		return nil, store.Errorf(store.CodeUnavailable, "key %q of %q was retired or revoked meanwhile", kid, tenant)
	}
	if err != nil {
		return nil, err
	}
	private, err := n.ring().Open(*k.PrivateKey, SealLabel(tenant, k.KID, k.Alg)...)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	return pki.PrivateJWK(k.KID, k.Alg, private)
}

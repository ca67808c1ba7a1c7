package node

import (
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// opens checks that the sealed keys of an archive open with a cluster key that
// this cluster has now: restored without that, no token could be signed.
func (n *Node) opens(archive *store.Image) error {
	live := n.Image()
	good, ring := map[string]bool{}, n.ring()
	for i, k := range named(live) {
		_, has := ring.Key(k.ID, k.Check)
		good[k.ID] = has && (i == 0 || rollover(live).Phase == mutation.RollSwitched) // the next key has sealed nothing yet
	}
	return opensWith(archive, ring, func(keyID string) error {
		if good[keyID] {
			return nil
		}
		return n.notOurs(live, keyID)
	})
}

// opensWith opens every sealed key of an archive with the keys of a ring, and
// asks first whether the one that it needs is good.
func opensWith(archive *store.Image, ring pki.Keyring, good func(keyID string) error) error {
	for d := range archive.Scan("keys/") {
		ref, err := store.ParsePath(d.Path)
		if err != nil || ref.Kind != "keyset" {
			continue
		}
		ks, err := store.Stored[store.Keyset](d)
		if err != nil {
			return err
		}
		for _, k := range ks.Keys {
			if k.PrivateKey == nil {
				continue
			}
			if err := good(k.PrivateKey.KeyID); err != nil {
				return err
			}
			plain, err := ring.Open(*k.PrivateKey, SealLabel(ks.Tenant, k.KID, k.Alg)...)
			if err != nil {
				return store.Errorf(store.CodeIntegrity, "key %s of %q in the archive does not open with this cluster's key (%s): %v", k.KID, ks.Tenant, k.PrivateKey.KeyID, err).
					WithHint("the archive was changed, or made by hand; nothing was changed")
			}
			clear(plain)
		}
	}
	return nil
}

// notOurs says which cluster.key an archive needs.
func (n *Node) notOurs(live *store.Image, keyID string) error {
	if n.lacksKey(live) {
		return notProposed("node " + n.self.Name + " does not have the cluster key that seals now")
	}
	for _, p := range rollover(live).Past {
		if p.ID == keyID {
			return store.Errorf(store.CodeIntegrity, "the archive is sealed under the cluster key %s, which this cluster retired at %s; it has %s now", keyID, p.At, n.ring().IDs()).
				WithHint("the old cluster.key, of id %s, is needed; with a copy of it the archive becomes a new cluster:\n"+
					"cpctl restore FILE --offline --data-dir EMPTY-DIR --cluster-key-file COPY; nothing was changed", keyID)
		}
	}
	return store.Errorf(store.CodeIntegrity, "the archive is sealed under the cluster key %s, which is not this cluster's (%s)", keyID, n.ring().IDs()).
		WithHint("the archive is of another cluster, and needs the cluster.key of that one; nothing was changed")
}

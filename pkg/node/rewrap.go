package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// rewrapBytes bounds one command of values that are sealed anew, as it is in the
// log: two thirds of what a command may have.
const rewrapBytes = mutation.MaxCommand / 3 * 2

// ownRequestKey is the request key of a cluster that has none on record, sealed.
func (n *Node) ownRequestKey(img *store.Image, under pki.ClusterKey) (*store.Sealed, error) {
	var f mutation.Found
	if !img.System(applier.ClusterPath, &f) || f.RequestKey != nil {
		return nil, nil
	}
	key, err := n.requestKey(img)
	if err != nil {
		return nil, err
	}
	s, err := under.Seal(key[:], requestKeyLabel, f.ClusterID)
	return &s, err
}

// rewrapOrRetire seals anew what a state has under the old key; if there is
// nothing, it retires the key.
func (r *rekeying) rewrapOrRetire(ctx context.Context, img *store.Image, state *mutation.Rollover) (waiting []string, err error) {
	n := r.node
	now, err := n.sealing(img)
	if err != nil {
		return nil, err
	}
	if _, ok := n.ring().Key(state.Old.ID, state.Old.Check); !ok {
		return []string{n.self.Name + " does not have the old key yet"}, nil
	}
	limit := rewrapBytes
	for found := false; ; found = true {
		batch, err := n.oldValues(img, state, now, limit)
		if err != nil {
			return nil, err
		}
		if len(batch.Docs) == 0 {
			if found {
				return nil, nil // to be looked at once more
			}
			break
		}
		switch s := r.propose(ctx, batch); {
		case s.err != nil:
			return nil, s.err
		case s.result.Stale: // somebody was faster; the more documents, the likelier
			limit = max(limit/2, 1)
		case s.result.Refusal != nil:
			return nil, s.result.Refusal
		default:
			r.index = max(r.index, s.index)
			limit = min(limit*2, rewrapBytes)
		}
		if r.late(ctx) {
			return nil, nil
		}
		img = n.Image()
	}
	if img.OpenStage() != nil {
		return []string{"a restore is under way"}, nil
	}
	for _, id := range snapshot.SealKeyIDs(img) { // wherever it may be: applying looks only where it can be
		if id == state.Old.ID {
			return nil, store.Errorf(store.CodeInternal, "something in the state is sealed under the cluster key %s that this build cannot seal anew", id)
		}
	}
	err = r.step(ctx, mutation.Rekey{Step: mutation.RekeyRetire, Roll: state.Roll, Key: state.Old})
	if errors.Is(err, store.ErrRefused) { // something that was made before the switch came late; it is sealed anew, too
		return nil, nil
	}
	if err == nil {
		n.cfg.Log.Info("the old cluster key is retired", "key", state.Old.ID, "values", state.Values)
	}
	return nil, err
}

func (r *rekeying) late(ctx context.Context) bool {
	return ctx.Err() != nil || time.Since(r.began) >= rekeySlice
}

// propose puts values that were sealed anew into the log. A restore that is
// about to commit holds it back, as every change.
func (r *rekeying) propose(ctx context.Context, w *mutation.Rewrap) settled {
	m, err := payload(mutation.SysRewrap, w)
	if err != nil {
		return settled{err: err}
	}
	n := r.node
	return n.proposeChange(ctx, func(now store.Time) (*mutation.Command, error) {
		return &mutation.Command{Op: string(mutation.SysRewrap), Actor: r.actor, Time: now, Level: n.level(), Mutations: []mutation.Mutation{m}}, nil
	})
}

// oldValues seals anew what documents of a state hold under the old key, until
// there is enough for one command.
func (n *Node) oldValues(img *store.Image, state *mutation.Rollover, now pki.ClusterKey, limit int) (*mutation.Rewrap, error) {
	w, size := &mutation.Rewrap{Roll: state.Roll}, 0
	for _, prefix := range []string{store.SystemPrefix, "keys/"} {
		for d := range img.Scan(prefix) {
			if !store.SealedUnder(d.Path, d.Bytes, state.Old.ID) {
				continue
			}
			doc := mutation.RewrapDoc{Path: d.Path, Base: d.Sum.String()}
			cost := len(d.Path) + 200
			for _, s := range store.SealedIn(d.Path, d.Bytes) {
				if s.KeyID != state.Old.ID {
					continue
				}
				fresh, err := n.resealed(img, d, s, now)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", d.Path, err)
				}
				doc.Values = append(doc.Values, mutation.RewrapValue{From: s.Nonce, Now: fresh})
				cost += len(fresh.Ciphertext) + 200
			}
			if len(w.Docs) > 0 && size+cost > limit {
				return w, nil
			}
			w.Docs, size = append(w.Docs, doc), size+cost
		}
	}
	return w, nil
}

// resealed seals one value of a document anew, in its place.
func (n *Node) resealed(img *store.Image, d *store.Doc, s store.Sealed, now pki.ClusterKey) (store.Sealed, error) {
	if strings.HasPrefix(d.Path, store.SystemPrefix) {
		var f mutation.Found
		img.System(applier.ClusterPath, &f)
		var err error
		for _, label := range systemLabels { // it opens with its own label only
			var fresh store.Sealed
			if fresh, err = n.reseal(s, now, label, f.ClusterID); err == nil {
				return fresh, nil
			}
		}
		return store.Sealed{}, err
	}
	ks, err := store.Stored[store.Keyset](d)
	if err != nil {
		return store.Sealed{}, err
	}
	for _, k := range ks.Keys {
		if k.PrivateKey != nil && *k.PrivateKey == s {
			return n.reseal(s, now, SealLabel(ks.Tenant, k.KID, k.Alg)...)
		}
	}
	return store.Sealed{}, store.Errorf(store.CodeInternal, "a sealed value is that of no key")
}

// reseal seals a value anew under a key, in the same place.
func (n *Node) reseal(s store.Sealed, under pki.ClusterKey, label ...string) (store.Sealed, error) {
	plain, err := n.ring().Open(s, label...)
	if err != nil {
		return store.Sealed{}, err
	}
	defer clear(plain)
	return under.Seal(plain, label...)
}

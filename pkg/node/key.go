package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// keepRevoked is how many revoked keys a keyset remembers, the newest.
const keepRevoked = 32

// platformPolicy is for the platform's own keys, which belong to no tenant: the
// defaults of a tenant's key_policy.
var platformPolicy = store.KeyPolicy{Alg: store.SigningAlgs[0], VerificationTTL: store.Duration(25 * time.Hour), JWKSMaxAge: store.Duration(15 * time.Minute)}

// keys completes key.rotate and key.revoke: both give the whole next keyset.
func (d *draft) keys(img *store.Image, now store.Time) (*plan, error) {
	slug := d.req.Tenant
	p := &plan{ref: store.Ref{Kind: "keyset", Tenant: slug}, op: d.req.Op}
	if err := checkNames(p.ref); err != nil {
		return nil, err
	}
	policy := platformPolicy
	if slug != store.GlobalOwner {
		if err := tenantExists(img, slug); err != nil {
			return nil, err
		}
		policy = img.Get(store.TenantPath(slug)).Head.(*store.Tenant).KeyPolicy
	}
	var err error
	if d.seal, err = d.node.sealing(img); err != nil {
		return nil, err
	}
	doc := img.Get(p.ref.Path())
	if doc == nil {
		return d.firstKeys(p, policy, now)
	}
	ks, err := store.Stored[store.Keyset](doc)
	if err != nil {
		return nil, err
	}
	dropExpired(ks, d.node.nowAtMost(now))
	if d.req.Op == mutation.OpKeyRotate {
		err = d.rotate(p, ks, policy, now)
	} else {
		err = d.revoke(ks, policy, now)
	}
	if err != nil {
		return nil, err
	}
	sortKeys(ks)
	return d.update(p, doc, ks, &ks.Meta, mutation.Mutation{Kind: mutation.KeyRotate, Tenant: slug}, now)
}

// firstKeys makes the first active key of a keyset and its successor.
func (d *draft) firstKeys(p *plan, policy store.KeyPolicy, now store.Time) (*plan, error) {
	if d.req.Op == mutation.OpKeyRevoke {
		return nil, store.NotFound(p.ref)
	}
	if rev, given, err := d.expectation(); err != nil {
		return nil, err
	} else if given && rev != 0 {
		return nil, store.Errorf(store.CodeConflict, "%s does not exist, so it is not at revision %d", p.ref, rev)
	}
	ks := &store.Keyset{FormatVersion: store.FormatVersion, Kind: "keyset", Tenant: p.ref.Tenant, Meta: d.born(now)}
	for i, state := range []string{store.KeyActive, store.KeyNext} {
		k, err := d.key(i, p.ref.Tenant, cmp.Or(d.req.Alg, policy.Alg))
		if err != nil {
			return nil, err
		}
		k.State, k.CreatedAt, k.PublishedAt = state, now, now
		if state == store.KeyActive {
			k.ActivatedAt = now
		}
		ks.Keys = append(ks.Keys, k)
	}
	p.command = d.command(now, mutation.Mutation{Kind: mutation.KeyRotate, Tenant: p.ref.Tenant, Payload: store.Encode(ks)})
	return p, nil
}

// rotate retires the active key, makes the next one active, and makes a new next.
func (d *draft) rotate(p *plan, ks *store.Keyset, policy store.KeyPolicy, now store.Time) error {
	for i := range ks.Keys {
		k := &ks.Keys[i]
		switch k.State {
		case store.KeyActive:
			k.State, k.RetiringAt, k.VerifyUntil, k.PrivateKey = store.KeyRetiring, now, now.Add(policy.VerificationTTL), nil
		case store.KeyNext:
			k.State, k.ActivatedAt = store.KeyActive, now
			if age := time.Duration(now-k.PublishedAt) * time.Microsecond; age < time.Duration(policy.JWKSMaxAge) {
				p.note = fmt.Sprintf("the new active key was published %s ago; relying parties may hold the old set for up to %s", age.Round(time.Second), policy.JWKSMaxAge)
			}
		}
	}
	return d.replenish(ks, cmp.Or(d.req.Alg, policy.Alg), now)
}

// revoke takes a key out of use at once. The active one is followed by the next.
func (d *draft) revoke(ks *store.Keyset, policy store.KeyPolicy, now store.Time) error {
	i := slices.IndexFunc(ks.Keys, func(k store.Key) bool { return k.KID == d.req.KID })
	if i < 0 {
		return store.Errorf(store.CodeNotFound, "key %q not found among the keys of %q", d.req.KID, ks.Tenant).WithHint("see: cpctl key list -t %s", ks.Tenant)
	}
	k := &ks.Keys[i]
	if k.State == store.KeyRevoked {
		return nil
	}
	was := k.State
	k.State, k.RevokedAt, k.RevokeReason, k.VerifyUntil = store.KeyRevoked, now, d.req.Reason, 0
	k.PrivateKey, k.PublicJWK = nil, nil // what is kept says that the kid never returns, and why
	if was == store.KeyActive {
		for j := range ks.Keys {
			if ks.Keys[j].State == store.KeyNext {
				ks.Keys[j].State, ks.Keys[j].ActivatedAt = store.KeyActive, now
			}
		}
	}
	return d.replenish(ks, policy.Alg, now)
}

// replenish makes the keys that a set lacks: an active one and a next one.
func (d *draft) replenish(ks *store.Keyset, alg string, now store.Time) error {
	made := 0
	for _, state := range []string{store.KeyActive, store.KeyNext} {
		if slices.ContainsFunc(ks.Keys, func(k store.Key) bool { return k.State == state }) {
			continue
		}
		k, err := d.key(made, ks.Tenant, alg)
		if err != nil {
			return err
		}
		made++
		k.State, k.CreatedAt, k.PublishedAt = state, now, now
		if state == store.KeyActive {
			k.ActivatedAt = now
		}
		ks.Keys = append(ks.Keys, k)
	}
	return nil
}

// dropExpired removes retiring keys whose time is over.
func dropExpired(ks *store.Keyset, now store.Time) {
	ks.Keys = slices.DeleteFunc(ks.Keys, func(k store.Key) bool {
		return k.State == store.KeyRetiring && k.VerifyUntil <= now
	})
}

// sortKeys puts the keys into the order of their use: active, next, retiring and
// revoked, the newest of these first, and forgets revoked ones beyond the last.
func sortKeys(ks *store.Keyset) {
	order := map[string]int{store.KeyActive: 0, store.KeyNext: 1, store.KeyRetiring: 2, store.KeyRevoked: 3}
	slices.SortStableFunc(ks.Keys, func(a, b store.Key) int {
		return cmp.Or(cmp.Compare(order[a.State], order[b.State]), -cmp.Compare(max(a.RetiringAt, a.RevokedAt), max(b.RetiringAt, b.RevokedAt)))
	})
	revoked := 0
	ks.Keys = slices.DeleteFunc(ks.Keys, func(k store.Key) bool {
		if k.State == store.KeyRevoked {
			revoked++
		}
		return revoked > keepRevoked
	})
}

// opRetire is the operation of the command that ends keys whose time is over.
const opRetire mutation.Op = "key.retire"

// retireKeys proposes the end of retiring keys whose time is over. Time passes
// for the state only by commands: applying never looks at a clock. A leader whose
// clock is off proposes nothing because of it. It reports whether none is left.
func (n *Node) retireKeys(l *leadership) (ok bool) {
	for {
		select {
		case <-l.over:
			return true
		default:
		}
		img := n.Image()
		slug, at, ok := img.NextExpiry()
		if now, off := n.timed(); !ok || off != 0 || at > store.TimeOf(now) || n.unjudged() {
			return true
		}
		ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
		err := n.retire(ctx, img, slug)
		cancel()
		if err != nil {
			n.cfg.Log.Warn("retiring keys were not removed", "tenant", slug, "error", err)
			return false
		}
	}
}

func (n *Node) retire(ctx context.Context, img *store.Image, slug string) error {
	doc := img.Get(store.KeysetPath(slug))
	s := n.proposeChange(ctx, func(now store.Time) (*mutation.Command, error) {
		ks, err := store.Stored[store.Keyset](doc)
		if err != nil {
			return nil, err
		}
		dropExpired(ks, n.nowAtMost(now))
		ks.CreateRevision, ks.Revision, ks.UpdatedAt, ks.UpdatedBy = 0, 0, now, actorSystem
		payload := store.Encode(ks)
		return &mutation.Command{ID: uuid.NewString(), Digest: sha256.Sum256(payload), Op: string(opRetire), Actor: actorSystem, Time: now, Level: n.level(),
			Mutations: []mutation.Mutation{{Kind: mutation.KeyRotate, Tenant: slug, Base: doc.Revision, Payload: payload}}}, nil
	})
	switch {
	case s.err != nil:
		return s.err
	case s.result.Refusal != nil && !s.result.Stale: // stale: somebody changed the keyset; it is looked at again
		return s.result.Refusal
	}
	n.cfg.Log.Info("removed retiring keys whose time is over", "tenant", slug)
	if s.result.Refusal == nil {
		n.cfg.Record(audit.Event{Actor: actorSystem, Type: string(opRetire), Target: "keyset/" + slug, Index: s.index, Revision: s.result.Revision, Result: audit.OK})
	}
	return nil
}

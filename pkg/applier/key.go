package applier

import (
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// rotateKey puts the next keyset in place of the present one: a rotation, a
// revocation or the end of retiring keys, all computed by the leader.
func (ch *change) rotateKey(m *mutation.Mutation) error {
	if err := store.CheckKeysetOwner(m.Tenant); err != nil {
		return store.Errorf(store.CodeInvalid, "%v", err)
	}
	if m.Tenant != store.GlobalOwner {
		if _, _, err := ch.tenant(m.Tenant); err != nil {
			return err
		}
	}
	old, err := ch.Keys(m.Tenant).Get(m.Tenant)
	before := new(store.Keyset)
	if err == nil {
		if err := unmoved(m.Ref(), old, m); err != nil {
			return err
		}
		if before, err = store.Stored[store.Keyset](old); err != nil {
			return err
		}
	} else if m.Base != 0 {
		return errStale // the keyset it was computed from is gone
	}
	d, err := ch.document(m.Ref(), m, old)
	if err != nil {
		return err
	}
	after, err := store.Stored[store.Keyset](d)
	if err != nil {
		return err
	}
	if after.Tenant != m.Tenant {
		return store.Errorf(store.CodeInternal, "the keyset of tenant %q is of another tenant", m.Tenant)
	}
	if err := store.CheckKeyset(after); err != nil {
		return err
	}
	if err := ch.follows(before, after); err != nil {
		return err
	}
	if ch.sealedRight(d.Path, d.Bytes) != "" {
		return errStale // made before the cluster key was changed
	}
	ch.changed(m.Ref())
	return ch.Keys(m.Tenant).Upsert(d)
}

// follows checks that no key disappears while tokens it signed may still be
// verified, and that none comes back: next -> active -> retiring -> gone, and
// revoked from each.
func (ch *change) follows(before, after *store.Keyset) error {
	now := map[string]store.Key{}
	for _, k := range after.Keys {
		now[k.KID] = k
	}
	for _, was := range before.Keys {
		is, kept := now[was.KID]
		switch {
		case !kept && was.State == store.KeyRevoked: // beyond the last that are remembered
		case !kept && was.State == store.KeyNext: // it never signed
		case !kept && was.State == store.KeyRetiring && was.VerifyUntil <= ch.Time:
		case !kept:
			return store.Errorf(store.CodeRefused, "key %s of %q is %s and cannot be dropped: tokens that it signed may still be verified", was.KID, after.Tenant, was.State)
		case was.State == store.KeyRetiring && is.State == store.KeyRetiring && is.VerifyUntil < was.VerifyUntil:
			return store.Errorf(store.CodeRefused, "key %s of %q is published until %s and cannot end before: tokens that it signed may still be verified", was.KID, after.Tenant, was.VerifyUntil)
		case rank(is.State) < rank(was.State):
			return store.Errorf(store.CodeRefused, "key %s of %q is %s and cannot become %s again", was.KID, after.Tenant, was.State, is.State)
		}
	}
	return nil
}

func rank(state string) int {
	switch state {
	case store.KeyNext:
		return 0
	case store.KeyActive:
		return 1
	case store.KeyRetiring:
		return 2
	}
	return 3
}

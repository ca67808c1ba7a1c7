package applier

import (
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// export puts on record that the private part of a key is about to be handed
// out. Which key that is, and whether it has a private part, is judged here, by
// the state that the record is about. The answer names it.
func (ch *change) export(m *mutation.Mutation) error {
	e, err := decode[mutation.Export](m)
	if err != nil {
		return err
	}
	if err := store.CheckKeysetOwner(e.Tenant); err != nil {
		return store.Errorf(store.CodeInvalid, "%v", err)
	}
	if e.Tenant != store.GlobalOwner {
		if _, _, err := ch.tenant(e.Tenant); err != nil {
			return err
		}
	}
	d, err := ch.Keys(e.Tenant).Get(e.Tenant)
	if err != nil {
		return err
	}
	ks, err := store.Stored[store.Keyset](d)
	if err != nil {
		return err
	}
	k, err := Exportable(ks, e.KID)
	if err != nil {
		return err
	}
	var all mutation.Exports
	ch.System(ExportsPath(e.Tenant), &all)
	all.Total++
	all.Last = append(all.Last, mutation.Exported{KID: k.KID, Actor: ch.Actor, Node: e.Node, At: ch.Time})
	all.Last = all.Last[max(0, len(all.Last)-mutation.MaxExports):]
	ch.names = append(ch.names, store.Ref{Kind: "key", Tenant: e.Tenant, Name: k.KID}.String())
	return ch.PutSystem(ExportsPath(e.Tenant), all)
}

// Exportable finds a key of a set that has a private part; with no kid the
// active one.
func Exportable(ks *store.Keyset, kid string) (*store.Key, error) {
	for i := range ks.Keys {
		k := &ks.Keys[i]
		switch {
		case kid == "" && k.State != store.KeyActive, kid != "" && k.KID != kid:
		case k.PrivateKey == nil:
			return nil, store.Errorf(store.CodeRefused, "key %q of %q is %s and has no private part any more", k.KID, ks.Tenant, k.State).
				WithHint("without --kid the active key is exported")
		default:
			return k, nil
		}
	}
	return nil, store.NotFound(store.Ref{Kind: "key", Tenant: ks.Tenant, Name: kid}).WithHint("see: %s", Look(store.Ref{Kind: "keyset", Tenant: ks.Tenant}))
}

package node

import (
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// scope completes scope.create and scope.update, which is scope.create with
// the flag to replace.
func (d *draft) scope(img *store.Image, now store.Time) (*plan, error) {
	p := &plan{ref: store.Ref{Kind: "scope", Tenant: d.req.Tenant, Name: d.req.Name}, op: d.req.Op}
	if err := checkNames(p.ref); err != nil {
		return nil, err
	}
	if err := tenantExists(img, d.req.Tenant); err != nil {
		return nil, err
	}
	doc := img.Get(p.ref.Path())
	var current *store.Scope
	var before []byte
	if d.req.Op == mutation.OpScopeUpdate {
		if doc == nil {
			return nil, store.NotFound(p.ref)
		}
		var err error
		if current, err = store.Stored[store.Scope](doc); err != nil {
			return nil, err
		}
		before = doc.Bytes
	}
	patch, err := store.Amend(before, d.patch(), d.req.Set, d.req.Add, d.req.Remove)
	if err != nil {
		return nil, err
	}
	if current == nil {
		if done, err := d.exists(p, doc, patch); done || err != nil {
			return p, err
		}
	}
	s, err := store.CompleteScope(current, p.ref.Tenant, p.ref.Name, patch)
	if err != nil {
		return nil, err
	}
	m := mutation.Mutation{Kind: mutation.ScopeCreate, Tenant: p.ref.Tenant, Name: p.ref.Name}
	if current != nil {
		m.Flags = mutation.Replace
		return d.update(p, doc, s, &s.Meta, m, now)
	}
	if s.UID, err = d.made.uid(0); err != nil {
		return nil, err
	}
	s.Meta = d.born(now)
	m.Payload = store.Encode(s)
	p.command = d.command(now, m)
	return p, nil
}

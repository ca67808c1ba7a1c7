package node

import (
	"bytes"
	"encoding/json"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// tenant completes tenant.create and tenant.update.
func (d *draft) tenant(img *store.Image, now store.Time) (*plan, error) {
	slug, err := d.slug()
	if err != nil {
		return nil, err
	}
	p := &plan{ref: store.Ref{Kind: "tenant", Tenant: slug}, op: d.req.Op}
	if err := checkNames(p.ref); err != nil {
		return nil, err
	}
	doc := img.Get(p.ref.Path())
	if d.req.Op == mutation.OpTenantCreate {
		return d.createTenant(p, doc, now)
	}
	if doc == nil {
		return nil, store.NotFound(p.ref)
	}
	current, err := store.Stored[store.Tenant](doc)
	if err != nil {
		return nil, err
	}
	patch, err := store.Amend(doc.Bytes, d.patch(), d.req.Set, d.req.Add, d.req.Remove)
	if err != nil {
		return nil, err
	}
	next, err := store.CompleteTenant(current, patch)
	if err != nil {
		return nil, err
	}
	return d.update(p, doc, next, &next.Meta, mutation.Mutation{Kind: mutation.TenantUpdate, Tenant: slug}, now)
}

// slug is the tenant's, from the command line or the document; both must agree.
func (d *draft) slug() (string, error) {
	var doc struct {
		Slug *string `json:"slug"`
	}
	_ = json.Unmarshal(d.patch(), &doc) // what is wrong with the document is said when it is completed
	switch {
	case doc.Slug == nil || *doc.Slug == d.req.Name:
		return d.req.Name, nil
	case d.req.Name == "":
		return *doc.Slug, nil
	}
	return "", store.Errorf(store.CodeInvalid, "the document is of tenant %q, not %q", *doc.Slug, d.req.Name)
}

func (d *draft) createTenant(p *plan, existing *store.Doc, now store.Time) (*plan, error) {
	name, err := json.Marshal(p.ref.Tenant)
	if err != nil {
		return nil, err
	}
	set := append([]store.Element{{Path: "slug", Value: name}}, d.req.Set...)
	patch, err := store.Amend(nil, d.patch(), set, d.req.Add, d.req.Remove)
	if err != nil {
		return nil, err
	}
	if done, err := d.exists(p, existing, patch); done || err != nil {
		return p, err
	}
	t, err := store.CompleteTenant(nil, patch)
	if err != nil {
		return nil, err
	}
	if t.UID, err = d.made.uid(0); err != nil {
		return nil, err
	}
	t.Meta = d.born(now)
	ms := []mutation.Mutation{{Kind: mutation.TenantCreate, Tenant: t.Slug, Payload: store.Encode(t)}}
	for i, s := range store.SystemScopes(t.Slug) {
		if s.UID, err = d.made.uid(i + 1); err != nil {
			return nil, err
		}
		s.Meta = d.born(now)
		ms = append(ms, mutation.Mutation{Kind: mutation.ScopeCreate, Tenant: t.Slug, Name: s.Name, Payload: store.Encode(s)})
	}
	p.command = d.command(now, ms...)
	return p, nil
}

// born is what a new document says of its making.
func (d *draft) born(now store.Time) store.Meta {
	return store.Meta{CreatedAt: now, UpdatedAt: now, UpdatedBy: d.actor}
}

// exists answers --if-not-exists: what exists is left as it is. patch is what
// was asked for, to tell whether it differs.
func (d *draft) exists(p *plan, doc *store.Doc, patch []byte) (bool, error) {
	if rev, given, err := d.expectation(); err != nil {
		return false, err
	} else if given && rev != 0 && d.req.IfRevision != nil {
		return false, store.Errorf(store.CodeInvalid, "a %s that is created has no revision yet; --if-revision does not go with create", p.ref.Kind)
	}
	if doc == nil || !d.req.IfNotExists {
		return false, nil
	}
	if err := store.CheckPatch(p.ref.String(), patch); err != nil {
		return false, err
	}
	p.unchanged = doc
	if same, err := contains(doc.Bytes, patch); err == nil && !same {
		p.note = p.ref.String() + " exists with other values; nothing was changed"
	}
	return true, nil
}

// contains reports whether a document already has everything that a merge patch sets.
func contains(doc, patch []byte) (bool, error) {
	var have, want any
	if err := json.Unmarshal(doc, &have); err != nil {
		return false, err
	}
	if err := json.Unmarshal(patch, &want); err != nil {
		return false, err
	}
	return has(have, want), nil
}

func has(have, want any) bool {
	w, ok := want.(map[string]any)
	if !ok {
		a, errA := json.Marshal(have)
		b, errB := json.Marshal(want)
		return errA == nil && errB == nil && bytes.Equal(a, b)
	}
	h, _ := have.(map[string]any)
	for name, v := range w {
		if !has(h[name], v) {
			return false
		}
	}
	return true
}

// update completes the change of a document that exists: next is what it will
// be, meta its part that the server sets.
func (d *draft) update(p *plan, doc *store.Doc, next any, meta *store.Meta, m mutation.Mutation, now store.Time) (*plan, error) {
	if err := d.base(&m, doc); err != nil {
		return nil, err
	}
	if bytes.Equal(store.Encode(next), doc.Bytes) && m.Base == doc.Revision {
		p.unchanged = doc
		return p, nil
	}
	meta.CreateRevision, meta.Revision, meta.UpdatedAt, meta.UpdatedBy = 0, 0, now, d.actor
	m.Payload = store.Encode(next)
	p.created = doc.CreateRevision
	p.command = d.command(now, m)
	return p, nil
}

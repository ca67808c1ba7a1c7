package store

import (
	"encoding/json"
	"errors"
	"iter"
	"strings"
)

// Access gives the repositories of one state. A *Tx reads and writes; what a
// rule needs to know is asked through the same value.
type Access interface {
	Tenants() Repository
	Clients(slug string) Repository
	Scopes(slug string) Repository
	Keys(slug string) Repository
}

var _ Access = (*Tx)(nil)

// Repository is the documents of one kind of one tenant. Names are slugs,
// client ids and scope names; a keyset has the name of its tenant.
type Repository struct {
	tx     *Tx
	prefix string
	kind   string
	path   func(name string) string
}

// Tenants holds the tenant documents, by slug.
func (t *Tx) Tenants() Repository {
	return Repository{t, "tenants/", "tenant", TenantPath}
}

// Clients holds a tenant's clients, by client id.
func (t *Tx) Clients(slug string) Repository {
	return Repository{t, "tenants/" + slug + "/clients/", "client", func(id string) string { return ClientPath(slug, id) }}
}

// Scopes holds a tenant's scopes, by name.
func (t *Tx) Scopes(slug string) Repository {
	return Repository{t, "tenants/" + slug + "/scopes/", "scope", func(name string) string { return ScopePath(slug, name) }}
}

// Keys holds a tenant's one keyset; the published set beside it follows it.
func (t *Tx) Keys(slug string) Repository {
	return Repository{t, "keys/" + slug + "/", "keyset", func(string) string { return KeysetPath(slug) }}
}

// Get returns a document, or an error of CodeNotFound.
func (r Repository) Get(name string) (*Doc, error) {
	path := r.path(name)
	if d := r.tx.Get(path); d != nil {
		return d, nil
	}
	return nil, notFound(path)
}

// NotFound is the error for a document that is not there, in the operator's words.
func notFound(path string) error {
	ref, err := ParsePath(path)
	if err != nil {
		return Errorf(CodeInvalid, "%v", err)
	}
	return NotFound(ref)
}

// NotFound returns the error that names an object that does not exist.
func NotFound(ref Ref) *Error {
	switch ref.Kind {
	case "tenant":
		return Errorf(CodeNotFound, "tenant %q not found", ref.Tenant)
	case "keyset":
		return Errorf(CodeNotFound, "tenant %q has no keys", ref.Tenant).WithHint("see: cpctl key rotate -t %s", ref.Tenant)
	}
	return Errorf(CodeNotFound, "%s %q not found in tenant %q", ref.Kind, ref.Name, ref.Tenant)
}

// List yields the documents in the order of their file names.
func (r Repository) List() iter.Seq[*Doc] {
	return func(yield func(*Doc) bool) {
		for d := range r.tx.Scan(r.prefix) {
			ref, err := ParsePath(d.Path)
			if err == nil && ref.Kind == r.kind && !yield(d) {
				return
			}
		}
	}
}

// Upsert puts a document in, in place of an older one. Its path must be one of
// the repository's.
func (r Repository) Upsert(d *Doc) error {
	if ref, err := ParsePath(d.Path); err != nil || ref.Kind != r.kind || !strings.HasPrefix(d.Path, r.prefix) {
		return Errorf(CodeInternal, "%s does not belong to the %ss below %s", d.Path, r.kind, r.prefix)
	}
	if r.kind == "keyset" {
		jwks, err := jwksDoc(d)
		if err != nil {
			return err
		}
		r.tx.put(jwks)
	}
	r.tx.put(d)
	return nil
}

// Delete takes a document out, a keyset with its published set. An error of
// CodeNotFound if it is not there.
func (r Repository) Delete(name string) error {
	path := r.path(name)
	if !r.tx.del(path) {
		return notFound(path)
	}
	if r.kind == "keyset" {
		if ref, err := ParsePath(path); err == nil {
			r.tx.del(JWKSPath(ref.Tenant))
		}
	}
	return nil
}

// Stored returns the decoded document.
func Stored[T any](d *Doc) (*T, error) {
	v := new(T)
	if err := unmarshal(d.Bytes, v); err != nil {
		return nil, errors.Join(Errorf(CodeInternal, "%s cannot be read", d.Path), err)
	}
	return v, nil
}

// jwksDoc derives the published set from a keyset document.
func jwksDoc(keyset *Doc) (*Doc, error) {
	ks, err := Stored[Keyset](keyset)
	if err != nil {
		return nil, err
	}
	return NewDoc(JWKSPath(ks.Tenant), JWKSOf(ks))
}

// unmarshal reads JSON that this package wrote.
func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

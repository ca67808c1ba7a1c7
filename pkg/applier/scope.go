package applier

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func (ch *change) createScope(m *mutation.Mutation) error {
	t, td, err := ch.tenant(m.Tenant)
	if err != nil {
		return err
	}
	if err := store.CheckScopeName(m.Name); err != nil {
		return store.Errorf(store.CodeInvalid, "%v", err)
	}
	old, err := ch.Scopes(m.Tenant).Get(m.Name)
	switch replace := m.Flags&mutation.Replace != 0; {
	case replace && err != nil:
		return err
	case replace:
		if err := unmoved(m.Ref(), old, m); err != nil {
			return err
		}
	case err == nil:
		return store.Errorf(store.CodeExists, "scope %q already exists in tenant %q", m.Name, m.Tenant)
	default:
		if n := ch.Count(m.Tenant, "scope"); n >= t.Quotas.MaxScopes {
			return quota(t.Slug, "scope", n, t.Quotas.MaxScopes)
		}
	}
	d, err := ch.document(m.Ref(), m, old)
	if err != nil {
		return err
	}
	h := d.Head.(*store.ScopeHead)
	if h.Tenant != m.Tenant || h.Name != m.Name {
		return store.Errorf(store.CodeInternal, "the document of %s is of another scope", m.Ref())
	}
	// A scope is the platform's own from the command that creates its tenant on, or never.
	if born := td.CreateRevision == ch.revision; h.System != (old != nil && old.Head.(*store.ScopeHead).System || old == nil && born && h.System) {
		return store.Errorf(store.CodeRefused, "scope %q cannot become or cease to be a system scope", m.Name)
	}
	faults := ch.missingScopes(m.Tenant, "depends_on", slices.DeleteFunc(slices.Clone(h.DependsOn), func(s string) bool { return s == m.Name }))
	if cycle := ch.cycle(m.Tenant, m.Name, h.DependsOn); cycle != "" {
		faults = append(faults, store.Field{Path: "depends_on", Message: "makes a cycle: " + cycle})
	}
	if len(faults) > 0 {
		return store.Invalid(fmt.Sprintf("scope %q", m.Name), faults)
	}
	ch.changed(m.Ref())
	return ch.Scopes(m.Tenant).Upsert(d)
}

// cycle returns the way on which a scope with these dependencies would come
// back to itself, empty if there is none. It keeps a stack of its own: a chain
// may be as long as the quota of scopes allows.
func (ch *change) cycle(slug, name string, depends []string) string {
	from := map[string]string{} // how each scope was reached first
	stack := make([]string, 0, len(depends))
	visit := func(scopes []string, by string) {
		for _, s := range scopes {
			if _, seen := from[s]; !seen {
				from[s] = by
				stack = append(stack, s)
			}
		}
	}
	visit(depends, name)
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if s == name {
			return wayBack(name, from)
		}
		if d := ch.Get(store.ScopePath(slug, s)); d != nil {
			visit(d.Head.(*store.ScopeHead).DependsOn, s)
		}
	}
	return ""
}

// wayBack writes the cycle through name, its end at least: a -> b -> a.
func wayBack(name string, from map[string]string) string {
	way := []string{name}
	for s := from[name]; s != name; s = from[s] {
		way = append(way, s)
		if len(way) > maxListed {
			way = append(way, "...")
			break
		}
	}
	way = append(way, name)
	slices.Reverse(way)
	return strings.Join(way, " -> ")
}

func (ch *change) deleteScope(m *mutation.Mutation) error {
	if _, _, err := ch.tenant(m.Tenant); err != nil {
		return err
	}
	old, err := ch.Scopes(m.Tenant).Get(m.Name)
	if err != nil {
		return err
	}
	if m.Flags&mutation.Expected != 0 {
		if err := unmoved(m.Ref(), old, m); err != nil {
			return err
		}
	}
	if old.Head.(*store.ScopeHead).System {
		return store.Errorf(store.CodeRefused, "scope %q is a system scope and cannot be deleted", m.Name)
	}
	users := slices.Collect(ch.UsersOf(m.Tenant, m.Name))
	if len(users) > 0 && m.Flags&mutation.Detach == 0 {
		return inUse(m, users)
	}
	ch.changed(m.Ref())
	for _, path := range users {
		if err := ch.detach(path, m.Name); err != nil {
			return err
		}
	}
	return ch.Scopes(m.Tenant).Delete(m.Name)
}

func inUse(m *mutation.Mutation, users []string) error {
	names := make([]string, 0, len(users))
	for _, path := range users {
		ref, err := store.ParsePath(path)
		if err != nil {
			return err
		}
		names = append(names, ref.Kind+" "+ref.Name)
	}
	return store.Errorf(store.CodeRefused, "scope %q is used by %s", m.Name, listed(names)).
		WithHint("to take it from them in the same change: cpctl scope delete %s -t %s --mode detach", m.Name, m.Tenant)
}

// detach takes a scope from a client or scope that names it.
func (ch *change) detach(path, scope string) error {
	d := ch.Get(path)
	ref, err := store.ParsePath(path)
	if err != nil {
		return err
	}
	without := func(list []string) []string {
		return slices.DeleteFunc(list, func(s string) bool { return s == scope })
	}
	if ref.Kind == "client" {
		c, err := store.Stored[store.Client](d)
		if err != nil {
			return err
		}
		c.Scopes = without(c.Scopes)
		ch.sign(&c.Meta)
		return ch.rewrite(ref, ch.Clients(ref.Tenant), store.Encode(c))
	}
	s, err := store.Stored[store.Scope](d)
	if err != nil {
		return err
	}
	s.DependsOn = without(s.DependsOn)
	ch.sign(&s.Meta)
	return ch.rewrite(ref, ch.Scopes(ref.Tenant), store.Encode(s))
}

// sign notes who changed a document that the command reaches by a cascade.
func (ch *change) sign(m *store.Meta) {
	m.Revision, m.UpdatedAt, m.UpdatedBy = ch.revision, ch.Time, ch.Actor
}

func (ch *change) rewrite(ref store.Ref, in store.Repository, b []byte) error {
	d, err := store.NewDoc(ref.Path(), b)
	if err != nil {
		return err
	}
	return in.Upsert(d) // not among the names: it is neither what the command is about nor deleted
}

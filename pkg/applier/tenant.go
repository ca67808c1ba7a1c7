package applier

import (
	"fmt"
	"strings"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// maxListed bounds how many offenders a refusal names.
const maxListed = 10

func (ch *change) createTenant(m *mutation.Mutation) error {
	if err := store.CheckSlug(m.Tenant); err != nil {
		return store.Errorf(store.CodeInvalid, "%v", err)
	}
	if _, err := ch.Tenants().Get(m.Tenant); err == nil {
		return store.Errorf(store.CodeExists, "tenant %q already exists", m.Tenant)
	}
	d, err := ch.tenantDocument(m, nil)
	if err != nil {
		return err
	}
	ch.changed(m.Ref())
	return ch.Tenants().Upsert(d)
}

func (ch *change) updateTenant(m *mutation.Mutation) error {
	_, old, err := ch.tenant(m.Tenant)
	if err != nil {
		return err
	}
	if err := unmoved(m.Ref(), old, m); err != nil {
		return err
	}
	d, err := ch.tenantDocument(m, old)
	if err != nil {
		return err
	}
	next := d.Head.(*store.Tenant)
	if ch.Violates(next) {
		if err := ch.violations(next); err != nil {
			return err
		}
	}
	ch.changed(m.Ref())
	return ch.Tenants().Upsert(d)
}

// tenantDocument parses the payload and checks what concerns other tenants.
func (ch *change) tenantDocument(m *mutation.Mutation, old *store.Doc) (*store.Doc, error) {
	d, err := ch.document(m.Ref(), m, old)
	if err != nil {
		return nil, err
	}
	t := d.Head.(*store.Tenant)
	if t.Slug != m.Tenant || old != nil && old.Head.(*store.Tenant).UID != t.UID {
		return nil, store.Errorf(store.CodeInternal, "the document of tenant %q is of another tenant", m.Tenant)
	}
	if owner, taken := ch.IssuerOf(t.Issuer); t.Issuer != "" && taken && owner != t.Slug {
		return nil, store.Invalid(fmt.Sprintf("tenant %q", t.Slug), []store.Field{{Path: "issuer",
			Message: fmt.Sprintf("%s is already the issuer of tenant %q", t.Issuer, owner)}})
	}
	return d, nil
}

// violations lists the clients that the new policy would put in the wrong.
func (ch *change) violations(t *store.Tenant) error {
	var names []string
	for d := range ch.Clients(t.Slug).List() {
		if store.CheckClientPolicy(policyOf(d.Head.(*store.ClientHead)), t) != nil {
			names = append(names, d.Head.(*store.ClientHead).ClientID)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return store.Errorf(store.CodeRefused, "tenant %q: %s would violate the new policy: %s", t.Slug, count(len(names), "client"), listed(names)).
		WithHint("change these clients first, or keep the policy wider")
}

func (ch *change) deleteTenant(m *mutation.Mutation) error {
	_, old, err := ch.tenant(m.Tenant)
	if err != nil {
		return err
	}
	if m.Flags&mutation.Expected != 0 {
		if err := unmoved(m.Ref(), old, m); err != nil {
			return err
		}
	}
	ch.changed(m.Ref())
	for _, all := range []store.Repository{ch.Clients(m.Tenant), ch.Scopes(m.Tenant), ch.Keys(m.Tenant)} {
		var gone []store.Ref
		for d := range all.List() {
			ref, err := store.ParsePath(d.Path)
			if err != nil {
				return err
			}
			gone = append(gone, ref)
		}
		for _, ref := range gone {
			if err := all.Delete(ref.Name); err != nil {
				return err
			}
			ch.changed(ref)
		}
	}
	if err := ch.unbind(m.Tenant); err != nil {
		return err
	}
	return ch.Tenants().Delete(m.Tenant)
}

// listed joins names for a message, the first few of many.
func listed(names []string) string {
	if len(names) > maxListed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), len(names)-maxListed)
	}
	return strings.Join(names, ", ")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

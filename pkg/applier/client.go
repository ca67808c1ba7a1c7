package applier

import (
	"fmt"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func (ch *change) createClient(m *mutation.Mutation) error {
	t, _, err := ch.tenant(m.Tenant)
	if err != nil {
		return err
	}
	if err := store.CheckClientID(m.Name); err != nil {
		return store.Errorf(store.CodeInvalid, "%v", err)
	}
	if ch.Get(store.ClientPath(m.Tenant, m.Name)) != nil {
		return store.Errorf(store.CodeExists, "client %q already exists in tenant %q", m.Name, m.Tenant)
	}
	if n := ch.Count(m.Tenant, "client"); n >= t.Quotas.MaxClients {
		return quota(t.Slug, "client", n, t.Quotas.MaxClients)
	}
	d, err := ch.clientDocument(m, t, nil)
	if err != nil {
		return err
	}
	ch.changed(m.Ref())
	return ch.Clients(m.Tenant).Upsert(d)
}

func (ch *change) updateClient(m *mutation.Mutation) error {
	t, _, err := ch.tenant(m.Tenant)
	if err != nil {
		return err
	}
	old, err := ch.Clients(m.Tenant).Get(m.Name)
	if err != nil {
		return err
	}
	if err := unmoved(m.Ref(), old, m); err != nil {
		return err
	}
	d, err := ch.clientDocument(m, t, old)
	if err != nil {
		return err
	}
	ch.changed(m.Ref())
	return ch.Clients(m.Tenant).Upsert(d)
}

func (ch *change) deleteClient(m *mutation.Mutation) error {
	if _, _, err := ch.tenant(m.Tenant); err != nil {
		return err
	}
	old, err := ch.Clients(m.Tenant).Get(m.Name)
	if err != nil {
		return err
	}
	if m.Flags&mutation.Expected != 0 {
		if err := unmoved(m.Ref(), old, m); err != nil {
			return err
		}
	}
	ch.changed(m.Ref())
	return ch.Clients(m.Tenant).Delete(m.Name)
}

// clientDocument parses the payload and checks it against the tenant: its
// policy, and that every scope exists. All faults are named at once.
func (ch *change) clientDocument(m *mutation.Mutation, t *store.Tenant, old *store.Doc) (*store.Doc, error) {
	d, err := ch.document(m.Ref(), m, old)
	if err != nil {
		return nil, err
	}
	h := d.Head.(*store.ClientHead)
	if h.Tenant != m.Tenant || h.ClientID != m.Name {
		return nil, store.Errorf(store.CodeInternal, "the document of %s is of another client", m.Ref())
	}
	var faults []store.Field
	if err := store.CheckClientPolicy(policyOf(h), t); err != nil {
		e, ok := err.(*store.Error)
		if !ok {
			return nil, err
		}
		faults = e.Fields
	}
	faults = append(faults, ch.missingScopes(m.Tenant, "scopes", h.Scopes)...)
	if len(faults) > 0 {
		return nil, store.Invalid(fmt.Sprintf("client %q", m.Name), faults)
	}
	return d, nil
}

// MissingScopes names the elements of a list of scopes that do not exist in the
// state of an image.
func MissingScopes(img *store.Image, slug, field string, scopes []string) []store.Field {
	return (&change{Tx: img.Overlay()}).missingScopes(slug, field, scopes)
}

// missingScopes names the elements of a list of scopes that do not exist.
func (ch *change) missingScopes(slug, field string, scopes []string) []store.Field {
	var faults []store.Field
	var exist []string // listed once something is missing
	for i, s := range scopes {
		if ch.Get(store.ScopePath(slug, s)) != nil {
			continue
		}
		if exist == nil {
			for d := range ch.Scopes(slug).List() {
				exist = append(exist, d.Head.(*store.ScopeHead).Name)
			}
		}
		message := fmt.Sprintf("scope %q does not exist in tenant %q", s, slug)
		if near := store.Suggest(s, exist); near != "" {
			message += fmt.Sprintf("; did you mean %q?", near)
		}
		faults = append(faults, store.Field{Path: fmt.Sprintf("%s[%d]", field, i), Message: message})
	}
	return faults
}

// policyOf gives the part of a client that a tenant's policy speaks of.
func policyOf(h *store.ClientHead) *store.Client {
	return &store.Client{Tenant: h.Tenant, ClientID: h.ClientID, GrantTypes: h.GrantTypes, TokenEndpointAuthMethod: h.TokenEndpointAuthMethod,
		RequirePKCE: h.RequirePKCE, AccessTokenTTL: h.AccessTokenTTL, IDTokenTTL: h.IDTokenTTL, RefreshTokenTTL: h.RefreshTokenTTL}
}

func quota(slug, noun string, have, limit int) error {
	return store.Errorf(store.CodeRefused, "tenant %q has %s, its quota is %d", slug, count(have, noun), limit).
		WithHint("raise it: cpctl tenant update %s --set quotas.max_%ss=N", slug, noun)
}

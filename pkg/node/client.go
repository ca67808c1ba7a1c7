package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// defaultOverlap is how long the old secret stays good after a rotation: time
// to roll the new one out.
const defaultOverlap = store.Duration(24 * time.Hour)

// maxSecrets is how many secrets of a client may be good at once.
const maxSecrets = 2

// client completes client.create and client.update.
func (d *draft) client(img *store.Image, now store.Time) (*plan, error) {
	id := d.req.Name
	if id == "" && d.req.Op == mutation.OpClientCreate {
		id = d.made.clientID()
	}
	p := &plan{ref: store.Ref{Kind: "client", Tenant: d.req.Tenant, Name: id}, op: d.req.Op}
	if err := checkNames(p.ref); err != nil {
		return nil, err
	}
	if err := tenantExists(img, d.req.Tenant); err != nil {
		return nil, err
	}
	doc := img.Get(p.ref.Path())
	if d.req.Op == mutation.OpClientCreate {
		return d.createClient(img, p, doc, now)
	}
	if doc == nil {
		return nil, store.NotFound(p.ref)
	}
	current, err := store.Stored[store.Client](doc)
	if err != nil {
		return nil, err
	}
	patch, err := store.Amend(doc.Bytes, d.patch(), d.req.Set, d.req.Add, d.req.Remove)
	if err != nil {
		return nil, err
	}
	next, err := store.CompleteClient(current, d.req.Tenant, id, patch)
	if err != nil {
		return nil, d.allFaults(img, p.ref, patch, err)
	}
	switch {
	case !hasSecret(next):
		next.Secrets = []store.Secret{} // they would be good for nothing
	case len(next.Secrets) == 0:
		p.note = fmt.Sprintf("client %q has no secret; make one: cpctl client secret rotate %s -t %s", id, id, d.req.Tenant)
	}
	return d.update(p, doc, next, &next.Meta, mutation.Mutation{Kind: mutation.ClientUpdate, Tenant: d.req.Tenant, Name: id}, now)
}

// allFaults adds to the faults of a client's form those that applying would
// find with what can be read of it: scopes that do not exist, lifetimes beyond
// the tenant's. So they are all listed at once.
func (d *draft) allFaults(img *store.Image, ref store.Ref, patch []byte, err error) error {
	form, ok := err.(*store.Error)
	if !ok || len(form.Fields) == 0 {
		return err
	}
	var given map[string]json.RawMessage
	if json.Unmarshal(patch, &given) != nil {
		return err
	}
	faulty := func(member string) bool {
		return slices.ContainsFunc(form.Fields, func(f store.Field) bool { return f.Path == member || strings.HasPrefix(f.Path, member+"[") })
	}
	read := func(member string, v any) {
		if b, ok := given[member]; ok && !faulty(member) {
			_ = json.Unmarshal(b, v) // well-formed: its form has no fault
		}
	}
	c := &store.Client{RequirePKCE: true}
	read("scopes", &c.Scopes)
	read("grant_types", &c.GrantTypes)
	read("access_token_ttl", &c.AccessTokenTTL)
	read("id_token_ttl", &c.IDTokenTTL)
	read("refresh_token_ttl", &c.RefreshTokenTTL)
	t := *img.Get(store.TenantPath(ref.Tenant)).Head.(*store.Tenant)
	t.OAuthPolicy.TokenEndpointAuthMethodsAllowed = []string{c.TokenEndpointAuthMethod} // not read, so not judged
	all := *form
	all.Fields = slices.Clone(form.Fields)
	if policy, ok := store.CheckClientPolicy(c, &t).(*store.Error); ok {
		all.Fields = append(all.Fields, policy.Fields...)
	}
	all.Fields = append(all.Fields, applier.MissingScopes(img, ref.Tenant, "scopes", c.Scopes)...)
	return &all
}

func tenantExists(img *store.Image, slug string) error {
	if img.Get(store.TenantPath(slug)) == nil {
		return store.NotFound(store.Ref{Kind: "tenant", Tenant: slug})
	}
	return nil
}

// hasSecret reports whether the client proves itself by a secret.
func hasSecret(c *store.Client) bool {
	return strings.HasPrefix(c.TokenEndpointAuthMethod, "client_secret_")
}

func (d *draft) createClient(img *store.Image, p *plan, existing *store.Doc, now store.Time) (*plan, error) {
	patch, err := store.Amend(nil, d.patch(), d.req.Set, d.req.Add, d.req.Remove)
	if err != nil {
		return nil, err
	}
	if done, err := d.exists(p, existing, patch); done || err != nil {
		return p, err
	}
	c, err := store.CompleteClient(nil, p.ref.Tenant, p.ref.Name, patch)
	if err != nil {
		return nil, d.allFaults(img, p.ref, patch, err)
	}
	if c.UID, err = d.made.uid(0); err != nil {
		return nil, err
	}
	switch {
	case hasSecret(c):
		s, err := d.newSecret()
		if err != nil {
			return nil, err
		}
		c.Secrets = []store.Secret{{ID: "s1", State: "active", Hint: s.hint, Hash: s.hash, CreatedAt: now}}
		p.secret = s.plain
	case d.req.Secret != nil:
		return nil, store.Errorf(store.CodeInvalid, "client %q authenticates with %s, which takes no secret", p.ref.Name, c.TokenEndpointAuthMethod)
	}
	c.Meta = d.born(now)
	p.command = d.command(now, mutation.Mutation{Kind: mutation.ClientCreate, Tenant: p.ref.Tenant, Name: p.ref.Name, Payload: store.Encode(c)})
	return p, nil
}

// clientSecret completes client.secret.rotate and client.secret.revoke.
func (d *draft) clientSecret(img *store.Image, now store.Time) (*plan, error) {
	p := &plan{ref: store.Ref{Kind: "client", Tenant: d.req.Tenant, Name: d.req.Name}, op: d.req.Op}
	if err := checkNames(p.ref); err != nil {
		return nil, err
	}
	if err := tenantExists(img, d.req.Tenant); err != nil {
		return nil, err
	}
	doc := img.Get(p.ref.Path())
	if doc == nil {
		return nil, store.NotFound(p.ref)
	}
	c, err := store.Stored[store.Client](doc)
	if err != nil {
		return nil, err
	}
	if !hasSecret(c) {
		return nil, store.Errorf(store.CodeInvalid, "client %q authenticates with %s, which takes no secret", c.ClientID, c.TokenEndpointAuthMethod)
	}
	c.Secrets = slices.DeleteFunc(c.Secrets, func(s store.Secret) bool { return s.ExpiresAt != 0 && s.ExpiresAt <= now })
	if d.req.Op == mutation.OpClientSecretRotate {
		err = d.rotateSecret(p, c, now)
	} else {
		err = d.revokeSecret(c)
	}
	if err != nil {
		return nil, err
	}
	return d.update(p, doc, c, &c.Meta, mutation.Mutation{Kind: mutation.ClientUpdate, Tenant: p.ref.Tenant, Name: p.ref.Name}, now)
}

// rotateSecret puts a new secret first; the old one stays good for the overlap.
func (d *draft) rotateSecret(p *plan, c *store.Client, now store.Time) error {
	s, err := d.newSecret()
	if err != nil {
		return err
	}
	overlap := defaultOverlap
	if d.req.Overlap != nil {
		overlap = *d.req.Overlap
	}
	newest := 0
	for _, old := range c.Secrets {
		if n, err := strconv.Atoi(strings.TrimPrefix(old.ID, "s")); err == nil {
			newest = max(newest, n)
		}
	}
	kept := []store.Secret{{ID: fmt.Sprintf("s%d", newest+1), State: "active", Hint: s.hint, Hash: s.hash, CreatedAt: now}}
	for _, old := range c.Secrets {
		if old.State == "active" {
			old.State, old.ExpiresAt = "retiring", now.Add(overlap)
		}
		if old.ExpiresAt > now { // an overlap of zero ends it now
			kept = append(kept, old)
		}
	}
	if len(kept) > maxSecrets {
		return store.Errorf(store.CodeRefused, "client %q has %d valid secrets already; the older one, %s, is good until %s", c.ClientID, maxSecrets, kept[maxSecrets].ID, kept[maxSecrets].ExpiresAt).
			WithHint("revoke it first: cpctl client secret revoke %s %s -t %s", c.ClientID, kept[maxSecrets].ID, c.Tenant)
	}
	c.Secrets, p.secret = kept, s.plain
	return nil
}

func (d *draft) revokeSecret(c *store.Client) error {
	left := slices.DeleteFunc(slices.Clone(c.Secrets), func(s store.Secret) bool { return s.ID == d.req.SecretID })
	if len(left) == len(c.Secrets) {
		return store.Errorf(store.CodeNotFound, "client %q has no secret %q", c.ClientID, d.req.SecretID).
			WithHint("see: cpctl client secret list %s -t %s", c.ClientID, c.Tenant)
	}
	if len(left) == 0 {
		return store.Errorf(store.CodeRefused, "secret %s is the last one of client %q; without it the client could not authenticate", d.req.SecretID, c.ClientID).
			WithHint("make a new one first: cpctl client secret rotate %s -t %s --overlap 0s", c.ClientID, c.Tenant)
	}
	if !slices.ContainsFunc(left, func(s store.Secret) bool { return s.State == "active" }) {
		left[0].State, left[0].ExpiresAt = "active", 0 // the newest that is left goes on
	}
	c.Secrets = left
	return nil
}

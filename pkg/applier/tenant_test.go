package applier

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func newTenantPaths(slug string) string {
	paths := []string{tenantAt(slug)}
	for _, s := range store.SystemScopes(slug) {
		paths = append(paths, scopeAt(slug, s.Name))
	}
	return strings.Join(paths, " ")
}

// renamed is a creation under another slug than the document's.
func renamed(ms []mutation.Mutation, slug string) []mutation.Mutation {
	m := ms[0]
	m.Tenant = slug
	return one(m)
}

func TestTenantCreate(t *testing.T) {
	check(t, []rule{
		{"makes the tenant and its system scopes", func(w *world) []mutation.Mutation { return w.createTenant("initech", `{}`) },
			"", "", newTenantPaths("initech"),
			"tenant/initech scope/initech/address scope/initech/email scope/initech/offline_access scope/initech/openid scope/initech/phone scope/initech/profile"},
		{"takes two tenants without an issuer", func(w *world) []mutation.Mutation {
			w.must(w.createTenant("none", `{}`)...)
			return w.createTenant("initech", `{}`)
		}, "", "", newTenantPaths("initech"), ""},
		{"takes the issuer of a tenant that is gone", func(w *world) []mutation.Mutation {
			w.must(w.delete(mutation.TenantDelete, "globex", "", 0))
			return w.createTenant("initech", `{"issuer":"https://id.example/globex"}`)
		}, "", "", newTenantPaths("initech"), ""},
		{"refuses a slug that is taken", func(w *world) []mutation.Mutation { return w.createTenant("acme", `{}`) },
			store.CodeExists, `tenant "acme" already exists`, "", ""},
		{"refuses an issuer that is taken", func(w *world) []mutation.Mutation {
			return w.createTenant("initech", `{"issuer":"https://id.example/globex"}`)
		}, store.CodeInvalid, `issuer: https://id.example/globex is already the issuer of tenant "globex"`, "", ""},
		{"refuses an empty slug", func(w *world) []mutation.Mutation { return renamed(w.createTenant("initech", `{}`), "") },
			store.CodeInvalid, "slug is empty", "", ""},
		{"refuses the slug of the platform's keys", func(w *world) []mutation.Mutation { return renamed(w.createTenant("initech", `{}`), "global") },
			store.CodeInvalid, "reserved", "", ""},
		{"refuses the document of another tenant", func(w *world) []mutation.Mutation { return renamed(w.createTenant("initech", `{}`), "umbrella") },
			store.CodeInternal, "is of another tenant", "", ""},
		{"refuses a payload without the place of its revisions", func(w *world) []mutation.Mutation {
			return one(mutation.Mutation{Kind: mutation.TenantCreate, Tenant: "initech", Payload: []byte("{}\n")})
		}, store.CodeInternal, "no place for its revisions", "", ""},
		{"refuses an empty payload", func(w *world) []mutation.Mutation {
			return one(mutation.Mutation{Kind: mutation.TenantCreate, Tenant: "initech"})
		}, store.CodeInternal, "no place for its revisions", "", ""},
	})
}

func TestTenantUpdate(t *testing.T) {
	update := func(patch string) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation { return one(w.updateTenant("acme", patch)) }
	}
	check(t, []rule{
		{"changes the tenant alone", update(`{"display_name":"Acme Inc."}`), "", "", tenantAt("acme"), "tenant/acme"},
		{"keeps its own issuer", update(`{"issuer":"https://id.example/acme"}`), "", "", tenantAt("acme"), ""},
		{"gives the issuer up", update(`{"issuer":""}`), "", "", tenantAt("acme"), ""},
		{"takes a policy that no client violates", update(`{"oauth_policy":{"token_endpoint_auth_methods_allowed":["client_secret_basic"]}}`), "", "", tenantAt("acme"), ""},
		{"takes the lifetime of the longest client", update(`{"token_policy":{"access_token_ttl":"5m","max_access_token_ttl":"10m"}}`), "", "", tenantAt("acme"), ""},
		{"takes a quota below what is there", update(`{"quotas":{"max_clients":1,"max_scopes":1}}`), "", "", tenantAt("acme"), ""},
		{"refuses an issuer that is taken", update(`{"issuer":"https://id.example/globex"}`), store.CodeInvalid, `issuer of tenant "globex"`, "", ""},
		{"refuses a policy that a client violates", update(`{"token_policy":{"access_token_ttl":"5m","max_access_token_ttl":"9m59s"}}`),
			store.CodeRefused, "1 client would violate the new policy: api", "", ""},
		{"names every client that a policy would wrong", update(`{"oauth_policy":{"token_endpoint_auth_methods_allowed":["none"]}}`),
			store.CodeRefused, "2 clients would violate the new policy: api, web", "", ""},
		{"names ten clients of many", func(w *world) []mutation.Mutation {
			manyClients(w, "acme", 12)
			return one(w.updateTenant("acme", `{"oauth_policy":{"grant_types_allowed":["authorization_code"]}}`))
		}, store.CodeRefused, "13 clients would violate the new policy: api, c0, c1, c10, c11, c2, c3, c4, c5, c6 and 3 more", "", ""},
		{"refuses a tenant that is not there", func(w *world) []mutation.Mutation {
			m := w.updateTenant("acme", `{}`)
			m.Tenant = "nobody"
			return one(m)
		}, store.CodeNotFound, `tenant "nobody" not found`, "", ""},
		{"refuses the document of another tenant", func(w *world) []mutation.Mutation {
			m := w.updateTenant("globex", `{}`)
			m.Tenant, m.Base = "acme", w.base(tenantAt("acme"))
			return one(m)
		}, store.CodeInternal, "is of another tenant", "", ""},
		{"refuses the document of an earlier tenant of this name", func(w *world) []mutation.Mutation {
			m := w.updateTenant("acme", `{}`)
			w.must(w.delete(mutation.TenantDelete, "acme", "", 0))
			w.must(w.createTenant("acme", `{}`)...)
			m.Base = w.base(tenantAt("acme"))
			return one(m)
		}, store.CodeInternal, "is of another tenant", "", ""},
		{"is stale after another change", func(w *world) []mutation.Mutation {
			m := w.updateTenant("acme", `{"display_name":"first"}`)
			w.must(w.updateTenant("acme", `{"display_name":"second"}`))
			return one(m)
		}, stale, "", "", ""},
		{"is a conflict when the caller named the revision", func(w *world) []mutation.Mutation {
			m := w.updateTenant("acme", `{"display_name":"first"}`)
			w.must(w.updateTenant("acme", `{"display_name":"second"}`))
			return one(with(m, mutation.Expected, m.Base))
		}, store.CodeConflict, "tenant/acme has changed: it is at revision 13, not 1", "", ""},
	})
}

func TestTenantDelete(t *testing.T) {
	del := func(flags mutation.Flags) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation { return one(w.delete(mutation.TenantDelete, "acme", "", flags)) }
	}
	all := everything(populated(t), "acme")
	check(t, []rule{
		{"takes clients, scopes and keys with it and nothing else", del(0), "", "", all,
			"tenant/acme client/acme/api client/acme/web scope/acme/address scope/acme/email scope/acme/offline_access scope/acme/openid " +
				"scope/acme/orders:read scope/acme/orders:write scope/acme/phone scope/acme/profile keyset/acme"},
		{"takes what came after it was computed", func(w *world) []mutation.Mutation {
			m := w.delete(mutation.TenantDelete, "acme", "", 0)
			w.must(w.updateTenant("acme", `{"display_name":"changed"}`))
			return one(m)
		}, "", "", all, ""},
		{"takes a tenant without keys", func(w *world) []mutation.Mutation {
			return one(w.delete(mutation.TenantDelete, "globex", "", mutation.Expected))
		}, "", "", everything(populated(t), "globex"), ""},
		{"refuses a tenant that is not there", func(w *world) []mutation.Mutation {
			return one(w.delete(mutation.TenantDelete, "nobody", "", 0))
		}, store.CodeNotFound, `tenant "nobody" not found`, "", ""},
		{"refuses another revision than the caller's", func(w *world) []mutation.Mutation {
			return one(with(w.delete(mutation.TenantDelete, "acme", "", 0), mutation.Expected, 999))
		}, store.CodeConflict, "it is at revision", "", ""},
		{"refuses an empty slug", func(w *world) []mutation.Mutation { return one(mutation.Mutation{Kind: mutation.TenantDelete}) },
			store.CodeInvalid, "slug is empty", "", ""},
		{"refuses to delete the platform's keys", func(w *world) []mutation.Mutation {
			return one(mutation.Mutation{Kind: mutation.TenantDelete, Tenant: "global"})
		}, store.CodeInvalid, "reserved", "", ""},
	})
}

// TestATenantOfManyClientsGoesInOneCommand: the log carries one mutation; what
// it takes along is found by applying.
func TestATenantOfManyClientsGoesInOneCommand(t *testing.T) {
	w := populated(t)
	manyClients(w, "acme", 300)
	m := w.delete(mutation.TenantDelete, "acme", "", 0)
	if n := len(mutation.AppendCommand(nil, w.command(m))); n > 200 {
		t.Errorf("the command has %d bytes", n)
	}
	res := w.must(m)
	if left := everything(w, "acme"); left != "" || len(res.Names) != 1+302+8+1 {
		t.Errorf("%d names; left: %s", len(res.Names), left)
	}
	if r := w.tx.Request("req-" + "317"); r != nil && len(r.Names) > 16 {
		t.Errorf("the record keeps %d names", len(r.Names))
	}
	if wrong := inconsistent(w.image()); wrong != "" {
		t.Error(wrong)
	}
}

// TestATenantOfTheSameNameIsAnother: nothing of the first one is left for it.
func TestATenantOfTheSameNameIsAnother(t *testing.T) {
	w := populated(t)
	first := w.tx.Get(tenantAt("acme"))
	w.must(w.delete(mutation.TenantDelete, "acme", "", 0))
	res := w.must(w.createTenant("acme", `{"issuer":"https://id.example/acme"}`)...)
	d := w.tx.Get(tenantAt("acme"))
	if bytes.Equal(d.Bytes, first.Bytes) || d.CreateRevision != res.Revision || d.Revision != res.Revision {
		t.Errorf("the second acme is created at revision %d and at %d, want %d", d.CreateRevision, d.Revision, res.Revision)
	}
	want := strings.Fields(newTenantPaths("acme"))
	got := strings.Fields(everything(w, "acme"))
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the second acme begins with %v, want %v", got, want)
	}
}

func TestACreatedDocumentKnowsItsRevisions(t *testing.T) {
	w := populated(t)
	created := w.must(w.createClient("acme", "app", `{"grant_types":["client_credentials"]}`)).Revision
	updated := w.must(w.updateClient("acme", "app", `{"description":"changed"}`)).Revision
	d := w.tx.Get(clientAt("acme", "app"))
	if d.CreateRevision != created || d.Revision != updated || updated != created+1 {
		t.Errorf("created at %d, updated at %d, want %d and %d", d.CreateRevision, d.Revision, created, updated)
	}
	if c, err := store.Stored[store.Client](d); err != nil || c.CreateRevision != created || c.Revision != updated {
		t.Errorf("the document says %d and %d, %v", c.CreateRevision, c.Revision, err)
	}
}

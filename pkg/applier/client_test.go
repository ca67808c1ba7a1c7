package applier

import (
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

const machine = `{"grant_types":["client_credentials"]}` // the shortest client

func TestClientCreate(t *testing.T) {
	create := func(slug, id, patch string) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation { return one(w.createClient(slug, id, patch)) }
	}
	check(t, []rule{
		{"makes the client", create("acme", "app", machine), "", "", clientAt("acme", "app"), "client/acme/app"},
		{"tells letters of both cases apart", create("acme", "Web", machine), "", "", clientAt("acme", "Web"), ""},
		{"takes an id that another tenant has", func(w *world) []mutation.Mutation {
			w.must(w.createClient("globex", "app", machine))
			return one(w.createClient("acme", "app", machine))
		}, "", "", clientAt("acme", "app"), ""},
		{"takes scopes of the same command", func(w *world) []mutation.Mutation {
			return []mutation.Mutation{w.createScope("acme", "new", `{}`), w.createClient("acme", "app", `{"grant_types":["client_credentials"],"scopes":["new"]}`)}
		}, "", "", clientAt("acme", "app") + " " + scopeAt("acme", "new"), "scope/acme/new client/acme/app"},
		{"takes the last place of the quota", func(w *world) []mutation.Mutation {
			w.must(w.updateTenant("acme", `{"quotas":{"max_clients":3}}`))
			return one(w.createClient("acme", "app", machine))
		}, "", "", clientAt("acme", "app"), ""},
		{"refuses more than the quota", func(w *world) []mutation.Mutation {
			w.must(w.updateTenant("acme", `{"quotas":{"max_clients":2}}`))
			return one(w.createClient("acme", "app", machine))
		}, store.CodeRefused, `tenant "acme" has 2 clients, its quota is 2`, "", ""},
		{"refuses an id that is taken", create("acme", "web", machine), store.CodeExists, `client "web" already exists in tenant "acme"`, "", ""},
		{"refuses a tenant that is not there", create("nobody", "app", machine), store.CodeNotFound, `tenant "nobody" not found`, "", ""},
		{"refuses scopes that are not there and names them", create("acme", "app", `{"grant_types":["client_credentials"],"scopes":["a","openid","z"]}`),
			store.CodeInvalid, "scopes[0]: scope \"a\" does not exist in tenant \"acme\"\n  scopes[2]: scope \"z\"", "", ""},
		{"refuses scopes of another tenant", func(w *world) []mutation.Mutation {
			w.must(w.createScope("globex", "theirs", `{}`))
			return one(w.createClient("acme", "app", `{"grant_types":["client_credentials"],"scopes":["theirs"]}`))
		}, store.CodeInvalid, `scope "theirs" does not exist in tenant "acme"`, "", ""},
		{"names faults of policy and scopes at once", create("acme", "app",
			`{"grant_types":["client_credentials","urn:ietf:params:oauth:grant-type:device_code"],"access_token_ttl":"48h","scopes":["a"]}`),
			store.CodeInvalid, "grant_types[1]: ", "", ""},
		{"names every fault", create("acme", "app",
			`{"grant_types":["client_credentials","urn:ietf:params:oauth:grant-type:device_code"],"access_token_ttl":"48h","scopes":["a"]}`),
			store.CodeInvalid, "\n  access_token_ttl: 48h is more than the tenant's token_policy.max_access_token_ttl (24h); 24h or less would do\n  scopes[0]: ", "", ""},
		{"refuses what has no PKCE where the tenant requires it", create("acme", "app", `{"grant_types":["client_credentials"],"require_pkce":false}`),
			store.CodeInvalid, "require_pkce: cannot be false", "", ""},
		{"refuses the document of another client", func(w *world) []mutation.Mutation {
			m := w.createClient("acme", "app", machine)
			m.Name = "app2"
			return one(m)
		}, store.CodeInternal, "is of another client", "", ""},
		{"refuses the document of a client of another tenant", func(w *world) []mutation.Mutation {
			m := w.createClient("acme", "app", machine)
			m.Tenant = "globex"
			return one(m)
		}, store.CodeInternal, "is of another client", "", ""},
	})
}

func TestClientUpdate(t *testing.T) {
	update := func(patch string) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation { return one(w.updateClient("acme", "web", patch)) }
	}
	check(t, []rule{
		{"changes the client", update(`{"description":"new"}`), "", "", clientAt("acme", "web"), "client/acme/web"},
		{"may be done where the quota is used up", func(w *world) []mutation.Mutation {
			w.must(w.updateTenant("acme", `{"quotas":{"max_clients":0}}`))
			return one(w.updateClient("acme", "web", `{"description":"new"}`))
		}, "", "", clientAt("acme", "web"), ""},
		{"follows an update of the same command no more", func(w *world) []mutation.Mutation {
			return []mutation.Mutation{w.updateClient("acme", "web", `{"description":"a"}`), w.updateClient("acme", "web", `{"description":"b"}`)}
		}, stale, "", "", ""},
		{"refuses a scope that is not there", update(`{"scopes":["openid","none"]}`), store.CodeInvalid, `scopes[0]: scope "none" does not exist`, "", ""},
		{"refuses what the tenant's policy forbids", update(`{"refresh_token_ttl":"721h"}`), store.CodeInvalid, "refresh_token_ttl: 721h is more", "", ""},
		{"refuses a client that is not there", func(w *world) []mutation.Mutation {
			m := w.updateClient("acme", "web", `{}`)
			m.Name = "none"
			return one(m)
		}, store.CodeNotFound, `client "none" not found in tenant "acme"`, "", ""},
		{"refuses a client of a tenant that is not there", func(w *world) []mutation.Mutation {
			m := w.updateClient("acme", "web", `{}`)
			m.Tenant = "nobody"
			return one(m)
		}, store.CodeNotFound, `tenant "nobody" not found`, "", ""},
		{"refuses the document of another client", func(w *world) []mutation.Mutation {
			m := w.updateClient("acme", "web", `{}`)
			m.Name, m.Base = "api", w.base(clientAt("acme", "api"))
			return one(m)
		}, store.CodeInternal, "is of another client", "", ""},
		{"is stale after another change", func(w *world) []mutation.Mutation {
			m := w.updateClient("acme", "web", `{"description":"first"}`)
			w.must(w.updateClient("acme", "web", `{"description":"second"}`))
			return one(m)
		}, stale, "", "", ""},
		{"is stale after the client was made anew", func(w *world) []mutation.Mutation {
			m := w.updateClient("acme", "web", `{"description":"first"}`)
			w.must(w.delete(mutation.ClientDelete, "acme", "web", 0))
			w.must(w.createClient("acme", "web", machine))
			return one(m)
		}, stale, "", "", ""},
		{"is stale after its scope was detached", func(w *world) []mutation.Mutation {
			m := w.updateClient("acme", "web", `{"description":"first"}`)
			w.must(w.delete(mutation.ScopeDelete, "acme", "orders:read", mutation.Detach))
			return one(m)
		}, stale, "", "", ""},
		{"is a conflict when the caller named the revision", func(w *world) []mutation.Mutation {
			return one(with(w.updateClient("acme", "web", `{"description":"first"}`), mutation.Expected, 1))
		}, store.CodeConflict, "client/acme/web has changed: it is at revision 5, not 1", "", ""},
	})
}

func TestClientDelete(t *testing.T) {
	check(t, []rule{
		{"takes the client alone", func(w *world) []mutation.Mutation {
			return one(w.delete(mutation.ClientDelete, "acme", "web", mutation.Expected))
		}, "", "", clientAt("acme", "web"), "client/acme/web"},
		{"takes one that changed meanwhile", func(w *world) []mutation.Mutation {
			return one(with(w.delete(mutation.ClientDelete, "acme", "web", 0), 0, 1))
		}, "", "", clientAt("acme", "web"), ""},
		{"makes room in the quota for one of the same command", func(w *world) []mutation.Mutation {
			w.must(w.updateTenant("acme", `{"quotas":{"max_clients":2}}`))
			return []mutation.Mutation{w.delete(mutation.ClientDelete, "acme", "web", 0), w.createClient("acme", "app", machine)}
		}, "", "", clientAt("acme", "web") + " " + clientAt("acme", "app"), "client/acme/web client/acme/app"},
		{"refuses another revision than the caller's", func(w *world) []mutation.Mutation {
			return one(with(w.delete(mutation.ClientDelete, "acme", "web", 0), mutation.Expected, 1))
		}, store.CodeConflict, "not 1", "", ""},
		{"refuses a client that is not there", func(w *world) []mutation.Mutation {
			return one(w.delete(mutation.ClientDelete, "acme", "none", 0))
		}, store.CodeNotFound, `client "none" not found`, "", ""},
		{"refuses a tenant that is not there", func(w *world) []mutation.Mutation {
			return one(w.delete(mutation.ClientDelete, "nobody", "web", 0))
		}, store.CodeNotFound, `tenant "nobody" not found`, "", ""},
	})
}

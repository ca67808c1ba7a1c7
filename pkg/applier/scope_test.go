package applier

import (
	"slices"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// hand makes a scope mutation whose document skips the checks of form.
func hand(w *world, m mutation.Mutation, change func(*store.Scope)) mutation.Mutation {
	v, err := store.Stored[store.Scope](&store.Doc{Bytes: m.Payload})
	w.fatal(err)
	change(v)
	m.Payload = store.Encode(v)
	return m
}

func TestScopeCreate(t *testing.T) {
	create := func(slug, name, patch string) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation { return one(w.createScope(slug, name, patch)) }
	}
	check(t, []rule{
		{"makes the scope", create("acme", "new", `{"depends_on":["openid","orders:write"]}`), "", "", scopeAt("acme", "new"), "scope/acme/new"},
		{"takes a scope that the next one needs", func(w *world) []mutation.Mutation {
			return []mutation.Mutation{w.createScope("acme", "a", `{}`), w.createScope("acme", "b", `{"depends_on":["a"]}`)}
		}, "", "", scopeAt("acme", "a") + " " + scopeAt("acme", "b"), ""},
		{"refuses one that the next one would make", func(w *world) []mutation.Mutation {
			return []mutation.Mutation{w.createScope("acme", "b", `{"depends_on":["a"]}`), w.createScope("acme", "a", `{}`)}
		}, store.CodeInvalid, `depends_on[0]: scope "a" does not exist in tenant "acme"`, "", ""},
		{"takes the last place of the quota", func(w *world) []mutation.Mutation {
			w.must(w.updateTenant("acme", `{"quotas":{"max_scopes":9}}`))
			return one(w.createScope("acme", "new", `{}`))
		}, "", "", scopeAt("acme", "new"), ""},
		{"refuses more than the quota", func(w *world) []mutation.Mutation {
			w.must(w.updateTenant("acme", `{"quotas":{"max_scopes":8}}`))
			return one(w.createScope("acme", "new", `{}`))
		}, store.CodeRefused, `tenant "acme" has 8 scopes, its quota is 8`, "", ""},
		{"refuses a name that is taken", create("acme", "orders:read", `{}`), store.CodeExists, `scope "orders:read" already exists`, "", ""},
		{"refuses the name of a system scope", create("acme", "openid", `{}`), store.CodeExists, "already exists", "", ""},
		{"refuses a tenant that is not there", create("nobody", "new", `{}`), store.CodeNotFound, `tenant "nobody" not found`, "", ""},
		{"refuses the document of another scope", func(w *world) []mutation.Mutation {
			m := w.createScope("acme", "new", `{}`)
			m.Name = "new2"
			return one(m)
		}, store.CodeInternal, "is of another scope", "", ""},
		{"refuses a system scope that comes later than its tenant", func(w *world) []mutation.Mutation {
			return one(hand(w, w.createScope("acme", "new", `{}`), func(s *store.Scope) { s.System = true }))
		}, store.CodeRefused, `"new" cannot become or cease to be a system scope`, "", ""},
		{"refuses a scope that needs itself", func(w *world) []mutation.Mutation {
			return one(hand(w, w.createScope("acme", "new", `{}`), func(s *store.Scope) { s.DependsOn = []string{"new"} }))
		}, store.CodeInvalid, "depends_on: makes a cycle: new -> new", "", ""},
	})
}

func TestScopeReplace(t *testing.T) {
	replace := func(name, patch string) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation { return one(w.replaceScope("acme", name, patch)) }
	}
	check(t, []rule{
		{"changes the scope", replace("orders:read", `{"description":"new"}`), "", "", scopeAt("acme", "orders:read"), "scope/acme/orders:read"},
		{"changes a system scope", replace("openid", `{"description":"new"}`), "", "", scopeAt("acme", "openid"), ""},
		{"may be done where the quota is used up", func(w *world) []mutation.Mutation {
			w.must(w.updateTenant("acme", `{"quotas":{"max_scopes":0}}`))
			return one(w.replaceScope("acme", "orders:read", `{"description":"new"}`))
		}, "", "", scopeAt("acme", "orders:read"), ""},
		{"refuses a cycle and shows it", replace("orders:read", `{"depends_on":["orders:write"]}`), store.CodeInvalid,
			"depends_on: makes a cycle: orders:read -> orders:write -> orders:read", "", ""},
		{"refuses a longer cycle behind other scopes", func(w *world) []mutation.Mutation {
			w.must(w.createScope("acme", "a", `{"depends_on":["email","orders:write"]}`))
			w.must(w.createScope("acme", "b", `{"depends_on":["email","a"]}`))
			return one(w.replaceScope("acme", "orders:read", `{"depends_on":["email","b"]}`))
		}, store.CodeInvalid, "makes a cycle: orders:read -> b -> a -> orders:write -> orders:read", "", ""},
		{"takes two ways to one scope", func(w *world) []mutation.Mutation {
			w.must(w.createScope("acme", "a", `{"depends_on":["orders:read","openid"]}`))
			return one(w.replaceScope("acme", "orders:write", `{"depends_on":["a","orders:read","openid"]}`))
		}, "", "", scopeAt("acme", "orders:write"), ""},
		{"refuses a dependency that is not there", replace("orders:read", `{"depends_on":["none"]}`), store.CodeInvalid, `scope "none" does not exist`, "", ""},
		{"refuses to make a system scope an ordinary one", func(w *world) []mutation.Mutation {
			return one(hand(w, w.replaceScope("acme", "openid", `{}`), func(s *store.Scope) { s.System = false }))
		}, store.CodeRefused, "cannot become or cease to be a system scope", "", ""},
		{"refuses to make a scope a system one", func(w *world) []mutation.Mutation {
			return one(hand(w, w.replaceScope("acme", "orders:read", `{}`), func(s *store.Scope) { s.System = true }))
		}, store.CodeRefused, "cannot become or cease to be a system scope", "", ""},
		{"refuses a scope that is not there", func(w *world) []mutation.Mutation {
			m := w.replaceScope("acme", "orders:read", `{}`)
			m.Name = "none"
			return one(m)
		}, store.CodeNotFound, `scope "none" not found in tenant "acme"`, "", ""},
		{"is stale after another change", func(w *world) []mutation.Mutation {
			m := w.replaceScope("acme", "orders:read", `{"description":"first"}`)
			w.must(w.replaceScope("acme", "orders:read", `{"description":"second"}`))
			return one(m)
		}, stale, "", "", ""},
		{"is a conflict when the caller named the revision", func(w *world) []mutation.Mutation {
			return one(with(w.replaceScope("acme", "orders:read", `{}`), mutation.Expected, 1))
		}, store.CodeConflict, "scope/acme/orders:read has changed", "", ""},
	})
}

func TestScopeDelete(t *testing.T) {
	del := func(name string, flags mutation.Flags) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation { return one(w.delete(mutation.ScopeDelete, "acme", name, flags)) }
	}
	check(t, []rule{
		{"takes a scope that nobody uses", func(w *world) []mutation.Mutation {
			w.must(w.createScope("acme", "new", `{}`))
			return one(w.delete(mutation.ScopeDelete, "acme", "new", mutation.Expected))
		}, "", "", scopeAt("acme", "new"), "scope/acme/new"},
		{"takes one whose last user is gone", func(w *world) []mutation.Mutation {
			w.must(w.delete(mutation.ClientDelete, "acme", "api", 0))
			return one(w.delete(mutation.ScopeDelete, "acme", "orders:write", 0))
		}, "", "", scopeAt("acme", "orders:write"), ""},
		{"takes one together with its user", func(w *world) []mutation.Mutation {
			return []mutation.Mutation{w.delete(mutation.ClientDelete, "acme", "api", 0), w.delete(mutation.ScopeDelete, "acme", "orders:write", 0)}
		}, "", "", clientAt("acme", "api") + " " + scopeAt("acme", "orders:write"), ""},
		{"detaches it from clients and scopes", del("orders:read", mutation.Detach), "", "",
			clientAt("acme", "web") + " " + scopeAt("acme", "orders:read") + " " + scopeAt("acme", "orders:write"),
			"scope/acme/orders:read"},
		{"detaches from nobody where nobody uses it", func(w *world) []mutation.Mutation {
			w.must(w.createScope("acme", "new", `{}`))
			return one(w.delete(mutation.ScopeDelete, "acme", "new", mutation.Detach))
		}, "", "", scopeAt("acme", "new"), ""},
		{"refuses a scope in use and lists its users", del("orders:read", 0), store.CodeRefused, `scope "orders:read" is used by client web, scope orders:write`, "", ""},
		{"lists ten users of many", func(w *world) []mutation.Mutation {
			for i := range 12 {
				w.must(w.createScope("acme", "s"+string(rune('a'+i)), `{"depends_on":["orders:write"]}`))
			}
			return one(w.delete(mutation.ScopeDelete, "acme", "orders:write", 0))
		}, store.CodeRefused, "scope si and 3 more", "", ""},
		{"refuses a system scope", del("openid", 0), store.CodeRefused, "is a system scope and cannot be deleted", "", ""},
		{"refuses a system scope also when detached", del("openid", mutation.Detach), store.CodeRefused, "is a system scope", "", ""},
		{"refuses a scope that is not there", del("none", mutation.Detach), store.CodeNotFound, `scope "none" not found`, "", ""},
		{"refuses a tenant that is not there", func(w *world) []mutation.Mutation {
			return one(w.delete(mutation.ScopeDelete, "nobody", "openid", 0))
		}, store.CodeNotFound, `tenant "nobody" not found`, "", ""},
		{"refuses another revision than the caller's", func(w *world) []mutation.Mutation {
			return one(with(w.delete(mutation.ScopeDelete, "acme", "orders:read", mutation.Detach), mutation.Expected, 1))
		}, store.CodeConflict, "not 1", "", ""},
	})
}

// TestADetachedDocumentSaysWhoChangedIt: the cascade signs with the command's
// time and actor and leaves everything else alone.
func TestADetachedDocumentSaysWhoChangedIt(t *testing.T) {
	w := populated(t)
	before, err := store.Stored[store.Client](w.tx.Get(clientAt("acme", "web")))
	w.fatal(err)
	c := w.command(w.delete(mutation.ScopeDelete, "acme", "orders:read", mutation.Detach))
	c.Actor = "unix/1000"
	res := w.apply(c)
	after, err := store.Stored[store.Client](w.tx.Get(clientAt("acme", "web")))
	w.fatal(err)
	want := *before
	want.Scopes = []string{"openid"}
	want.Revision, want.UpdatedAt, want.UpdatedBy = res.Revision, c.Time, "unix/1000"
	if got, want := string(store.Encode(after)), string(store.Encode(&want)); got != want {
		t.Errorf("the client is\n%s\nwant\n%s", got, want)
	}
	if users := slices.Collect(w.tx.UsersOf("globex", "orders:read")); len(users) != 2 {
		t.Errorf("the other tenant's scope has the users %v", strings.Join(users, ", "))
	}
}

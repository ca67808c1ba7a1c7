package applier

import (
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestAllOrNothing: a command of several mutations takes effect at one revision
// or leaves no trace, whichever of them is refused.
func TestAllOrNothing(t *testing.T) {
	good := func(w *world) []mutation.Mutation {
		return []mutation.Mutation{
			w.createScope("acme", "new", `{"depends_on":["openid"]}`),
			w.createClient("acme", "app", `{"grant_types":["client_credentials"],"scopes":["new"]}`),
			w.updateTenant("acme", `{"display_name":"changed","issuer":"https://id.example/moved"}`),
			w.delete(mutation.ScopeDelete, "acme", "orders:read", mutation.Detach),
			w.rotate("acme", turned(w)...),
			w.delete(mutation.TenantDelete, "globex", "", 0),
			w.system(mutation.SysEpoch, mutation.Epoch{Node: "id1", Term: 9}),
		}
	}
	globex := everything(populated(t), "globex")
	rules := []rule{{"takes effect as a whole", good, "", "",
		scopeAt("acme", "new") + " " + clientAt("acme", "app") + " " + tenantAt("acme") + " " + scopeAt("acme", "orders:read") + " " +
			scopeAt("acme", "orders:write") + " " + clientAt("acme", "web") + " " + keysAt("acme") + " " + globex + " " + EpochPath, ""}}
	for _, bad := range []struct {
		fact string
		make func(w *world) mutation.Mutation
		code store.Code
	}{
		{"refused", func(w *world) mutation.Mutation { return w.createScope("acme", "openid", `{}`) }, store.CodeExists},
		{"stale", func(w *world) mutation.Mutation {
			return with(w.updateClient("acme", "api", `{"description":"x"}`), 0, 1)
		}, stale},
		{"in conflict", func(w *world) mutation.Mutation {
			return with(w.updateClient("acme", "api", `{"description":"x"}`), mutation.Expected, 1)
		}, store.CodeConflict},
	} {
		for i := range len(good(populated(t))) + 1 {
			rules = append(rules, rule{fact: "leaves no trace when number " + string(rune('1'+i)) + " is " + bad.fact, code: bad.code,
				command: func(w *world) []mutation.Mutation {
					ms := good(w)
					return append(append(ms[:i:i], bad.make(w)), ms[i:]...)
				}})
		}
	}
	check(t, rules)
}

// TestAFailedCommitAmongOthersIsTakenBack: the commit of a stage takes itself
// back, and then the command what came before it.
func TestAFailedCommitAmongOthersIsTakenBack(t *testing.T) {
	check(t, []rule{{"both savepoints hold", func(w *world) []mutation.Mutation {
		w.stage("st1", mutation.StageDoc{Path: clientAt("acme", "web")})
		wrong := w.system(mutation.SysStageCommit, mutation.StageCommit{Stage: "st1", Base: w.tx.Counters().Revision, Digest: "00"})
		return []mutation.Mutation{w.createScope("acme", "new", `{}`), wrong}
	}, store.CodeIntegrity, "nothing was changed", "", ""}})
}

// TestARefusedCommandPublishesNothingWithItsNeighbours: commands of one entry
// are independent of each other.
func TestARefusedCommandPublishesNothingWithItsNeighbours(t *testing.T) {
	w := populated(t)
	w.image()
	w.must(w.createScope("acme", "before", `{}`))
	if res := w.do(w.createScope("acme", "lost", `{}`), w.createScope("acme", "openid", `{}`)); res.Refusal == nil {
		t.Fatal("a command with a scope that exists was accepted")
	}
	w.must(w.createScope("acme", "after", `{}`))
	_, touched := w.tx.Freeze(w.index, 1)
	if len(touched) != 2 || touched[0] != scopeAt("acme", "before") || touched[1] != scopeAt("acme", "after") {
		t.Errorf("to publish: %v, want the scopes before and after", touched)
	}
}

// TestCheckChangesNothing: the leader's early answer is the truth of the moment
// and leaves the image alone.
func TestCheckChangesNothing(t *testing.T) {
	w := populated(t)
	img := w.image()
	before := img.StateDigest()
	for _, ms := range [][]mutation.Mutation{
		one(w.createScope("acme", "new", `{}`)), one(w.createScope("acme", "openid", `{}`)), w.createTenant("initech", `{}`),
		one(w.delete(mutation.TenantDelete, "acme", "", 0)), one(w.createClient("acme", "new", `{"grant_types":["client_credentials"]}`)), one(w.createClient("acme", "web", `{"grant_types":["client_credentials"]}`)),
		one(w.updateClient("acme", "web", `{"client_name":"another"}`)), {w.createScope("acme", "new", `{}`), w.createScope("acme", "openid", `{}`)},
	} {
		c := w.command(ms...)
		early := Check(img, c)
		late := Apply(img.Overlay(), img.Index, c)
		if (early.Refusal == nil) != (late.Refusal == nil) || early.Revision != late.Revision || len(early.Names) != len(late.Names) {
			t.Errorf("checked: %+v, applied: %+v", early, late)
		}
		if img.StateDigest() != before || img.Request(c.ID) != nil {
			t.Fatalf("the image changed by a check of %s", ms[0].Ref())
		}
	}
}

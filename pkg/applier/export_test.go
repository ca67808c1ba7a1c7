package applier

import (
	"fmt"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestExportsAreOnRecord(t *testing.T) {
	kid := func(n int) string { return signingKey(n, store.KeyNext).KID }
	active := "key/acme/" + kid(1)
	export := func(tenant, kid string) func(*world) []mutation.Mutation {
		return sys(mutation.SysExport, mutation.Export{Tenant: tenant, KID: kid, Node: "n1"})
	}
	check(t, []rule{
		{"the active key, whichever it is", export("acme", ""), "", "", ExportsPath("acme"), active},
		{"the active key by its id", export("acme", kid(1)), "", "", ExportsPath("acme"), active},
		{"the next key", export("acme", kid(2)), "", "", ExportsPath("acme"), "key/acme/" + kid(2)},
		{"a key of the platform", export("global", ""), "", "", ExportsPath("global"), "key/global/" + kid(9)},
		{"a retiring key has no private part", export("acme", kid(3)), store.CodeRefused, "is retiring and has no private part any more", "", ""},
		{"nor has a revoked one", export("acme", kid(4)), store.CodeRefused, "is revoked and has no private part any more", "", ""},
		{"a key of another owner", export("acme", kid(9)), store.CodeNotFound, kid(9), "", ""},
		{"a tenant without keys", export("globex", ""), store.CodeNotFound, "has no keys", "", ""},
		{"no such tenant", export("nobody", ""), store.CodeNotFound, "nobody", "", ""},
		{"no name of a tenant", export("../acme", ""), store.CodeInvalid, "slug", "", ""},
	})
}

func TestTheLastExportsAreRemembered(t *testing.T) {
	w := populated(t)
	first := signingKey(1, store.KeyActive).KID
	for i := range mutation.MaxExports + 5 {
		w.must(w.system(mutation.SysExport, mutation.Export{Tenant: "acme", Node: fmt.Sprint("n", i)}))
	}
	w.restart() // the record is in archives
	var all mutation.Exports
	if !w.tx.System(ExportsPath("acme"), &all) || all.Total != mutation.MaxExports+5 || len(all.Last) != mutation.MaxExports {
		t.Fatalf("%d of %d exports are remembered", len(all.Last), all.Total)
	}
	want := mutation.Exported{KID: first, Actor: actor, Node: fmt.Sprint("n", mutation.MaxExports+4), At: w.now}
	if got := all.Last[len(all.Last)-1]; got != want {
		t.Errorf("the last one is %+v, want %+v", got, want)
	}
	if got := all.Last[0].Node; got != "n5" {
		t.Errorf("the oldest one is of node %s, want n5", got)
	}
}

package applier

import (
	"slices"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestNoMutationTouchesAPathOutsideItsOwnTenant applies commands at random to
// two states, one of which goes through an archive again and again. After every
// command it holds what changed to what the command may change, and everything
// derived to the documents.
func TestNoMutationTouchesAPathOutsideItsOwnTenant(t *testing.T) {
	commands := 300
	if testing.Short() {
		commands = 150
	}
	kinds, codes := map[mutation.Kind]int{}, map[store.Code]int{}
	for seed := range uint64(2) {
		steady, restarted := newWorld(t), newWorld(t)
		c := newChaos(steady, seed)
		before := steady.image()
		for i := range commands {
			cmd := c.next()
			sum := before.StateSum()
			early := Check(before, cmd)
			if before.StateSum() != sum {
				t.Fatalf("seed %d: command %d (%s) was checked, and that changed the image", seed, i, cmd.Op)
			}
			res := steady.apply(cmd)
			if !sameAnswer(early, res) {
				t.Fatalf("seed %d: command %d was checked: %+v, and applied: %+v", seed, i, early, res)
			}
			after, touched := steady.tx.Freeze(steady.index, 1)
			wantWithin(t, cmd, res, before, after, touched)
			if got := restarted.apply(cmd); (got.Refusal == nil) != (res.Refusal == nil) || got.Stale != res.Stale || got.Revision != res.Revision {
				t.Fatalf("seed %d: command %d has another answer after restarts: %+v, want %+v", seed, i, got, res)
			}
			if got := restarted.tx.StateDigest(); got != after.StateDigest() {
				t.Fatalf("seed %d: command %d (%s) leads to another state after restarts", seed, i, cmd.Op)
			}
			if i%15 == 0 {
				if wrong := inconsistent(after); wrong != "" {
					t.Fatalf("seed %d: after command %d (%s): %s", seed, i, cmd.Op, wrong)
				}
			}
			if i%40 == 0 {
				restarted.restart()
			}
			if t.Failed() {
				t.Fatalf("seed %d: command %d: %s of %s", seed, i, cmd.Op, cmd.Mutations[0].Ref())
			}
			tally(kinds, codes, cmd, res)
			before = after
		}
	}
	t.Logf("accepted %v, refused %v", kinds, codes)
	if !testing.Short() {
		wantVariety(t, kinds, codes)
	}
}

// sameAnswer compares what was said of a command before it was applied with what came of it.
func sameAnswer(a, b Result) bool {
	said := func(r Result) (words string) {
		if r.Refusal != nil {
			words = r.Refusal.Error()
		}
		return words
	}
	return said(a) == said(b) && a.Stale == b.Stale && a.Revision == b.Revision && slices.Equal(a.Names, b.Names) && (a.Replayed == nil) == (b.Replayed == nil)
}

// wantWithin holds the difference that a command made to what it may change.
func wantWithin(t *testing.T, cmd *mutation.Command, res Result, before, after *store.Image, touched []string) {
	t.Helper()
	changed := differing(before, after)
	silent := res.Refusal != nil || res.Replayed != nil
	if silent && (len(changed) > 0 || len(touched) > 0 || after.Revision() != before.Revision()) {
		t.Errorf("refused or replayed, it changed %v", changed)
	}
	published := 0
	for _, path := range changed {
		if strings.HasPrefix(path, store.SystemPrefix) {
			if !strings.HasPrefix(cmd.Op, "sys.") {
				t.Errorf("%s changed %s", cmd.Op, path)
			}
			continue
		}
		published++
		if !slices.Contains(touched, path) {
			t.Errorf("%s changed and would not be published", path)
		}
		if cmd.Op == string(mutation.SysStageCommit) {
			continue
		}
		if !slices.ContainsFunc(cmd.Mutations, func(m mutation.Mutation) bool { return owns(m, path) }) {
			t.Errorf("%s changed %s, which is not its tenant's", cmd.Op, path)
		}
		if d := after.Get(path); d != nil && d.Head != nil && d.Revision != res.Revision {
			t.Errorf("%s is at revision %d, want %d", path, d.Revision, res.Revision)
		}
	}
	if published > 0 && after.Revision() <= before.Revision() || after.Revision() < before.Revision() {
		t.Errorf("revision %d after %d", after.Revision(), before.Revision())
	}
	if after.Counters().Time < before.Counters().Time {
		t.Errorf("the time fell to %s", after.Counters().Time)
	}
}

// owns reports whether a path is of the mutation's own tenant. The platform's
// keys are their own.
func owns(m mutation.Mutation, path string) bool {
	return m.Tenant != "" && (strings.HasPrefix(path, "keys/"+m.Tenant+"/") || m.Tenant != store.GlobalOwner && strings.HasPrefix(path, "tenants/"+m.Tenant+"/"))
}

func tally(kinds map[mutation.Kind]int, codes map[store.Code]int, cmd *mutation.Command, res Result) {
	switch {
	case res.Replayed != nil:
		codes["replayed"]++
	case res.Stale:
		codes[stale]++
	case res.Refusal != nil:
		codes[res.Refusal.Code]++
	default:
		for _, m := range cmd.Mutations {
			kinds[m.Kind]++
		}
	}
}

// wantVariety fails when the commands no longer reach what they are to test.
func wantVariety(t *testing.T, kinds map[mutation.Kind]int, codes map[store.Code]int) {
	t.Helper()
	for _, kind := range []mutation.Kind{
		mutation.TenantCreate, mutation.TenantUpdate, mutation.TenantDelete, mutation.ClientCreate, mutation.ClientUpdate, mutation.ClientDelete,
		mutation.ScopeCreate, mutation.ScopeDelete, mutation.KeyRotate, mutation.SysEpoch, mutation.SysCert, mutation.SysStagePut, mutation.SysStageCommit,
	} {
		if kinds[kind] == 0 {
			t.Errorf("no %s was accepted", kind)
		}
	}
	for _, code := range []store.Code{store.CodeInvalid, store.CodeNotFound, store.CodeExists, store.CodeConflict, store.CodeRequestReused, store.CodeRefused, stale, "replayed"} {
		if codes[code] == 0 {
			t.Errorf("nothing was refused as %s", code)
		}
	}
}

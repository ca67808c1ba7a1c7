package applier

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// rule is one fact about what a command does to the populated state.
type rule struct {
	fact    string
	command func(w *world) []mutation.Mutation
	code    store.Code // of the refusal; "" when it is accepted
	says    string     // part of the refusal, with its fields
	changes string     // accepted: the paths that differ afterwards, with spaces between them
	names   string     // accepted: what the answer names, likewise; "" for what changes shows
}

// refused because the document moved on and the caller named no revision.
const stale store.Code = "stale"

func one(m mutation.Mutation) []mutation.Mutation { return []mutation.Mutation{m} }

// check applies each rule to a state of its own.
func check(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(strings.ReplaceAll(r.fact, " ", "_"), func(t *testing.T) {
			w := populated(t)
			c := w.command(r.command(w)...) // may have applied commands of its own before
			before := w.image()
			res := w.apply(c)
			if r.code != "" {
				wantRefused(t, w, before, c, res, r)
				return
			}
			wantAccepted(t, w, before, res, r)
		})
	}
}

func wantAccepted(t *testing.T, w *world, before *store.Image, res Result, r rule) {
	t.Helper()
	if res.Refusal != nil || res.Stale || res.Replayed != nil {
		t.Fatalf("refused: %v (stale %v), want it accepted", res.Refusal, res.Stale)
	}
	after, touched := w.tx.Freeze(w.index, 1)
	got, want := differing(before, after), strings.Fields(r.changes)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("changed %v, want %v", got, want)
	}
	published := slices.DeleteFunc(slices.Clone(got), func(p string) bool { return strings.HasPrefix(p, store.SystemPrefix) })
	for _, path := range published {
		if !slices.Contains(touched, path) {
			t.Errorf("%s changed and would not be published", path)
		}
		if d := after.Get(path); d != nil && d.Head != nil && d.Revision != res.Revision {
			t.Errorf("%s is at revision %d, want %d", path, d.Revision, res.Revision)
		}
	}
	revision := before.Revision()
	if len(published) > 0 {
		revision++
	}
	if after.Revision() != revision || res.Revision != revision {
		t.Errorf("revision %d (answered %d), want %d", after.Revision(), res.Revision, revision)
	}
	if r.names != "" && strings.Join(res.Names, " ") != r.names {
		t.Errorf("names %v, want %s", res.Names, r.names)
	}
	if wrong := inconsistent(after); wrong != "" {
		t.Error(wrong)
	}
}

// wantRefused wants the refusal and no trace but the request's record.
func wantRefused(t *testing.T, w *world, before *store.Image, c *mutation.Command, res Result, r rule) {
	t.Helper()
	after, touched := w.tx.Freeze(w.index, 1)
	if len(touched) > 0 || after.Revision() != before.Revision() || len(differing(before, after)) > 0 || after.DataDigest() != before.DataDigest() {
		t.Errorf("it left a trace: touched %v, changed %v, revision %d, was %d", touched, differing(before, after), after.Revision(), before.Revision())
	}
	if res.Refusal == nil {
		t.Fatalf("accepted, want a refusal with code %s", r.code)
	}
	want := before.Overlay() // what the state must be, whatever the refusal is
	want.Touch(c.Time)
	if res.Stale != (r.code == stale) {
		t.Errorf("stale = %v: %v", res.Stale, res.Refusal)
	}
	if !res.Stale {
		want.Remember(store.Record{ID: c.ID, Digest: c.Digest, Time: c.Time, Op: c.Op, Index: w.index, Revision: before.Revision(), Refusal: res.Refusal})
		if res.Refusal.Code != r.code {
			t.Errorf("code %s, want %s: %v", res.Refusal.Code, r.code, res.Refusal)
		}
	}
	if after.StateDigest() != want.StateDigest() {
		t.Errorf("the state differs in more than the record of the request (%+v)", after.Request(c.ID))
	}
	if text := res.Refusal.Error(); !strings.Contains(text, r.says) {
		t.Errorf("it says %q, want it to say %q", text, r.says)
	}
}

// differing are the paths at which two images hold different documents, in order.
func differing(a, b *store.Image) (paths []string) {
	for d := range a.Scan("") {
		if o := b.Get(d.Path); o == nil || o.Sum != d.Sum {
			paths = append(paths, d.Path)
		}
	}
	for d := range b.Scan("") {
		if a.Get(d.Path) == nil {
			paths = append(paths, d.Path)
		}
	}
	slices.Sort(paths)
	return paths
}

// Paths of a tenant, short enough for a table.
func tenantAt(slug string) string      { return store.TenantPath(slug) }
func clientAt(slug, id string) string  { return store.ClientPath(slug, id) }
func scopeAt(slug, name string) string { return store.ScopePath(slug, name) }
func keysAt(slug string) string        { return store.KeysetPath(slug) + " " + store.JWKSPath(slug) }
func with(m mutation.Mutation, f mutation.Flags, base uint64) mutation.Mutation {
	m.Flags |= f
	m.Base = base
	return m
}

// everything is all paths of a tenant.
func everything(w *world, slug string) string {
	var paths []string
	for _, prefix := range []string{"tenants/" + slug + "/", "keys/" + slug + "/"} {
		for d := range w.tx.Scan(prefix) {
			paths = append(paths, d.Path)
		}
	}
	return strings.Join(paths, " ")
}

func manyClients(w *world, slug string, n int) {
	for i := range n {
		w.must(w.createClient(slug, fmt.Sprintf("c%d", i), `{"grant_types":["client_credentials"]}`))
	}
}

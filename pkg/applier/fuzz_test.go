package applier

import (
	"bytes"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// everyKind is the catalogue in an order for the fuzzer, which names a kind by
// its place.
var everyKind = []mutation.Kind{
	mutation.TenantCreate, mutation.TenantUpdate, mutation.TenantDelete, mutation.ClientCreate, mutation.ClientUpdate, mutation.ClientDelete,
	mutation.ScopeCreate, mutation.ScopeDelete, mutation.KeyRotate, mutation.SysEpoch, mutation.SysFound, mutation.SysLevel, mutation.SysCert,
	mutation.SysRevoke, mutation.SysStageBegin, mutation.SysStagePut, mutation.SysStageCommit, mutation.SysStageAbort,
	mutation.SysExport, mutation.SysToken, mutation.SysTokenRevoke, mutation.SysEnrol, mutation.SysAnswer,
	mutation.SysRekey, mutation.SysRewrap, mutation.SysCA, mutation.SysRecover,
	mutation.SysLeave, mutation.SysVote, mutation.SysAutoremove,
}

// TestTheFuzzerKnowsEveryKind holds the list to the golden entries, of which
// there is one of every kind.
func TestTheFuzzerKnowsEveryKind(t *testing.T) {
	files, err := filepath.Glob("../mutation/testdata/v1/*.*.entry")
	if err != nil || len(files) < len(everyKind) {
		t.Fatalf("%d golden entries, %v, for %d kinds", len(files), err, len(everyKind))
	}
	for _, file := range files {
		if kind := mutation.Kind(strings.TrimSuffix(filepath.Base(file), ".entry")); !slices.Contains(everyKind, kind) {
			t.Errorf("%s is not among the kinds that are fuzzed", kind)
		}
	}
}

// FuzzApply applies what comes out of the entry decoder to a small state, alone
// and behind a change that is good: no panic, the same outcome on two replicas,
// no trace of what is refused, and of what is accepted an archive that reads back.
func FuzzApply(f *testing.F) {
	w := populated(f)
	w.atPhase(mutation.RollSwitched)
	uploaded := w.createTenant("initech", `{}`)[0].Payload
	w.must(w.system(mutation.SysStageBegin, mutation.StageBegin{Stage: "st1"}))
	w.must(w.system(mutation.SysToken, oneUse("t1", "operator", "ana")))
	w.must(w.system(mutation.SysToken, oneUse("t0", "node", "n7")))
	w.must(w.system(mutation.SysEnrol, use("t0", "k0", "b0", "node", "n7")))
	seeds := append(w.createTenant("initech", `{"display_name":"Initech"}`),
		w.updateTenant("acme", `{"state":"suspended"}`), w.updateTenant("acme", `{"oauth_policy":{"grant_types_allowed":["client_credentials"]}}`),
		w.delete(mutation.TenantDelete, "globex", "", mutation.Expected), w.delete(mutation.TenantDelete, "", "", 0),
		w.createClient("acme", "spa", `{"redirect_uris":["https://spa.example/cb"]}`), w.updateClient("acme", "web", `{"scopes":["openid"]}`), w.delete(mutation.ClientDelete, "acme", "api", 0),
		w.createScope("acme", "orders:delete", `{"depends_on":["orders:write"]}`), w.replaceScope("acme", "orders:read", `{"depends_on":["orders:write"]}`),
		w.delete(mutation.ScopeDelete, "acme", "orders:read", mutation.Detach), w.delete(mutation.ScopeDelete, "acme", "openid", mutation.Detach),
		w.rotate("acme", signingKey(5, store.KeyActive), signingKey(1, store.KeyRetiring), signingKey(3, store.KeyRetiring), signingKey(4, store.KeyRevoked)), w.rotate("globex", signingKey(6, store.KeyActive)),
		w.system(mutation.SysEpoch, mutation.Epoch{Node: "n", Term: 2}), w.system(mutation.SysFound, mutation.Found{ClusterID: cluster}), w.system(mutation.SysLevel, mutation.Raise{Level: 1}),
		w.system(mutation.SysCert, mutation.Certificate{Serial: "0a", Role: "node", Name: "n1", NodeID: "n"}), w.system(mutation.SysRevoke, mutation.Revoke{NodeID: "n"}),
		w.system(mutation.SysStagePut, mutation.StagePut{Stage: "st1", Docs: []mutation.StageDoc{{Path: store.TenantPath("initech"), Bytes: uploaded}, {Path: store.TenantPath("globex")}}}),
		w.system(mutation.SysStageCommit, mutation.StageCommit{Stage: "st1", Base: w.image().Revision(), Digest: w.image().DataDigest()}),
		w.expecting(1, w.system(mutation.SysStageCommit, mutation.StageCommit{Stage: "st1", Base: w.image().Revision(), Digest: w.image().DataDigest()})),
		w.system(mutation.SysAnswer, mutation.Answered{}), w.system(mutation.SysAnswer, mutation.Answered{Refusal: store.ErrNotFound}),
		w.system(mutation.SysExport, mutation.Export{Tenant: "acme", Node: "n1"}), w.system(mutation.SysExport, mutation.Export{Tenant: "acme", KID: "none", Node: "n1"}),
		w.system(mutation.SysToken, oneUse("t2", "operator", "bob")), w.system(mutation.SysToken, oneUse("t1", "operator", "ana")), w.system(mutation.SysTokenRevoke, mutation.TokenRevoke{ID: "t1"}),
		w.system(mutation.SysEnrol, use("t1", "k1", "b1", "operator", "ana")), w.system(mutation.SysEnrol, use("t0", "k0", "b0", "node", "n7")),
		w.system(mutation.SysStageAbort, mutation.StageAbort{Stage: "st1"}),
		w.system(mutation.SysLeave, mutation.Leave{NodeID: "n7", Name: "n7", Why: mutation.Removal("unix/0")}), w.system(mutation.SysVote, mutation.Vote{NodeID: "n7"}),
		w.system(mutation.SysAutoremove, mutation.Autoremove{After: 1, MinVoters: 3}),
		w.system(mutation.SysRewrap, w.rewrap(store.KeysetPath("acme"), ClusterPath)), w.rekeyStep(mutation.RekeyRetire, "r1", oldKey), w.rekeyStep(mutation.RekeyBegin, "r2", oldKey),
		w.system(mutation.SysRecover, mutation.Recover{Generation: 2, Recovery: "r", Certificate: cert("c9", "n9", "id9")}),
	)
	for _, m := range seeds {
		for i, kind := range everyKind {
			if kind == m.Kind {
				f.Add(byte(i), m.Tenant, m.Name, m.Base, byte(m.Flags), m.Payload)
			}
		}
	}
	good, before := w.createClient("globex", "first", machine), w.image()
	f.Fuzz(func(t *testing.T, kind byte, slug, name string, base uint64, flags byte, payload []byte) {
		if len(payload) == 0 {
			payload = nil
		}
		m := mutation.Mutation{Kind: everyKind[int(kind)%len(everyKind)], Tenant: slug, Name: name, Base: base, Flags: mutation.Flags(flags), Payload: payload}
		for _, ms := range [][]mutation.Mutation{{m}, {good, m}} {
			applyTwice(t, before, &mutation.Command{ID: "fuzzed", Op: string(m.Kind), Actor: actor, Time: w.now + second, Level: mutation.Level, Mutations: ms})
		}
	})
}

func applyTwice(t *testing.T, before *store.Image, made *mutation.Command) {
	t.Helper()
	commands, err := mutation.DecodeEntry(mutation.EncodeEntry([][]byte{mutation.AppendCommand(nil, made)}))
	if err != nil {
		if !errors.Is(err, mutation.ErrUnreadable) {
			t.Fatalf("err = %v, want an unreadable entry", err)
		}
		return
	}
	c, index := &commands[0], before.Index+1
	if !reflect.DeepEqual(c, made) {
		t.Fatalf("decoded as %+v, want %+v", c, made)
	}
	one, two := before.Begin(), before.Begin()
	res, again := Apply(one, index, c), Apply(two, index, c)
	after, touched := one.Freeze(index, 1)
	other, _ := two.Freeze(index, 1)
	if !reflect.DeepEqual(res, again) || after.StateDigest() != other.StateDigest() || after.DataDigest() != other.DataDigest() {
		t.Fatalf("two replicas differ: %+v, digest %s; %+v, digest %s", res, after.StateDigest(), again, other.StateDigest())
	}
	if res.Refusal != nil {
		want := before.Overlay()
		want.Touch(c.Time)
		if !res.Stale {
			want.Remember(store.Record{ID: c.ID, Digest: c.Digest, Time: c.Time, Op: c.Op, Index: index, Revision: before.Revision(), Refusal: res.Refusal})
		}
		if len(touched) > 0 || after.StateDigest() != want.StateDigest() || after.DataDigest() != before.DataDigest() || after.Counters() != want.Counters() {
			t.Fatalf("refused, %v, and left a trace: touched %v, changed %v, counters %+v, want %+v", res.Refusal, touched, differing(before, after), after.Counters(), want.Counters())
		}
		return
	}
	if r := after.Revision(); r < before.Revision() || len(differing(before, after)) > 0 && len(touched) > 0 && r == before.Revision() {
		t.Fatalf("revision %d after %d, changed %v", r, before.Revision(), differing(before, after))
	}
	if complete(after, differing(before, after)) {
		readsBack(t, after)
	}
}

// complete tells whether all published documents among the paths are such as a
// leader makes: their form is the leader's to check, and not looked at again.
func complete(img *store.Image, paths []string) bool {
	for _, path := range paths {
		d := img.Get(path)
		if d == nil {
			continue
		}
		if _, err := store.ParsePath(path); err != nil {
			return false // the cluster's own, whose names come from the leader
		}
		if _, err := store.DecodeDoc(path, d.Bytes); err != nil {
			return false
		}
	}
	return true
}

// readsBack checks that the archive of a state holds that state, with digests
// that were summed anew.
func readsBack(t *testing.T, img *store.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := snapshot.Write(&b, img, cluster); err != nil {
		t.Fatal(err)
	}
	c, err := snapshot.Read(&b, snapshot.Limits{})
	if err != nil {
		t.Fatalf("the archive of what was accepted is refused: %v", err)
	}
	if c.Image.StateDigest() != img.StateDigest() || c.Image.DataDigest() != img.DataDigest() {
		t.Fatalf("read from its archive, the state has the digest %s, want %s", c.Image.StateDigest(), img.StateDigest())
	}
}

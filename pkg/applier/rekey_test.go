package applier

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

var (
	oldKey = mutation.KeyName{ID: "0ld0ld", Check: "check of the old"}
	newKey = mutation.KeyName{ID: "4ew4ew", Check: "check of the new"}
)

// sealedUnderKey is the n-th value under a key, with a nonce of its own.
func sealedUnderKey(n int, key mutation.KeyName) store.Sealed {
	b64 := base64.RawURLEncoding.EncodeToString
	return store.Sealed{Enc: "A256GCM", KeyID: key.ID, Nonce: b64(fmt.Appendf(nil, "%.3s-%08d", key.ID, n)), Ciphertext: b64(fmt.Appendf(nil, "what is sealed under %s, %08d", key.ID, n))}
}

func keyUnder(n int, state string, key mutation.KeyName) store.Key {
	k := signingKey(n, state)
	s := sealedUnderKey(n, key)
	k.PrivateKey = &s
	return k
}

// sealWorld gives the populated state an authority and keys under the old key.
func (w *world) sealWorld() {
	w.t.Helper()
	requests := sealedUnderKey(101, oldKey)
	w.fatal(w.tx.PutSystem(ClusterPath, mutation.Found{ClusterID: cluster, Generation: 1, CAKey: sealedUnderKey(100, oldKey),
		KeyID: oldKey.ID, KeyCheck: oldKey.Check, Level: 1, RequestKey: &requests}))
	w.must(w.rotate("acme", keyUnder(1, store.KeyActive, oldKey), keyUnder(2, store.KeyNext, oldKey), signingKey(3, store.KeyRetiring), signingKey(4, store.KeyRevoked)))
	w.must(w.rotate("global", keyUnder(9, store.KeyActive, oldKey)))
}

func (w *world) rekeyStep(step, roll string, key mutation.KeyName) mutation.Mutation {
	return w.system(mutation.SysRekey, mutation.Rekey{Step: step, Roll: roll, Key: key})
}

// atPhase brings the state of sealWorld to a phase of the roll-over r1.
func (w *world) atPhase(phase string) {
	w.t.Helper()
	w.sealWorld()
	if phase == "" {
		return
	}
	w.must(w.rekeyStep(mutation.RekeyBegin, "r1", newKey))
	if phase == mutation.RollSwitched {
		w.must(w.rekeyStep(mutation.RekeySwitch, "r1", newKey))
	}
}

// rewrap makes the mutation that seals anew what some documents hold.
func (w *world) rewrap(paths ...string) mutation.Rewrap {
	out := mutation.Rewrap{Roll: "r1"}
	n := 200
	for _, path := range paths {
		d := w.tx.Get(path)
		doc := mutation.RewrapDoc{Path: path, Base: d.Sum.String()}
		for _, s := range store.SealedIn(path, d.Bytes) {
			n++
			doc.Values = append(doc.Values, mutation.RewrapValue{From: s.Nonce, Now: sealedUnderKey(n, newKey)})
		}
		out.Docs = append(out.Docs, doc)
	}
	return out
}

func TestRekey(t *testing.T) {
	acme, global := store.KeysetPath("acme"), store.KeysetPath(store.GlobalOwner)
	step := func(phase, step, roll string, key mutation.KeyName) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation { w.atPhase(phase); return one(w.rekeyStep(step, roll, key)) }
	}
	rewrapped := func(phase string, change func(w *world, r *mutation.Rewrap), paths ...string) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation {
			w.atPhase(phase)
			r := w.rewrap(paths...)
			if change != nil {
				change(w, &r)
			}
			return one(w.system(mutation.SysRewrap, r))
		}
	}
	none := func(*world, *mutation.Rewrap) {}
	check(t, []rule{
		{"begins", step("", mutation.RekeyBegin, "r1", newKey), "", "", RekeyPath, ""},
		{"begins in a founded cluster only", func(w *world) []mutation.Mutation {
			w.tx.DeleteSystem(ClusterPath)
			return one(w.rekeyStep(mutation.RekeyBegin, "r1", newKey))
		}, store.CodeConflict, "not founded", "", ""},
		{"begins once", step(mutation.RollBegun, mutation.RekeyBegin, "r2", mutation.KeyName{ID: "x", Check: "y"}), store.CodeConflict, "another roll-over", "", ""},
		{"begins with another key", step("", mutation.RekeyBegin, "r1", oldKey), store.CodeConflict, "cannot be the next one", "", ""},
		{"does not begin behind the switch", step(mutation.RollSwitched, mutation.RekeyBegin, "r2", mutation.KeyName{ID: "x", Check: "y"}), store.CodeConflict, "another roll-over", "", ""},
		{"needs a request key", func(w *world) []mutation.Mutation {
			w.sealWorld()
			w.fatal(w.tx.PutSystem(ClusterPath, mutation.Found{ClusterID: cluster, KeyID: oldKey.ID, KeyCheck: oldKey.Check}))
			return one(w.rekeyStep(mutation.RekeyBegin, "r1", newKey))
		}, store.CodeInternal, "no request key", "", ""},
		{"takes the request key of an older cluster", func(w *world) []mutation.Mutation {
			w.sealWorld()
			w.fatal(w.tx.PutSystem(ClusterPath, mutation.Found{ClusterID: cluster, KeyID: oldKey.ID, KeyCheck: oldKey.Check}))
			s := sealedUnderKey(77, oldKey)
			return one(w.system(mutation.SysRekey, mutation.Rekey{Step: mutation.RekeyBegin, Roll: "r1", Key: newKey, RequestKey: &s}))
		}, "", "", ClusterPath + " " + RekeyPath, ""},
		{"is begun anew", func(w *world) []mutation.Mutation {
			w.atPhase(mutation.RollBegun)
			return one(w.system(mutation.SysRekey, mutation.Rekey{Step: mutation.RekeyBegin, Roll: "r1", Key: mutation.KeyName{ID: "x", Check: "y"}, Replaces: newKey.ID}))
		}, "", "", RekeyPath, ""},
		{"is not begun anew for a key that is not the next", func(w *world) []mutation.Mutation {
			w.atPhase(mutation.RollBegun)
			return one(w.system(mutation.SysRekey, mutation.Rekey{Step: mutation.RekeyBegin, Roll: "r1", Key: mutation.KeyName{ID: "x", Check: "y"}, Replaces: "z"}))
		}, store.CodeConflict, "another roll-over", "", ""},

		{"switches", step(mutation.RollBegun, mutation.RekeySwitch, "r1", newKey), "", "", ClusterPath + " " + RekeyPath, ""},
		{"switches once", step(mutation.RollSwitched, mutation.RekeySwitch, "r1", newKey), store.CodeConflict, "another roll-over", "", ""},
		{"switches what was begun only", step("", mutation.RekeySwitch, "r1", newKey), store.CodeConflict, "come to its end", "", ""},
		{"switches to its own key only", step(mutation.RollBegun, mutation.RekeySwitch, "r1", mutation.KeyName{ID: newKey.ID, Check: "y"}), store.CodeConflict, "another roll-over", "", ""},
		{"switches its own roll-over only", step(mutation.RollBegun, mutation.RekeySwitch, "r2", newKey), store.CodeConflict, "another roll-over", "", ""},

		{"seals anew", rewrapped(mutation.RollSwitched, none, acme, ClusterPath), "", "", acme + " " + ClusterPath + " " + RekeyPath, "keyset/acme"},
		{"seals anew several at once", rewrapped(mutation.RollSwitched, none, acme, global), "", "", acme + " " + global + " " + RekeyPath, "keyset/acme keyset/global"},
		{"seals nothing anew before the switch", rewrapped(mutation.RollBegun, none, acme), store.CodeConflict, "another roll-over", "", ""},
		{"seals nothing anew without a roll-over", rewrapped("", none, acme), store.CodeConflict, "come to its end", "", ""},
		{"seals nothing anew in a document that has changed", rewrapped(mutation.RollSwitched, func(w *world, _ *mutation.Rewrap) {
			w.must(w.rotate("acme", keyUnder(1, store.KeyActive, oldKey), keyUnder(2, store.KeyNext, oldKey), signingKey(3, store.KeyRetiring), signingKey(4, store.KeyRevoked)))
		}, acme, global), stale, "", "", ""},
		{"seals nothing anew in a document that is gone", rewrapped(mutation.RollSwitched, func(w *world, _ *mutation.Rewrap) {
			w.must(w.delete(mutation.TenantDelete, "acme", "", 0))
		}, global, acme), stale, "", "", ""},
		{"seals nothing anew under another key", rewrapped(mutation.RollSwitched, func(_ *world, r *mutation.Rewrap) {
			r.Docs[0].Values[1].Now.KeyID = "x"
		}, acme), store.CodeInternal, "holds no value", "", ""},
		{"replaces no value that is not there", rewrapped(mutation.RollSwitched, func(_ *world, r *mutation.Rewrap) {
			r.Docs[1].Values[0].From = "x"
		}, global, acme), store.CodeInternal, "holds no value", "", ""},
		{"writes no sealed value of a bad form", rewrapped(mutation.RollSwitched, func(_ *world, r *mutation.Rewrap) {
			r.Docs[0].Values[0].Now.Nonce = "short"
		}, acme), store.CodeInvalid, "nonce", "", ""},
		{"takes a document once", rewrapped(mutation.RollSwitched, none, acme, acme), store.CodeInternal, "twice", "", ""},
		{"is not for tenants", rewrapped(mutation.RollSwitched, none, acme, store.TenantPath("acme")), store.CodeInternal, "nothing is sealed", "", ""},

		{"retires nothing while something is sealed", step(mutation.RollSwitched, mutation.RekeyRetire, "r1", oldKey), store.CodeRefused, "cannot be retired yet", "", ""},
		{"retires nothing while the authority is sealed", func(w *world) []mutation.Mutation {
			w.atPhase(mutation.RollSwitched)
			w.must(w.system(mutation.SysRewrap, w.rewrap(acme, global)))
			return one(w.rekeyStep(mutation.RekeyRetire, "r1", oldKey))
		}, store.CodeRefused, ClusterPath, "", ""},
		{"retires nothing while it is in a restore", func(w *world) []mutation.Mutation {
			w.atPhase(mutation.RollSwitched)
			w.stage("st1", doc(w.tx.Get(acme)))
			w.must(w.system(mutation.SysRewrap, w.rewrap(acme, global, ClusterPath)))
			return one(w.rekeyStep(mutation.RekeyRetire, "r1", oldKey))
		}, store.CodeRefused, "restore that is under way", "", ""},
		{"retires the old key", func(w *world) []mutation.Mutation {
			w.atPhase(mutation.RollSwitched)
			w.must(w.system(mutation.SysRewrap, w.rewrap(acme, global, ClusterPath)))
			return one(w.rekeyStep(mutation.RekeyRetire, "r1", oldKey))
		}, "", "", RekeyPath, ""},
		{"retires the old key only", func(w *world) []mutation.Mutation {
			w.atPhase(mutation.RollSwitched)
			w.must(w.system(mutation.SysRewrap, w.rewrap(acme, global, ClusterPath)))
			return one(w.rekeyStep(mutation.RekeyRetire, "r1", newKey))
		}, store.CodeConflict, "another roll-over", "", ""},
		{"keeps a second key in a new cluster only", step(mutation.RollBegun, mutation.RekeyKeep, "r2", mutation.KeyName{ID: "x", Check: "y"}), store.CodeConflict, "another roll-over", "", ""},
		{"keeps a second key", step("", mutation.RekeyKeep, "r1", newKey), "", "", RekeyPath, ""},
	})
}

// TestNothingIsSealedUnderAKeyThatIsNotTheClusters: a command that was made
// before a step, or for another cluster, brings no other key's values in.
func TestNothingIsSealedUnderAKeyThatIsNotTheClusters(t *testing.T) {
	stranger := mutation.KeyName{ID: "57r4ng", Check: "?"}
	for _, tt := range []struct {
		phase string
		good  []mutation.KeyName
	}{
		{"", []mutation.KeyName{oldKey, newKey, stranger}}, // never rekeyed: as it was released
		{mutation.RollBegun, []mutation.KeyName{oldKey}},
		{mutation.RollSwitched, []mutation.KeyName{oldKey, newKey}},
		{"retired", []mutation.KeyName{newKey}},
	} {
		for _, key := range []mutation.KeyName{oldKey, newKey, stranger} {
			t.Run(tt.phase+"/"+key.ID, func(t *testing.T) {
				w := populated(t)
				if tt.phase == "retired" {
					w.atPhase(mutation.RollSwitched)
					w.must(w.system(mutation.SysRewrap, w.rewrap(store.KeysetPath("acme"), store.KeysetPath(store.GlobalOwner), ClusterPath)))
					w.must(w.rekeyStep(mutation.RekeyRetire, "r1", oldKey))
				} else {
					w.atPhase(tt.phase)
				}
				good := false
				for _, g := range tt.good {
					good = good || g == key
				}
				before := w.image()
				res := w.do(w.rotate(store.GlobalOwner, keyUnder(9, store.KeyActive, key), keyUnder(10, store.KeyNext, key)))
				if (res.Refusal == nil) != good || res.Refusal != nil && !res.Stale {
					t.Errorf("a keyset: %v (stale %v), want it accepted: %v", res.Refusal, res.Stale, good)
				}
				w.tx = before.Begin()
				ks, err := store.Stored[store.Keyset](before.Get(store.KeysetPath(store.GlobalOwner)))
				w.fatal(err)
				s := sealedUnderKey(300, key)
				ks.Keys[0].PrivateKey = &s
				w.must(w.system(mutation.SysStageBegin, mutation.StageBegin{Stage: "st1"}))
				res = w.do(w.system(mutation.SysStagePut, put("st1", mutation.StageDoc{Path: store.KeysetPath(store.GlobalOwner), Bytes: store.Encode(ks)})))
				if (res.Refusal == nil) != good || res.Refusal != nil && (res.Refusal.Code != store.CodeConflict || !strings.Contains(res.Refusal.Message, key.ID)) {
					t.Errorf("staged: %v, want it accepted: %v", res.Refusal, good)
				}
			})
		}
	}
}

// TestARollOverIsRemembered: who asks again for one that is over gets its end,
// and a key that was the cluster's is known, at most MaxPastKeys of them.
func TestARollOverIsRemembered(t *testing.T) {
	w := populated(t)
	w.sealWorld()
	now := oldKey
	const rolls = mutation.MaxPastKeys + 6
	for i := range rolls {
		next := mutation.KeyName{ID: fmt.Sprintf("key-%d", i), Check: fmt.Sprintf("check-%d", i)}
		roll := fmt.Sprintf("roll-%d", i)
		w.must(w.rekeyStep(mutation.RekeyBegin, roll, next))
		w.must(w.rekeyStep(mutation.RekeySwitch, roll, next))
		r := w.rewrap(store.KeysetPath("acme"), store.KeysetPath(store.GlobalOwner), ClusterPath)
		r.Roll = roll
		for d := range r.Docs {
			for v := range r.Docs[d].Values {
				r.Docs[d].Values[v].Now = sealedUnderKey(1000*i+100*d+v, next)
			}
		}
		w.must(w.system(mutation.SysRewrap, r))
		w.must(w.rekeyStep(mutation.RekeyRetire, roll, now))
		now = next
	}
	var state mutation.Rollover
	w.tx.System(RekeyPath, &state)
	if len(state.Past) != mutation.MaxPastKeys || state.Phase != "" {
		t.Fatalf("%d keys are remembered, phase %q", len(state.Past), state.Phase)
	}
	past, ok := state.Done(fmt.Sprintf("roll-%d", rolls-1))
	if !ok || past.By != now.ID || past.Values != 5 || past.ID != fmt.Sprintf("key-%d", rolls-2) {
		t.Errorf("the last one is remembered as %+v, %v", past, ok)
	}
	if state.Knows(oldKey.Check) || !state.Knows(fmt.Sprintf("check-%d", rolls-2)) || state.Knows(now.Check) {
		t.Error("the first key is remembered, or the last old one is not, or the one that seals counts as past")
	}
}

package applier

import (
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// turned is the populated keyset of acme after a rotation at the world's next
// second: the active key retires, the next one is active.
func turned(w *world) []store.Key {
	now := w.now + second
	old := signingKey(1, store.KeyRetiring)
	old.RetiringAt, old.VerifyUntil = now, now+25*hour
	active := signingKey(2, store.KeyActive)
	active.ActivatedAt = now
	return []store.Key{active, signingKey(5, store.KeyNext), old, signingKey(3, store.KeyRetiring), signingKey(4, store.KeyRevoked)}
}

func keys(ks ...store.Key) func(w *world) []mutation.Mutation {
	return func(w *world) []mutation.Mutation { return one(w.rotate("acme", ks...)) }
}

func TestKeyRotate(t *testing.T) {
	active, next, retiring, revoked := signingKey(1, store.KeyActive), signingKey(2, store.KeyNext), signingKey(3, store.KeyRetiring), signingKey(4, store.KeyRevoked)
	check(t, []rule{
		{"makes the first keyset of a tenant", func(w *world) []mutation.Mutation {
			return one(w.rotate("globex", signingKey(20, store.KeyActive), signingKey(21, store.KeyNext)))
		}, "", "", keysAt("globex"), "keyset/globex"},
		{"rotates the platform's own keys", func(w *world) []mutation.Mutation {
			return one(w.rotate("global", signingKey(9, store.KeyRetiring), signingKey(22, store.KeyActive)))
		}, "", "", keysAt("global"), "keyset/global"},
		{"takes the next keyset", func(w *world) []mutation.Mutation { return one(w.rotate("acme", turned(w)...)) }, "", "", keysAt("acme"), "keyset/acme"},
		{"promotes the next key when the active one is revoked", keys(signingKey(2, store.KeyActive), signingKey(5, store.KeyNext), retiring, revoked, signingKey(1, store.KeyRevoked)),
			"", "", keysAt("acme"), ""},
		{"drops a next key, which never signed", keys(active, retiring, revoked), "", "", keysAt("acme"), ""},
		{"drops a revoked key beyond the last", keys(active, next, retiring), "", "", store.KeysetPath("acme"), ""},
		{"drops a retiring key when its time is over", func(w *world) []mutation.Mutation {
			w.now = begin + hour - second // the command is at its end
			return one(w.rotate("acme", active, next, revoked))
		}, "", "", keysAt("acme"), ""},
		{"refuses to drop a retiring key a moment before", func(w *world) []mutation.Mutation {
			w.now = begin + hour - second - 1
			return one(w.rotate("acme", active, next, revoked))
		}, store.CodeRefused, retiring.KID + ` of "acme" is retiring and cannot be dropped`, "", ""},
		{"refuses to drop the active key", keys(signingKey(2, store.KeyActive), retiring, revoked), store.CodeRefused, active.KID + ` of "acme" is active and cannot be dropped`, "", ""},
		{"refuses that an active key is next again", keys(signingKey(1, store.KeyNext), signingKey(2, store.KeyActive), retiring, revoked),
			store.CodeRefused, "is active and cannot become next again", "", ""},
		{"refuses that a retiring key signs again", keys(signingKey(3, store.KeyActive), next, signingKey(1, store.KeyRetiring), revoked),
			store.CodeRefused, "is retiring and cannot become active again", "", ""},
		{"refuses that a revoked key is published again", keys(active, next, retiring, signingKey(4, store.KeyRetiring)),
			store.CodeRefused, "is revoked and cannot become retiring again", "", ""},
		{"refuses two active keys", keys(active, signingKey(2, store.KeyActive), retiring, revoked), store.CodeInvalid, "keys: has 2 active keys", "", ""},
		{"refuses no active key", keys(next, retiring, signingKey(1, store.KeyRetiring), revoked), store.CodeInvalid, "keys: has 0 active keys", "", ""},
		{"refuses more live keys than there may be", func(w *world) []mutation.Mutation {
			all := []store.Key{active, next, retiring, revoked}
			for n := range 62 {
				all = append(all, signingKey(100+n, store.KeyRetiring))
			}
			return one(w.rotate("acme", all...))
		}, store.CodeRefused, "would have 65 live keys; at most 64", "", ""},
		{"refuses a tenant that is not there", func(w *world) []mutation.Mutation { return one(w.rotate("nobody", signingKey(30, store.KeyActive))) },
			store.CodeNotFound, `tenant "nobody" not found`, "", ""},
		{"refuses an empty slug", func(w *world) []mutation.Mutation { return one(w.rotate("", signingKey(30, store.KeyActive))) },
			store.CodeInvalid, "slug is empty", "", ""},
		{"refuses the keyset of another tenant", func(w *world) []mutation.Mutation {
			m := w.rotate("globex", active, next, retiring, revoked)
			m.Tenant, m.Base = "acme", w.base(store.KeysetPath("acme"))
			return one(m)
		}, store.CodeInternal, "is of another tenant", "", ""},
		{"is stale after another rotation", func(w *world) []mutation.Mutation {
			m := w.rotate("acme", turned(w)...)
			w.must(m)
			return one(m)
		}, stale, "", "", ""},
		{"is stale where it took itself for the first", func(w *world) []mutation.Mutation {
			return one(with(w.rotate("acme", signingKey(40, store.KeyActive)), 0, 0))
		}, stale, "", "", ""},
		{"is stale when its keyset is gone", func(w *world) []mutation.Mutation {
			m := w.rotate("acme", turned(w)...)
			w.must(w.delete(mutation.TenantDelete, "acme", "", 0))
			w.must(w.createTenant("acme", `{}`)...)
			return one(m)
		}, stale, "", "", ""},
		{"is a conflict when the caller named the revision", func(w *world) []mutation.Mutation {
			return one(with(w.rotate("acme", turned(w)...), mutation.Expected, 1))
		}, store.CodeConflict, "keyset/acme has changed", "", ""},
	})
}

// TestASecondRotationKeepsTheKeysOfTheFirst: all that may still verify a token
// stays published until its own time is over.
func TestASecondRotationKeepsTheKeysOfTheFirst(t *testing.T) {
	w := populated(t)
	w.must(w.rotate("acme", turned(w)...))
	again := turned(w)
	now := w.now + second
	retired := signingKey(2, store.KeyRetiring)
	retired.RetiringAt, retired.VerifyUntil = now, now+25*hour
	third := signingKey(5, store.KeyActive)
	third.ActivatedAt = now
	w.must(w.rotate("acme", third, signingKey(6, store.KeyNext), retired, again[2], again[3], again[4]))
	jwks := string(w.tx.Get(store.JWKSPath("acme")).Bytes)
	for n, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 0, 5: 1, 6: 1} {
		if got := strings.Count(jwks, signingKey(n, store.KeyActive).KID); got != want {
			t.Errorf("key %d is %d times in the published set, want %d", n, got, want)
		}
	}
	if slug, at, ok := w.tx.NextExpiry(); slug != "acme" || at != begin+hour || !ok {
		t.Errorf("the next end is that of %q at %s, want acme at %s", slug, at, begin+hour)
	}
}

// TestAKeyWithoutGraceIsGoneAtOnce: an end that is now is an end, not "none".
func TestAKeyWithoutGraceIsGoneAtOnce(t *testing.T) {
	w := populated(t)
	ks := turned(w)
	ks[2].VerifyUntil = w.now + second // of the command itself
	w.must(w.rotate("acme", ks...))
	if slug, at, _ := w.tx.NextExpiry(); slug != "acme" || at != ks[2].VerifyUntil {
		t.Errorf("the next end is that of %q at %s, want acme at %s", slug, at, ks[2].VerifyUntil)
	}
	w.must(w.rotate("acme", ks[0], ks[1], ks[3], ks[4]))
	if jwks := string(w.tx.Get(store.JWKSPath("acme")).Bytes); strings.Contains(jwks, ks[2].KID) {
		t.Errorf("the key without grace is still published: %s", jwks)
	}
	never := ks[2]
	never.KID, never.PublicJWK, never.VerifyUntil = signingKey(50, store.KeyActive).KID, signingKey(50, store.KeyActive).PublicJWK, 0
	if res := w.do(w.rotate("acme", ks[0], ks[1], never, ks[3], ks[4])); res.Refusal == nil || res.Refusal.Code != store.CodeInvalid {
		t.Errorf("a retiring key without an end: %v, want it refused", res.Refusal)
	}
}

package applier

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

const (
	cluster = "0198f0c2-6a1e-7c3b-9a55-0d1f5b7d2f10"
	begin   = store.Time(1_767_607_200_000_000) // 2026-01-05T10:00:00Z
	second  = store.Time(1_000_000)
	minute  = 60 * second
	hour    = 60 * minute
	actor   = "operator/ana"
)

// world is a state and the commands that a leader would make for it.
type world struct {
	t     testing.TB
	tx    *store.Tx
	index uint64
	now   store.Time
	asked int // requests so far, for their ids
}

func newWorld(t testing.TB) *world { return &world{t: t, tx: store.NewImage().Begin(), now: begin} }

// command wraps mutations as one request, a second after the last.
func (w *world) command(ms ...mutation.Mutation) *mutation.Command {
	w.asked++
	w.now += second
	c := &mutation.Command{ID: fmt.Sprintf("req-%d", w.asked), Op: "test", Actor: actor, Time: w.now, Level: mutation.Level, Mutations: ms}
	if len(ms) > 0 {
		c.Op = string(ms[0].Kind)
	}
	c.Digest = sha256.Sum256([]byte(c.ID))
	return c
}

// apply applies a command as the next entry of the log.
func (w *world) apply(c *mutation.Command) Result {
	w.index++
	return Apply(w.tx, w.index, c)
}

func (w *world) do(ms ...mutation.Mutation) Result { return w.apply(w.command(ms...)) }

// must applies mutations that the rules accept.
func (w *world) must(ms ...mutation.Mutation) Result {
	w.t.Helper()
	res := w.do(ms...)
	if res.Refusal != nil {
		w.t.Fatalf("%s: refused: %v", ms[0].Ref(), res.Refusal)
	}
	return res
}

// image freezes the state.
func (w *world) image() *store.Image {
	img, _ := w.tx.Freeze(w.index, 1)
	return img
}

// restart goes on from what an archive of the state holds.
func (w *world) restart() {
	w.t.Helper()
	img := w.image()
	var b bytes.Buffer
	if err := snapshot.Write(&b, img, cluster); err != nil {
		w.t.Fatal(err)
	}
	c, err := snapshot.Read(&b, snapshot.Limits{})
	if err != nil {
		w.t.Fatalf("the archive of the state at index %d: %v", w.index, err)
	}
	if got, want := c.Image.StateDigest(), img.StateDigest(); got != want {
		w.t.Fatalf("read from its archive, the state has the digest %s, want %s", got, want)
	}
	w.tx = c.Image.Begin()
}

func (w *world) meta(kind, name string) (string, store.Meta) {
	h := sha256.Sum256([]byte(kind + "/" + name + fmt.Sprint(w.asked)))
	uid := fmt.Sprintf("0198f0c2-6a1e-7%03x-9%03x-%012x", uint16(h[0])<<4, uint16(h[1])<<4, h[2:8])
	return uid, store.Meta{CreatedAt: w.now + second, UpdatedAt: w.now + second, UpdatedBy: actor}
}

// base is the revision of a document, 0 if there is none.
func (w *world) base(path string) uint64 {
	if d := w.tx.Get(path); d != nil {
		return d.Revision
	}
	return 0
}

func (w *world) fatal(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// createTenant makes the mutations of tenant.create: the tenant and its system
// scopes.
func (w *world) createTenant(slug, patch string) []mutation.Mutation {
	w.t.Helper()
	set := []store.Element{{Path: "slug", Value: fmt.Appendf(nil, "%q", slug)}}
	whole, err := store.Amend(nil, []byte(patch), set, nil, nil)
	w.fatal(err)
	v, err := store.CompleteTenant(nil, whole)
	w.fatal(err)
	v.UID, v.Meta = w.meta("tenant", slug)
	ms := []mutation.Mutation{{Kind: mutation.TenantCreate, Tenant: slug, Payload: store.Encode(v)}}
	for _, s := range store.SystemScopes(slug) {
		s.UID, s.Meta = w.meta("scope", slug+"/"+s.Name)
		ms = append(ms, mutation.Mutation{Kind: mutation.ScopeCreate, Tenant: slug, Name: s.Name, Payload: store.Encode(s)})
	}
	return ms
}

func (w *world) updateTenant(slug, patch string) mutation.Mutation {
	w.t.Helper()
	d := w.tx.Get(store.TenantPath(slug))
	old, err := store.Stored[store.Tenant](d)
	w.fatal(err)
	v, err := store.CompleteTenant(old, []byte(patch))
	w.fatal(err)
	w.next(&v.Meta)
	return mutation.Mutation{Kind: mutation.TenantUpdate, Tenant: slug, Base: d.Revision, Payload: store.Encode(v)}
}

// next makes the meta of a document that is changed.
func (w *world) next(m *store.Meta) {
	m.CreateRevision, m.Revision, m.UpdatedAt, m.UpdatedBy = 0, 0, w.now+second, actor
}

func (w *world) createClient(slug, id, patch string) mutation.Mutation {
	w.t.Helper()
	v, err := store.CompleteClient(nil, slug, id, []byte(patch))
	w.fatal(err)
	v.UID, v.Meta = w.meta("client", slug+"/"+id)
	return mutation.Mutation{Kind: mutation.ClientCreate, Tenant: slug, Name: id, Payload: store.Encode(v)}
}

func (w *world) updateClient(slug, id, patch string) mutation.Mutation {
	w.t.Helper()
	d := w.tx.Get(store.ClientPath(slug, id))
	old, err := store.Stored[store.Client](d)
	w.fatal(err)
	v, err := store.CompleteClient(old, slug, id, []byte(patch))
	w.fatal(err)
	w.next(&v.Meta)
	return mutation.Mutation{Kind: mutation.ClientUpdate, Tenant: slug, Name: id, Base: d.Revision, Payload: store.Encode(v)}
}

func (w *world) createScope(slug, name, patch string) mutation.Mutation {
	w.t.Helper()
	v, err := store.CompleteScope(nil, slug, name, []byte(patch))
	w.fatal(err)
	v.UID, v.Meta = w.meta("scope", slug+"/"+name)
	return mutation.Mutation{Kind: mutation.ScopeCreate, Tenant: slug, Name: name, Payload: store.Encode(v)}
}

func (w *world) replaceScope(slug, name, patch string) mutation.Mutation {
	w.t.Helper()
	d := w.tx.Get(store.ScopePath(slug, name))
	old, err := store.Stored[store.Scope](d)
	w.fatal(err)
	v, err := store.CompleteScope(old, slug, name, []byte(patch))
	w.fatal(err)
	w.next(&v.Meta)
	return mutation.Mutation{Kind: mutation.ScopeCreate, Tenant: slug, Name: name, Base: d.Revision, Flags: mutation.Replace, Payload: store.Encode(v)}
}

// delete makes a deletion, computed from the document as it is.
func (w *world) delete(kind mutation.Kind, slug, name string, flags mutation.Flags) mutation.Mutation {
	m := mutation.Mutation{Kind: kind, Tenant: slug, Name: name, Flags: flags}
	m.Base = w.base(m.Ref().Path())
	return m
}

// rotate makes a keyset the next one of its owner.
func (w *world) rotate(slug string, keys ...store.Key) mutation.Mutation {
	ks := &store.Keyset{FormatVersion: store.FormatVersion, Kind: "keyset", Tenant: slug, Keys: keys}
	_, ks.Meta = w.meta("keyset", slug)
	return mutation.Mutation{Kind: mutation.KeyRotate, Tenant: slug, Base: w.base(store.KeysetPath(slug)), Payload: store.Encode(ks)}
}

// signingKey is the n-th key of all tests in one of its states. Retiring keys
// are good until an hour after the beginning.
func signingKey(n int, state string) store.Key {
	seed := sha256.Sum256(fmt.Appendf(nil, "key %d", n))
	x := base64.RawURLEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
	kid, err := store.Thumbprint(fmt.Appendf(nil, `{"kty":"OKP","crv":"Ed25519","x":%q}`, x))
	if err != nil {
		panic(err) // the JWK is well formed
	}
	k := store.Key{
		KID: kid, Alg: "EdDSA", State: state, CreatedAt: begin, PublishedAt: begin,
		PublicJWK: json.RawMessage(fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q,"kid":%q,"use":"sig","alg":"EdDSA"}`, x, kid)),
	}
	if state != store.KeyNext {
		k.ActivatedAt = begin
	}
	switch state {
	case store.KeyNext, store.KeyActive:
		b64 := base64.RawURLEncoding.EncodeToString
		k.PrivateKey = &store.Sealed{Enc: "A256GCM", KeyID: "7f3a", Nonce: b64(make([]byte, 12)), Ciphertext: b64(seed[:])}
	case store.KeyRetiring:
		k.RetiringAt, k.VerifyUntil = begin, begin+hour
	case store.KeyRevoked:
		k.RevokedAt, k.RevokeReason = begin, "leaked"
	}
	return k
}

// system wraps a payload of the cluster's own.
func (w *world) system(kind mutation.Kind, v any) mutation.Mutation {
	w.t.Helper()
	b, err := json.Marshal(v)
	w.fatal(err)
	return mutation.Mutation{Kind: kind, Payload: b}
}

// populated is the state that most tables begin with: two tenants with clients
// and scopes of the same names, and keys in every state.
func populated(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.must(w.system(mutation.SysFound, mutation.Found{ClusterID: cluster, Generation: 1, Level: 1}))
	w.must(w.createTenant("acme", `{"issuer":"https://id.example/acme"}`)...)
	w.must(w.createTenant("globex", `{"issuer":"https://id.example/globex"}`)...)
	for _, slug := range []string{"acme", "globex"} {
		w.must(w.createScope(slug, "orders:read", `{}`))
		w.must(w.createScope(slug, "orders:write", `{"depends_on":["orders:read","openid"]}`))
		w.must(w.createClient(slug, "web", `{"redirect_uris":["https://app.example/cb"],"scopes":["openid","orders:read"],"id_token_ttl":"30m","refresh_token_ttl":"24h"}`))
		w.must(w.createClient(slug, "api", `{"grant_types":["client_credentials"],"scopes":["orders:write"],"access_token_ttl":"10m"}`))
	}
	w.must(w.rotate("acme", signingKey(1, store.KeyActive), signingKey(2, store.KeyNext), signingKey(3, store.KeyRetiring), signingKey(4, store.KeyRevoked)))
	w.must(w.rotate("global", signingKey(9, store.KeyActive)))
	return w
}

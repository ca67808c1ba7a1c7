package snapshot

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

const (
	testCluster = "0198f0c2-6a1e-7c3b-9a55-0d1f5b7d2f10"
	testTime    = store.Time(1_764_000_000_000_000) // 2025-11-24
)

// doc is one document of a test state.
type doc struct {
	path  string
	bytes []byte
}

func meta(revision uint64) store.Meta {
	return store.Meta{CreateRevision: 1, Revision: revision, CreatedAt: testTime, UpdatedAt: testTime, UpdatedBy: "operator/ana"}
}

// uid is a UUIDv7 that follows from a name.
func uid(name string) string {
	h := sha256.Sum256([]byte(name))
	return fmt.Sprintf("0198f0c2-6a1e-7%03x-9%03x-%012x", uint16(h[0])<<4, uint16(h[1])<<4, h[2:8])
}

func tenantDoc(t testing.TB, slug, patch string, revision uint64) doc {
	t.Helper()
	v, err := store.CompleteTenant(nil, []byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	v.UID, v.Meta = uid("tenant/"+slug), meta(revision)
	return doc{store.TenantPath(slug), store.Encode(v)}
}

func clientDoc(t testing.TB, slug, id, patch string, revision uint64) doc {
	t.Helper()
	v, err := store.CompleteClient(nil, slug, id, []byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	v.UID, v.Meta = uid("client/"+slug+"/"+id), meta(revision)
	return doc{store.ClientPath(slug, id), store.Encode(v)}
}

func scopeDoc(t testing.TB, slug, name, patch string, revision uint64) doc {
	t.Helper()
	v, err := store.CompleteScope(nil, slug, name, []byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	v.UID, v.Meta = uid("scope/"+slug+"/"+name), meta(revision)
	return doc{store.ScopePath(slug, name), store.Encode(v)}
}

func sealed(keyID string) *store.Sealed {
	enc := base64.RawURLEncoding
	return &store.Sealed{Enc: "A256GCM", KeyID: keyID, Nonce: enc.EncodeToString(make([]byte, 12)), Ciphertext: enc.EncodeToString(make([]byte, 64))}
}

// keysetDocs are a keyset with one active key, and its published set.
func keysetDocs(t testing.TB, slug, keyID string, revision uint64) []doc {
	t.Helper()
	seed := sha256.Sum256([]byte(slug))
	x := base64.RawURLEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
	kid, err := store.Thumbprint([]byte(fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, x)))
	if err != nil {
		t.Fatal(err)
	}
	ks := &store.Keyset{FormatVersion: store.FormatVersion, Kind: "keyset", Tenant: slug, Meta: meta(revision), Keys: []store.Key{{
		KID: kid, Alg: "EdDSA", State: store.KeyActive,
		PublicJWK:  json.RawMessage(fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q,"kid":%q,"use":"sig","alg":"EdDSA"}`, x, kid)),
		PrivateKey: sealed(keyID), CreatedAt: testTime, PublishedAt: testTime, ActivatedAt: testTime,
	}}}
	return []doc{{store.JWKSPath(slug), store.JWKSOf(ks)}, {store.KeysetPath(slug), store.Encode(ks)}}
}

// sampleDocs are documents of every kind, with names that need escapes, a PAX
// record and sealed values of two cluster keys.
func sampleDocs(t testing.TB) []doc {
	t.Helper()
	long := "orders:" + string(bytes.Repeat([]byte("W"), 70))
	docs := []doc{
		tenantDoc(t, "acme", `{"slug":"acme","issuer":"https://id.example.com/t/acme","settings":{"mail":{"enc":"A256GCM","key_id":"not-ours","nonce":"a","ciphertext":"b"}}}`, 7),
		tenantDoc(t, "globex", `{"slug":"globex"}`, 2),
		scopeDoc(t, "acme", "openid", `{}`, 3),
		scopeDoc(t, "acme", "orders:read", `{"depends_on":["openid"]}`, 4),
		scopeDoc(t, "acme", long, `{}`, 5),
		clientDoc(t, "acme", "web", `{"redirect_uris":["https://app.acme.example/cb"],"scopes":["openid","orders:read"]}`, 6),
		clientDoc(t, "acme", "Web", `{"grant_types":["client_credentials"],"response_types":[],"scopes":[]}`, 6),
	}
	docs = append(docs, keysetDocs(t, "acme", "key-b", 5)...)
	return append(docs, keysetDocs(t, "global", "key-a", 5)...)
}

// build makes a state of documents, with one document below system/.
func build(t testing.TB, docs ...doc) *store.Tx {
	t.Helper()
	tx := store.NewImage().Begin()
	for _, d := range docs {
		if err := tx.Load(d.path, d.bytes); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.PutSystem("system/cluster.json", map[string]any{"ca_key": sealed("key-c"), "html": "<&>"}); err != nil {
		t.Fatal(err)
	}
	tx.SetCounters(store.Counters{Revision: 9, Time: testTime, Level: 1})
	return tx
}

// remember adds n request records.
func remember(tx *store.Tx, n int) {
	for i := range n {
		tx.Remember(store.Record{
			ID: fmt.Sprintf("req-%06d", i), Digest: sha256.Sum256([]byte{byte(i), byte(i >> 8)}), Time: testTime + store.Time(i),
			Op: "client.create", Index: uint64(i), Revision: 1, Names: []string{"client/acme/web"},
		})
	}
}

// sample is a state of every kind of member, with an open stage.
func sample(t testing.TB) *store.Image {
	t.Helper()
	tx := build(t, sampleDocs(t)...)
	remember(tx, 3)
	tx.Remember(store.Record{ID: "refused", Time: testTime + 10, Op: "tenant.create", Refusal: store.Errorf(store.CodeExists, "tenant %q already exists", "acme")})
	if err := tx.BeginStage(store.Stage{ID: "st1", Actor: "operator/ana", Since: testTime}); err != nil {
		t.Fatal(err)
	}
	later := tenantDoc(t, "initech", `{"slug":"initech"}`, 400)
	for _, d := range []doc{later, {store.TenantPath("globex"), nil}, {store.ClientPath("acme", "web"), nil}} {
		if err := tx.PutStaged(d.path, d.bytes); err != nil {
			t.Fatal(err)
		}
	}
	img, _ := tx.Freeze(9800, 4)
	return img
}

// small is a state whose archive is short, for loops over its bytes.
func small(t testing.TB) *store.Image {
	t.Helper()
	tx := build(t, tenantDoc(t, "acme", `{"slug":"acme"}`, 7))
	remember(tx, 1)
	img, _ := tx.Freeze(12, 2)
	return img
}

func pack(t testing.TB, img *store.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, img, testCluster); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(t testing.TB, b []byte) *Contents {
	t.Helper()
	c, err := Read(bytes.NewReader(b), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func shuffled(docs []doc, seed uint64) []doc {
	docs = append([]doc(nil), docs...)
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	return docs
}

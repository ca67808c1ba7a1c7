package reader_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/reader"
	"github.com/cpctl/cpctl/pkg/store"
)

const (
	cluster  = "6f1c2a52-0d0b-4f3e-9a55-3b9f2f6a1c01"
	patience = 30 * time.Second
)

// world is a state that a test changes and publishes with the node's publisher.
type world struct {
	t     testing.TB
	dir   string
	tx    *store.Tx
	index uint64
	files *publish.Publisher
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "cpctl-reader")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, tx: store.NewImage().Begin()}
	t.Cleanup(func() {
		if w.files != nil {
			w.files.Close()
		}
		os.RemoveAll(dir)
	})
	return w
}

func (w *world) data(path string) string { return filepath.Join(w.dir, "data", path) }

func (w *world) fatal(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// start starts the publisher on the state as it is. Boot "": the machine's.
func (w *world) start(boot string) {
	w.t.Helper()
	var err error
	w.files, err = publish.Open(publish.Config{Dir: w.dir, ClusterID: cluster, Group: -1, BootID: boot})
	w.fatal(err)
	img, _ := w.image()
	w.files.Start(img)
	w.wait(img.Index)
}

func (w *world) stop() { w.fatal(w.files.Close()) }

func (w *world) image() (*store.Image, []string) {
	w.index++
	w.tx.Advance()
	return w.tx.Freeze(w.index, 1)
}

func (w *world) wait(index uint64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.fatal(w.files.Wait(ctx, index))
}

// publish shows the state file by file, replace with one swap of data/.
func (w *world) publish() {
	w.t.Helper()
	img, changed := w.image()
	w.files.Publish(img, changed)
	w.wait(img.Index)
}

func (w *world) replace() {
	w.t.Helper()
	img, _ := w.image()
	w.files.Replace(img)
	w.wait(img.Index)
}

func (w *world) reader() *reader.Reader {
	w.t.Helper()
	r, err := reader.Open(w.dir)
	w.fatal(err)
	r.Interval = 5 * time.Millisecond
	return r
}

// The documents are those of the node, in its canonical form.

func (w *world) load(path string, doc any) {
	w.t.Helper()
	w.fatal(w.tx.Load(path, store.Encode(doc)))
}

func (w *world) tenant(slug string, revision uint64) {
	w.load(store.TenantPath(slug), &store.Tenant{FormatVersion: "1.0", Kind: "tenant", Slug: slug, UID: "u-" + slug, State: "active",
		Issuer: "https://" + slug + ".example", TokenPolicy: store.TokenPolicy{AccessTokenTTL: store.Duration(15 * time.Minute)},
		KeyPolicy: store.KeyPolicy{Alg: "EdDSA", JWKSMaxAge: store.Duration(time.Hour)}, Meta: store.Meta{CreateRevision: 1, Revision: revision}})
}

func (w *world) client(slug, id string, revision uint64, change ...func(*store.Client)) {
	c := &store.Client{FormatVersion: "1.0", Kind: "client", Tenant: slug, ClientID: id, Enabled: true, ApplicationType: "web",
		RedirectURIs: []string{"https://" + slug + ".example/cb"}, Scopes: []string{"openid"},
		TokenEndpointAuthMethod: "client_secret_basic", Meta: store.Meta{CreateRevision: 1, Revision: revision}}
	for _, ch := range change {
		ch(c)
	}
	w.load(store.ClientPath(slug, id), c)
}

func (w *world) scope(slug, name string, revision uint64) {
	w.load(store.ScopePath(slug, name), &store.Scope{FormatVersion: "1.0", Kind: "scope", Tenant: slug, Name: name,
		Claims: []string{"tier"}, Consent: "required", Meta: store.Meta{CreateRevision: 1, Revision: revision}})
}

// keys gives a tenant one key of which both files speak.
func (w *world) keys(slug, kid string, revision uint64) {
	public := json.RawMessage(`{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"` + kid + `"}`)
	w.load(store.KeysetPath(slug), &store.Keyset{FormatVersion: "1.0", Kind: "keyset", Tenant: slug,
		Keys: []store.Key{{KID: kid, Alg: "EdDSA", State: "active", PublicJWK: public, CreatedAt: store.Time(revision),
			PrivateKey: &store.Sealed{Enc: "A256GCM", KeyID: "k", Nonce: "n", Ciphertext: "SEALED"}}},
		Meta: store.Meta{CreateRevision: 1, Revision: revision}})
	w.load(store.JWKSPath(slug), &store.JWKS{Keys: []json.RawMessage{public}})
}

// acme is a tenant with everything that a tenant can have.
func (w *world) acme() {
	w.tenant("acme", 1)
	w.client("acme", "web", 1)
	w.client("acme", "Legacy~1", 1)
	w.scope("acme", "orders:read", 1)
	w.scope("acme", ".hidden/A", 1)
	w.keys("acme", "k1", 1)
}

package reader_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/reader"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestWhatIsPublishedIsRead(t *testing.T) {
	w := newWorld(t)
	w.acme()
	secret := pki.HashSecret("cps_secret", [16]byte{7})
	w.client("acme", "batch", 5, func(c *store.Client) {
		c.AccessTokenTTL = store.Duration(90 * time.Second)
		c.Secrets = []store.Secret{{ID: "s1", State: "active", Hash: secret}}
		c.Settings = map[string]json.RawMessage{"theme": json.RawMessage(`"dark"`)}
	})
	w.tenant("empty", 2)
	w.keys("global", "g1", 1)
	w.start("")
	r := w.reader()

	tenant, err := r.Tenant("acme")
	w.fatal(err)
	if tenant.Issuer != "https://acme.example" || tenant.TokenPolicy.AccessTokenTTL.Std() != 15*time.Minute || tenant.KeyPolicy.JWKSMaxAge.Std() != time.Hour || tenant.Revision != 1 {
		t.Errorf("the tenant is %+v", tenant)
	}
	c, err := r.Client("acme", "batch")
	w.fatal(err)
	if c.AccessTokenTTL.Std() != 90*time.Second || c.IDTokenTTL != 0 || string(c.Settings["theme"]) != `"dark"` || !slices.Equal(c.Scopes, []string{"openid"}) {
		t.Errorf("the client is %+v", c)
	}
	if file, err := os.ReadFile(w.data("tenants/acme/clients/batch.json")); err != nil || !bytes.Equal(c.Raw, file) {
		t.Errorf("the raw document is not the file: %v", err)
	}
	if !c.CheckSecret([]byte("cps_secret"), time.Now()) || c.CheckSecret([]byte("cps_other"), time.Now()) {
		t.Error("the secret is not told from another")
	}
	s, err := r.Scope("acme", ".hidden/A")
	w.fatal(err)
	if s.Name != ".hidden/A" || !slices.Equal(s.Claims, []string{"tier"}) || s.Consent != "required" {
		t.Errorf("the scope is %+v", s)
	}
	keys, err := r.Keys("acme")
	w.fatal(err)
	if len(keys) != 1 || keys[0].KID != "k1" || keys[0].State != "active" || bytes.Contains(keys[0].PublicJWK, []byte("SEALED")) {
		t.Errorf("the keys are %+v", keys)
	}
	for _, owner := range []string{"acme", "global"} {
		b, err := r.JWKS(owner)
		file, fileErr := os.ReadFile(w.data("keys/" + owner + "/jwks.json"))
		if err != nil || fileErr != nil || !bytes.Equal(b, file) {
			t.Errorf("the key set of %s is %q, %v; the file is %q, %v", owner, b, err, file, fileErr)
		}
	}
	for _, c := range []struct {
		what string
		get  func() ([]string, error)
		want string
	}{
		{"tenants", r.Tenants, "acme empty"},
		{"clients", func() ([]string, error) { return r.Clients("acme") }, "Legacy~1 batch web"},
		{"scopes", func() ([]string, error) { return r.Scopes("acme") }, ".hidden/A orders:read"},
		{"clients of a tenant without any", func() ([]string, error) { return r.Clients("empty") }, ""},
	} {
		if got, err := c.get(); err != nil || strings.Join(got, " ") != c.want || got == nil {
			t.Errorf("%s: %q, %v; want %q", c.what, got, err, c.want)
		}
	}
	m, err := r.Marker()
	w.fatal(err)
	if m.ClusterID != cluster || !m.Settled || m.Index != 1 || m.Revision != 1 || len(m.Digest) != 64 {
		t.Errorf("the marker is %+v", m)
	}
}

func TestWhatDoesNotExistIsNotFound(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.tenant("keyless", 1)
	w.start("")
	r := w.reader()
	for _, slug := range []string{"nobody", "", "..", "../data/tenants/acme", "acme/", "ACME", "acme/clients", strings.Repeat("a", 64)} {
		_, err1 := r.Tenant(slug)
		_, err2 := r.Client(slug, "web")
		_, err3 := r.Scope(slug, "openid")
		_, err4 := r.Keys(slug)
		_, err5 := r.JWKS(slug)
		_, err6 := r.Clients(slug)
		for i, err := range []error{err1, err2, err3, err4, err5, err6} {
			if !errors.Is(err, reader.ErrNotFound) {
				t.Errorf("%d of tenant %q: %v", i, slug, err)
			}
		}
	}
	for _, id := range []string{"nobody", "", ".", "..", "../scopes/orders%3Aread", "web.json", "WEB", "web\x00", strings.Repeat("a", 81)} {
		if _, err := r.Client("acme", id); !errors.Is(err, reader.ErrNotFound) {
			t.Errorf("client %q: %v", id, err)
		}
		if _, err := r.Scope("acme", id); !errors.Is(err, reader.ErrNotFound) {
			t.Errorf("scope %q: %v", id, err)
		}
	}
	if _, err := r.JWKS("keyless"); !errors.Is(err, reader.ErrNotFound) {
		t.Errorf("the keys of a tenant without any: %v", err)
	}
}

func TestNothingIsReadBeforeTheNodeHasVerifiedItsFiles(t *testing.T) {
	w := newWorld(t)
	r := w.reader()
	want := func(when string, ready bool) {
		t.Helper()
		_, err1 := r.Client("acme", "web")
		_, err2 := r.View(func(*reader.View) error { return nil })
		_, err3 := r.Marker()
		for i, err := range []error{err1, err2, err3} {
			if ready && err != nil || !ready && !errors.Is(err, reader.ErrNotReady) {
				t.Errorf("%s: %d says %v", when, i, err)
			}
		}
	}
	want("before the node was started", false)
	w.acme()
	w.start("the-boot-before")
	want("after a boot", false)
	w.stop()
	w.start("")
	want("when the node has verified them", true)
	w.stop()
	want("while the node is stopped", true)
	w.fatal(os.Remove(w.data(".applied")))
	want("without a marker", false)
	w.fatal(os.WriteFile(w.data(".applied"), []byte("{}"), 0o600))
	want("with a marker that is none", false)
}

func TestADirectoryThatIsNotTheNodesIsRefused(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	for path, says := range map[string]string{
		w.data(""):                         "the directory above",
		filepath.Join(w.dir, "nowhere"):    "no such file",
		w.data("tenants/acme/tenant.json"): "no directory",
	} {
		if _, err := reader.Open(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
}

// Whoever has been at the files is found out, and leads nobody elsewhere.
func TestWhatTheNodeDidNotWriteIsNotRead(t *testing.T) {
	const client = "tenants/acme/clients/web.json"
	link := func(path string) func(*world) {
		return func(w *world) { // to a copy beside it: what it leads to would be good
			w.fatal(os.Rename(w.data(path), w.dir+"/aside"))
			w.fatal(os.Symlink(w.dir+"/aside", w.data(path)))
		}
	}
	inside := func(w *world) {
		w.fatal(os.Rename(w.data(client), w.data("tenants/acme/clients/other.json")))
		w.fatal(os.Symlink("other.json", w.data(client)))
	}
	write := func(text string) func(*world) {
		return func(w *world) { w.fatal(os.WriteFile(w.data(client), []byte(text), 0o600)) }
	}
	for _, c := range []struct {
		fact string
		do   func(*world)
		want error
	}{
		{"a file is a link", link(client), reader.ErrDamaged},
		{"a file is a link inside of data/", inside, reader.ErrDamaged},
		{"a directory is a link", link("tenants/acme/clients"), reader.ErrDamaged},
		{"the first directory is a link", link("tenants"), reader.ErrDamaged},
		{"the marker is a link", link(".applied"), reader.ErrDamaged},
		{"data/ is a link", link(""), reader.ErrDamaged},
		{"a pipe that nobody writes to", func(w *world) {
			w.fatal(os.Remove(w.data(client)))
			w.fatal(syscall.Mkfifo(w.data(client), 0o600))
		}, reader.ErrDamaged},
		{"a directory in the place of a file", func(w *world) {
			w.fatal(os.Remove(w.data(client)))
			w.fatal(os.Mkdir(w.data(client), 0o700))
		}, reader.ErrDamaged},
		{"a file in the place of a directory", func(w *world) {
			w.fatal(os.RemoveAll(w.data("tenants/acme/clients")))
			w.fatal(os.WriteFile(w.data("tenants/acme/clients"), nil, 0o600))
		}, reader.ErrDamaged},
		{"more than any document has", write(`{"format_version":"1.0","kind":"client","tenant":"acme","client_id":"web","x":"` + strings.Repeat("x", 256<<10) + `"}`), reader.ErrDamaged},
		{"nothing", write(""), reader.ErrDamaged},
		{"half a document", write(`{"format_version":"1.0","kind":"client","ten`), reader.ErrDamaged},
		{"the document of another client", write(`{"format_version":"1.0","kind":"client","tenant":"acme","client_id":"api"}`), reader.ErrDamaged},
		{"a document of another kind", write(`{"format_version":"1.0","kind":"scope","tenant":"acme","client_id":"web"}`), reader.ErrDamaged},
		{"a field of another type", write(`{"format_version":"1.0","kind":"client","tenant":"acme","client_id":"web","scopes":"openid"}`), reader.ErrDamaged},
		{"a field that is new", write(`{"format_version":"1.7","kind":"client","tenant":"acme","client_id":"web","later":1}`), nil},
	} {
		t.Run(c.fact, func(t *testing.T) {
			w := newWorld(t)
			w.acme()
			w.start("")
			r := w.reader()
			_, err := r.Client("acme", "web")
			w.fatal(err)
			c.do(w)
			if _, err := r.Client("acme", "web"); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	t.Run("a format of the future", func(t *testing.T) {
		w := newWorld(t)
		w.acme()
		w.start("")
		write(`{"format_version":"2.0","kind":"client","tenant":"acme","client_id":"web"}`)(w)
		if _, err := w.reader().Client("acme", "web"); err == nil || errors.Is(err, reader.ErrDamaged) || !strings.Contains(err.Error(), `format version "2.0"`) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a key set that is none", func(t *testing.T) {
		w := newWorld(t)
		w.acme()
		w.start("")
		w.fatal(os.WriteFile(w.data("keys/acme/jwks.json"), []byte(`{"key":[]}`), 0o600))
		if _, err := w.reader().JWKS("acme"); !errors.Is(err, reader.ErrDamaged) {
			t.Errorf("%v", err)
		}
	})
	t.Run("names that are none", func(t *testing.T) {
		w := newWorld(t)
		w.acme()
		w.start("")
		for _, name := range []string{"WEB.json", "x", "%41.jsonx", "%4a.json", ".json", "a%2D.json"} {
			w.fatal(os.WriteFile(w.data("tenants/acme/clients/"+name), nil, 0o600))
		}
		if ids, err := w.reader().Clients("acme"); err != nil || strings.Join(ids, " ") != "Legacy~1 web" {
			t.Errorf("%q, %v", ids, err)
		}
	})
}

// The permissions of another user are tried on a thread that is thrown away.
func TestWhoMayNotReadIsToldOfTheGroup(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	r := w.reader()
	if os.Geteuid() != 0 {
		w.fatal(os.Chmod(w.data("tenants/acme"), 0))
		defer os.Chmod(w.data("tenants/acme"), 0o700)
	}
	said := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			os.Chmod(w.dir, 0o711)
			syscall.Setfsuid(65534) // this thread only; capabilities over files go with it
		}
		_, err := r.Client("acme", "web")
		said <- err
	}()
	err := <-said
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "--files-group") {
		t.Errorf("%v", err)
	}
}

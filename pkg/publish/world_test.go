package publish

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/faultdisk"
)

const (
	cluster = "6f1c2a52-0d0b-4f3e-9a55-3b9f2f6a1c01"
	thisRun = "boot-1"
)

// world is a state that a test changes and publishes.
type world struct {
	t     testing.TB
	tx    *store.Tx
	index uint64
	made  uint64 // create_revision of the next tenant
}

func newWorld(t testing.TB) *world { return &world{t: t, tx: store.NewImage().Begin()} }

// document is what a reader can tell torn or old from: n stands at both ends.
func document(slug string, made, n uint64) []byte {
	return fmt.Appendf(nil, `{"uid":"u%d","slug":%q,"create_revision":%d,"revision":%d,"display_name":%q,"end":%d}`+"\n",
		made, slug, made, n, strings.Repeat("x", int(200+n*37%900)), n)
}

func (w *world) load(path string, b []byte) {
	w.t.Helper()
	if err := w.tx.Load(path, b); err != nil {
		w.t.Fatalf("load %s: %v", path, err)
	}
}

func (w *world) set(path string, n uint64) { w.t.Helper(); w.load(path, document("x", 1, n)) }

// tenant makes a tenant with keys, some clients and a scope, all at n.
func (w *world) tenant(slug string, n uint64, clients ...string) {
	w.t.Helper()
	w.made++
	w.load(store.TenantPath(slug), document(slug, w.made, n))
	w.load(store.ScopePath(slug, "read:All"), document(slug, w.made, n))
	w.load(store.KeysetPath(slug), document(slug, w.made, n))
	w.load(store.JWKSPath(slug), document(slug, w.made, n))
	for _, c := range clients {
		w.load(store.ClientPath(slug, c), document(slug, w.made, n))
	}
}

// drop deletes a tenant with everything it has.
func (w *world) drop(slug string) {
	w.t.Helper()
	var refs []store.Ref
	for d := range w.tx.Scan("tenants/" + slug + "/") {
		ref, err := store.ParsePath(d.Path)
		if err != nil {
			w.t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	for _, ref := range refs {
		repo := map[string]store.Repository{
			"tenant": w.tx.Tenants(), "client": w.tx.Clients(slug), "scope": w.tx.Scopes(slug),
		}[ref.Kind]
		if err := repo.Delete(cmp.Or(ref.Name, slug)); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.tx.Keys(slug).Delete(slug); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) image() (*store.Image, []string) {
	w.index++
	img, changed := w.tx.Freeze(w.index, 1)
	if len(changed) == 0 && w.index > 1 { // a configuration entry
		return img, nil
	}
	c := w.tx.Counters()
	c.Revision++
	w.tx.SetCounters(c)
	img, _ = w.tx.Freeze(w.index, 1)
	return img, changed
}

// publish hands the state over and waits for its files.
func (w *world) publish(p *Publisher) *store.Image {
	w.t.Helper()
	img, changed := w.image()
	p.Publish(img, changed)
	wait(w.t, p, img.Index)
	return img
}

func wait(t testing.TB, p *Publisher, index uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Wait(ctx, index); err != nil {
		t.Fatalf("waiting for files of index %d: %v (status %+v)", index, err, p.Status())
	}
}

// until waits for a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never came true: %s", what)
		}
	}
}

// open opens a publisher that is closed at the end of the test.
func open(t testing.TB, dir string, change ...func(*Config)) *Publisher {
	t.Helper()
	cfg := Config{Dir: dir, ClusterID: cluster, Group: -1, BootID: thisRun}
	for _, c := range change {
		c(&cfg)
	}
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.backoff, p.patience = time.Millisecond, 10*time.Millisecond
	p.yard.respite = time.Millisecond // so that tests come by it
	t.Cleanup(func() { p.Close() })
	return p
}

// inMemory gives a test with thousands of files a file system in memory, if
// there is one: some disks are slow to create files after many were deleted.
func inMemory(t testing.TB) {
	if unix.Access("/dev/shm", unix.W_OK) == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
}

func boot(id string) func(*Config)       { return func(c *Config) { c.BootID = id } }
func logTo(h slog.Handler) func(*Config) { return func(c *Config) { c.Log = slog.New(h) } }
func via(s disk.FS) func(*Config)        { return func(c *Config) { c.Disk = s } }

// started is open and Start with the state as it is, verified.
func started(t testing.TB, dir string, w *world, change ...func(*Config)) *Publisher {
	t.Helper()
	p := open(t, dir, change...)
	img, _ := w.image()
	p.Start(img)
	wait(t, p, img.Index)
	return p
}

// files reads the documents below data/, by path; directories have no bytes.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	root := filepath.Join(dir, dataName)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		if err != nil || name == "." || name == appliedName {
			return err
		}
		if e.IsDir() {
			got[name+"/"] = ""
			return nil
		}
		b, err := os.ReadFile(path)
		got[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// want is what files returns for an image: a directory for each that holds a file.
func want(img *store.Image) map[string]string {
	m := map[string]string{}
	for _, top := range tops {
		for d := range img.Scan(top) {
			m[d.Path] = string(d.Bytes)
			for dir := filepath.Dir(d.Path); dir != "."; dir = filepath.Dir(dir) {
				m[dir+"/"] = ""
			}
		}
	}
	return m
}

// wantFiles compares data/ and its marker with an image, and finds no leftovers.
func wantFiles(t testing.TB, dir string, img *store.Image) {
	t.Helper()
	got, want := files(t, dir), want(img)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if b, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if b != want[name] {
			t.Errorf("%s = %.60q, want %.60q", name, b, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
	a, err := ReadApplied(filepath.Join(dir, dataName))
	if err != nil {
		t.Fatal(err)
	}
	if a.State != StateDone || a.Digest != img.DataDigest() || a.Revision != img.Revision() || a.Index < img.Index || a.ClusterID != cluster {
		t.Errorf(".applied = %+v, want done at index %d, revision %d, digest %s", a, img.Index, img.Revision(), img.DataDigest())
	}
}

// revision returns the n of a document, and whether the document is whole.
func revision(b []byte) (uint64, bool) {
	var d struct{ Revision, End uint64 }
	return d.Revision, json.Unmarshal(b, &d) == nil && d.Revision == d.End && b[len(b)-1] == '\n'
}

// auditor is a log in which nothing may be put right beside the work: what was
// called published was published.
type auditor struct {
	slog.Handler
	t testing.TB
}

func (a auditor) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "files were not as published" {
		r.Attrs(func(at slog.Attr) bool {
			a.t.Errorf("%s: %s", r.Message, at)
			return true
		})
	}
	return nil
}

func (a auditor) Enabled(context.Context, slog.Level) bool { return true }

// faulty is a disk on which a test decides before each call whether it fails.
// mu is held while it is asked.
type faulty struct {
	faultdisk.Disk
	mu sync.Mutex
}

func (f *faulty) set(before func(call, name string) error) {
	if before == nil {
		f.Set(nil)
		return
	}
	f.Set(func(call, name string) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		return before(call, name)
	})
}

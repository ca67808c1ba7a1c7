package publish

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// life is one way for the files to get from one state to the next.
type life struct {
	fact    string
	change  func(w *world)
	publish func(p *Publisher, img *store.Image, changed []string)
}

var lives = []life{
	{"documents that change", func(w *world) {
		w.set(store.ClientPath("acme", "web"), 2)
		w.set(store.KeysetPath("acme"), 2)
		w.tx.Clients("acme").Delete("cli")
	}, (*Publisher).Publish},
	{"a tenant that comes", func(w *world) { w.tenant("gamma", 1, "g") }, (*Publisher).Publish},
	{"a tenant that goes", func(w *world) { w.drop("acme") }, (*Publisher).Publish},
	{"a tenant that is made again", func(w *world) { w.drop("acme"); w.tenant("acme", 2, "new") }, (*Publisher).Publish},
	{"an installed snapshot", func(w *world) {
		w.drop("acme")
		w.tenant("gamma", 1, "g")
		w.set(store.ClientPath("beta", "x"), 2)
	}, func(p *Publisher, img *store.Image, _ []string) { p.Replace(img) }},
	{"an idle index", func(*world) {}, func(p *Publisher, img *store.Image, _ []string) { p.Idle(img.Index) }},
}

// A process that is killed at any step leaves whole files of the old or the new
// state, and the next one makes them those of the new state.
func TestAKillAtEveryStep(t *testing.T) {
	inMemory(t)
	for _, l := range lives {
		for n, killed := 0, true; killed; n++ {
			w := acme(t)
			dir, old := stopped(t, w)
			f := new(faulty)
			p := open(t, dir, via(f))
			p.yard.grace = 0 // deletion is part of it
			before, _ := w.image()
			p.Start(before)
			wait(t, p, before.Index)
			l.change(w)
			img, changed := w.image()
			was := f.KillAfter(n)
			l.publish(p, img, changed)
			until(t, "published or killed", func() bool {
				st := p.Status()
				return st.PublishedIndex == img.Index || st.Degraded
			})
			p.Close() // does nothing more once killed
			killed = was()

			wantMixture(t, dir, old, img)
			next := open(t, dir)
			next.Start(img)
			wait(t, next, img.Index)
			if faults, err := next.Check(img, false); err != nil || len(faults) > 0 {
				t.Errorf("%v, %v", faults, err)
			}
			wantFiles(t, dir, img)
			if err := next.Close(); err != nil {
				t.Error(err)
			}
			if left := names(t, dir); len(left) != 1 {
				t.Errorf("the directory holds %v, want only data", left)
			}
			if t.Failed() {
				t.Fatalf("%s, killed after step %d", l.fact, n)
			}
			if n > 500 {
				t.Fatalf("%s: does not end", l.fact)
			}
		}
	}
}

// wantMixture finds only whole documents of either state.
func wantMixture(t *testing.T, dir string, old, img *store.Image) {
	t.Helper()
	a, b := want(old), want(img)
	for name, got := range files(t, dir) {
		if strings.HasSuffix(name, "/") {
			continue // a directory may await its first file
		}
		if was, ok := a[name]; ok && got == was {
			continue
		}
		if is, ok := b[name]; ok && got == is {
			continue
		}
		t.Errorf("%s is of neither state: %.60q", name, got)
	}
	// A change that is done is done whole, and one that is not says so.
	if rec, err := ReadApplied(filepath.Join(dir, dataName)); err == nil && rec.State == StateDone {
		is := files(t, dir)
		switch rec.Digest {
		case img.DataDigest():
			wantFiles(t, dir, img)
		case old.DataDigest():
			for name, was := range a {
				if is[name] != was {
					t.Errorf(".applied says done at index %d, but %s has changed", rec.Index, name)
				}
			}
		}
	}
}

// The same, killed while the files are verified after a boot: until that is
// through, the marker bears no id of this boot.
func TestAKillDuringVerification(t *testing.T) {
	inMemory(t)
	for n, killed := 0, true; killed; n++ {
		w := acme(t)
		dir, _ := stopped(t, w)
		data := filepath.Join(dir, dataName)
		if err := errors.Join(os.WriteFile(data+"/tenants/acme/clients/web.json", nil, 0o600),
			os.Mkdir(data+"/tenants/mine", 0o700), os.Remove(data+"/keys/beta/jwks.json")); err != nil {
			t.Fatal(err)
		}
		w.drop("acme")
		img, _ := w.image()
		f := new(faulty)
		p := open(t, dir, via(f), boot("boot-2"))
		was := f.KillAfter(n)
		p.Start(img)
		until(t, "verified or killed", func() bool { st := p.Status(); return st.Ready || st.Degraded })
		ready := p.Status().Ready
		p.Close()
		killed = was()
		if rec, err := ReadApplied(data); !ready && err == nil && rec.BootID != thisRun {
			wantFiles(t, dir, img) // killed in the middle of writing it, behind its last byte
		}
		next := open(t, dir, boot("boot-2"))
		next.Start(img)
		wait(t, next, img.Index)
		wantFiles(t, dir, img)
		if t.Failed() {
			t.Fatalf("killed after step %d", n)
		}
		next.Close()
	}
}

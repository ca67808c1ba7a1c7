package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// reader polls files and remembers the newest state that it saw.
type reader struct {
	t    *testing.T
	dir  string
	seen map[string]uint64
}

func (r *reader) look(name string) {
	b, err := os.ReadFile(filepath.Join(r.dir, dataName, name))
	if errors.Is(err, fs.ErrNotExist) { // it went into a tree that was just swapped out: open again
		b, err = os.ReadFile(filepath.Join(r.dir, dataName, name))
	}
	if err != nil {
		if r.seen[name] > 0 {
			r.t.Errorf("%s was there at revision %d: %v", name, r.seen[name], err)
		}
		return
	}
	n, whole := revision(b)
	switch {
	case !whole:
		r.t.Errorf("%s is torn: %q", name, b)
	case n < r.seen[name]:
		r.t.Errorf("%s went back from revision %d to %d", name, r.seen[name], n)
	}
	r.seen[name] = n
}

// Invariant 4: files are whole and never step back.
func TestReadersSeeWholeDocumentsThatNeverStepBack(t *testing.T) {
	inMemory(t)
	dir := t.TempDir()
	w := newWorld(t)
	w.tenant("acme", 1, "web", "cli")
	p := started(t, dir, w)

	paths := []string{store.TenantPath("acme"), store.JWKSPath("acme"), store.KeysetPath("acme")}
	for _, c := range []string{"web", "cli"} {
		paths = append(paths, store.ClientPath("acme", c))
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			r := &reader{t: t, dir: dir, seen: map[string]uint64{}}
			for {
				select {
				case <-stop:
					return
				default:
					r.look(paths[rand.IntN(len(paths))])
				}
			}
		})
	}
	var img *store.Image
	var changed []string
	for n := uint64(2); n < 250; n++ {
		for _, name := range paths {
			w.load(name, document("acme", 1, n))
		}
		switch img, changed = w.image(); n % 40 {
		case 0: // an installed snapshot
			p.Replace(img)
		case 20: // a restart
			p.Publish(img, changed)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			p = open(t, dir)
			p.Start(img)
		default:
			p.Publish(img, changed)
		}
		if n%10 == 0 {
			wait(t, p, img.Index)
		}
	}
	wait(t, p, img.Index)
	close(stop)
	readers.Wait()
	wantFiles(t, dir, img)
}

// A tenant that comes back is another one: nobody sees it with the first one's clients.
func TestATenantThatComesBackHasNothingOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	w.tenant("acme", 1, "first")
	f := new(faulty)
	p := started(t, dir, w, via(f))
	tenant := filepath.Join(dir, dataName, store.TenantPath("acme"))
	first := filepath.Join(dir, dataName, store.ClientPath("acme", "first"))
	keys := filepath.Join(dir, dataName, store.KeysetPath("acme"))
	f.set(func(string, string) error { // before each step a reader looks
		b, err := os.ReadFile(tenant)
		if err != nil {
			return nil
		}
		n, _ := revision(b)
		if _, err := os.Stat(first); n == 2 && err == nil {
			t.Error("the second tenant has a client of the first")
		}
		if b, _ := os.ReadFile(keys); n == 2 {
			if k, _ := revision(b); k != 2 {
				t.Errorf("the second tenant has keys of revision %d", k)
			}
		}
		return nil
	})
	w.drop("acme")
	w.tenant("acme", 2, "second")
	img := w.publish(p)
	f.set(nil)
	wantFiles(t, dir, img)
}

func TestADeletedTenantGoesAtOnce(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	w.tenant("acme", 1, "a", "b", "c")
	w.tenant("other", 1)
	f := new(faulty)
	p := started(t, dir, w, via(f))
	all := len(files(t, dir))
	whole := 0
	f.set(func(string, string) error {
		got := files(t, dir)
		_, there := got["tenants/acme/"]
		parts := 0
		for name := range got {
			if len(name) > len("tenants/acme/") && name[:len("tenants/acme/")] == "tenants/acme/" {
				parts++
			}
		}
		switch {
		case there && parts != 7: // tenant.json, two directories, four documents
			t.Errorf("%d parts of the tenant are left", parts)
		case there:
			whole++
		}
		return nil
	})
	w.drop("acme")
	img := w.publish(p)
	f.set(nil)
	if whole == 0 || len(files(t, dir)) >= all {
		t.Errorf("seen whole %d times, %d of %d files left", whole, len(files(t, dir)), all)
	}
	wantFiles(t, dir, img)
}

func TestADescriptorStaysOnTheWholeOldTree(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	for i := range 5 {
		w.tenant(fmt.Sprint("t", i), 1, "web")
	}
	p := started(t, dir, w)
	root, err := os.OpenRoot(filepath.Join(dir, dataName))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	before := files(t, dir)
	for i := range 5 {
		w.drop(fmt.Sprint("t", i))
	}
	w.tenant("new", 2, "web")
	img, _ := w.image()
	p.Replace(img)
	wait(t, p, img.Index)
	wantFiles(t, dir, img)
	for name, want := range before {
		if want == "" {
			continue
		}
		if b, err := root.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("%s through the old descriptor: %.40q, %v", name, b, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Stat(appliedName); !errors.Is(err, unix.ENOENT) {
		t.Errorf("the old tree's marker is there after its end: %v", err)
	}
}

func TestOldTreesGoWhenTheirGraceIsOver(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	w.tenant("acme", 1, "web")
	p := open(t, dir)
	p.yard.grace = 0
	img, _ := w.image()
	p.Start(img)
	wait(t, p, img.Index)
	for range 4 {
		p.Replace(img)
		img, _ = w.image()
	}
	w.drop("acme")
	img = w.publish(p)
	until(t, "restore.tmp is gone", func() bool {
		_, err := os.Lstat(filepath.Join(dir, yardName))
		return errors.Is(err, fs.ErrNotExist)
	})
	wantFiles(t, dir, img)
}

func TestNoMoreThanTwoOldTreesAreKept(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	w.tenant("acme", 1, "web")
	p := started(t, dir, w)
	for range 6 {
		img, _ := w.image()
		p.Replace(img)
		wait(t, p, img.Index)
	}
	until(t, "two are left", func() bool { return len(names(t, filepath.Join(dir, yardName))) == 2 })
}

// A stage that is committed, or a first import, is seen at one moment.
func TestAChangeOfManyFilesIsSeenAtOneMoment(t *testing.T) {
	inMemory(t)
	dir := t.TempDir()
	f := new(faulty)
	w := newWorld(t)
	w.tenant("acme", 1)
	p := started(t, dir, w, via(f))
	exchanged, placed := 0, 0
	f.set(func(call, name string) error {
		switch {
		case call == "exchange" && name == dataName:
			exchanged++
		case (call == "exchange" || call == "rename") && name != appliedName:
			placed++
		}
		return nil
	})
	for i := range wholeFrom {
		w.set(store.ClientPath("acme", fmt.Sprint("c", i)), 1)
	}
	img := w.publish(p)
	f.set(nil)
	if exchanged != 1 || placed != 0 {
		t.Errorf("%d exchanges of data/, %d files put in one by one; want 1 and 0", exchanged, placed)
	}
	wantFiles(t, dir, img)
}

package publish

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// creations counts the files that are made from now on.
func (f *faulty) creations() (count func() int) {
	n := 0
	f.set(func(call, _ string) error {
		if call == "create" {
			n++
		}
		return nil
	})
	return func() int { f.mu.Lock(); defer f.mu.Unlock(); return n }
}

func TestAFileThatWasReplacedIsWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	f := new(faulty)
	w := acme(t)
	p := open(t, dir, via(f))
	p.yard.respite = 0
	first, _ := w.image()
	p.Start(first)
	wait(t, p, first.Index)
	made := f.creations()
	for n := uint64(2); n < 50; n++ {
		w.set(store.ClientPath("acme", "web"), n)
		wantFiles(t, dir, w.publish(p))
	}
	if n := made(); n > 1 {
		t.Errorf("48 changes of one file made %d files, want 1", n)
	}
}

// Whoever has a file open, or gave it a second name, sees it as it was.
func TestAFileThatSomebodyHoldsIsNotWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	w := acme(t)
	p := open(t, dir)
	p.yard.respite = 0
	first, _ := w.image()
	p.Start(first)
	wait(t, p, first.Index)
	name := filepath.Join(dir, dataName, store.ClientPath("acme", "web"))
	type held struct {
		file *os.File
		link string
		n    uint64
	}
	var all []held
	for n := uint64(1); n < 20; n++ {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h := held{f, "", n}
		if n%3 == 0 {
			f.Close()
			h = held{nil, filepath.Join(dir, "link"+string(rune('a'+n))), n}
			if err := os.Link(name, h.link); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, h)
		w.set(store.ClientPath("acme", "web"), n+1)
		w.publish(p)
	}
	for _, h := range all {
		var b []byte
		var err error
		if h.file != nil {
			b, err = io.ReadAll(h.file)
		} else {
			b, err = os.ReadFile(h.link)
		}
		if n, whole := revision(b); err != nil || !whole || n != h.n {
			t.Errorf("held at revision %d, read %d (whole: %v), %v", h.n, n, whole, err)
		}
	}
}

func TestSparesGoWhenNothingChanges(t *testing.T) {
	dir := t.TempDir()
	w := acme(t)
	p := open(t, dir)
	p.yard.idle = 20 * time.Millisecond
	first, _ := w.image()
	p.Start(first)
	wait(t, p, first.Index)
	w.set(store.ClientPath("acme", "web"), 2)
	img := w.publish(p)
	until(t, "restore.tmp is gone", func() bool {
		_, err := os.Lstat(filepath.Join(dir, yardName))
		return errors.Is(err, fs.ErrNotExist)
	})
	wantFiles(t, dir, img)
}

// The yard stays while files are being made; whoever takes it away meanwhile costs
// one attempt.
func TestAYardThatIsTakenAwayIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	w := acme(t)
	p := open(t, dir)
	p.yard.idle = time.Hour
	first, _ := w.image()
	p.Start(first)
	for n := uint64(2); n < 5; n++ {
		w.set(store.ClientPath("acme", fmt.Sprint("app", n)), n)
		img, changed := w.image()
		p.Publish(img, changed)
		until(t, "the files hold it", func() bool { return p.Status().PublishedIndex >= img.Index })
		wantFiles(t, dir, img)
		if err := os.RemoveAll(filepath.Join(dir, yardName)); err != nil {
			t.Fatal(err)
		}
	}
}

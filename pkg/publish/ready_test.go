package publish

import (
	"errors"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// A disk on which nothing can be made at the start, not even data/, is no reason
// not to start.
func TestAStartOnADiskThatCannotBeWritten(t *testing.T) {
	for _, c := range []struct {
		fact   string
		fail   error
		reason string
	}{
		{"full", unix.ENOSPC, ReasonDiskFull},
		{"over its quota", unix.EDQUOT, ReasonDiskFull},
		{"broken", unix.EIO, ReasonIOError},
		{"read-only", unix.EROFS, ReasonIOError},
	} {
		f := new(faulty)
		f.set(func(string, string) error { return c.fail })
		dir := t.TempDir()
		w := acme(t)
		p := open(t, dir, via(f))
		img, _ := w.image()
		p.Start(img)
		until(t, c.fact+": it is degraded", func() bool { return p.Status().Degraded })
		if st := p.Status(); st.Ready || st.PublishedIndex != 0 || st.Reason != c.reason {
			t.Errorf("%s: status = %+v", c.fact, st)
		}
		if _, err := p.Check(img, true); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: check: %v, want unavailable", c.fact, err)
		}
		f.set(nil)
		repaired(t, p, img.Index)
		wantFiles(t, dir, img)
		if err := p.Close(); err != nil {
			t.Errorf("%s: %v", c.fact, err)
		}
	}
}

// A node that is stopped before it could begin ends all the same.
func TestAStopOnADiskThatCannotBeWritten(t *testing.T) {
	f := new(faulty)
	f.set(func(string, string) error { return unix.EROFS })
	w := acme(t)
	p := open(t, t.TempDir(), via(f))
	img, _ := w.image()
	p.Start(img)
	until(t, "it is degraded", func() bool { return p.Status().Degraded })
	if err := p.Close(); err == nil {
		t.Error("Close is silent about files that could not be written")
	}
}

// What is kept for the log is not there for files, whichever way they are
// written; what is taken out needs nothing.
func TestFilesLeaveTheLogItsPart(t *testing.T) {
	var spare atomic.Bool
	spare.Store(true)
	dir := t.TempDir()
	w := acme(t)
	p := started(t, dir, w, func(c *Config) { c.Spare = spare.Load })
	spare.Store(false)
	w.drop("beta")
	img, changed := w.image()
	p.Publish(img, changed)
	wait(t, p, img.Index)
	wantFiles(t, dir, img)
	for _, publish := range []func(*store.Image, []string){p.Publish, func(img *store.Image, _ []string) { p.Replace(img) }} {
		spare.Store(false)
		w.set(store.ClientPath("acme", "web"), img.Index+2)
		img, changed = w.image()
		publish(img, changed)
		until(t, "it is degraded", func() bool { return p.Status().Degraded })
		if st := p.Status(); st.Reason != ReasonDiskFull {
			t.Errorf("status = %+v", st)
		}
		spare.Store(true)
		repaired(t, p, img.Index)
		wantFiles(t, dir, img)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// repaired waits for files that cannot be written yet.
func repaired(t *testing.T, p *Publisher, index uint64) {
	t.Helper()
	until(t, "the files can be written", func() bool { st := p.Status(); return !st.Degraded && st.PublishedIndex >= index })
}

package publish

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

const why = "another state than the others"

func withdrawn(t *testing.T, dir string) bool {
	t.Helper()
	a, err := ReadApplied(filepath.Join(dir, dataName))
	if err != nil {
		t.Fatal(err)
	}
	return a.State == StateWithdrawn && a.BootID == ""
}

// Files that are withdrawn stay as they are, nobody is told that they hold
// anything, and what is handed over meanwhile never comes to them.
func TestWithdrawnFilesStayAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	w := acme(t)
	p := started(t, dir, w)
	before := files(t, dir)
	waiting := make(chan error, 1)
	go func() { waiting <- p.Wait(context.Background(), 1000) }()
	until(t, "somebody waits", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiters) > 0 })
	p.Withdraw(why)
	if err := <-waiting; !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), why) {
		t.Errorf("who waited got %v", err)
	}
	until(t, "the marker says so", func() bool { return withdrawn(t, dir) })
	w.set(store.ClientPath("acme", "web"), 3)
	img, changed := w.image()
	p.Publish(img, changed)
	p.Idle(img.Index + 1)
	if p.mu.Lock(); !p.queue.empty() {
		t.Error("it is kept for later")
	}
	p.mu.Unlock()
	if _, err := p.Check(img, true); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), why) {
		t.Errorf("a check with repair: %v", err)
	}
	if st := p.Status(); !st.Degraded || st.Reason != ReasonDrift || st.Ready || st.PublishedIndex != 0 {
		t.Errorf("status %+v", st)
	}
	if err := p.Close(); err == nil {
		t.Error("it closes with files that are up to date")
	}
	if !withdrawn(t, dir) || !maps.Equal(files(t, dir), before) {
		t.Error("the files were changed")
	}

	// The next start withdraws them before it publishes, or compares them first.
	p = open(t, dir)
	p.Withdraw(why)
	p.Start(img)
	w.set(store.ClientPath("acme", "web"), 4)
	right, _ := w.image()
	p.Publish(right, []string{store.ClientPath("acme", "web")})
	if _, err := p.Check(nil, false); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a check after a restart: %v", err)
	}
	if !withdrawn(t, dir) || !maps.Equal(files(t, dir), before) {
		t.Error("the files were changed by a restart")
	}

	// Then comes another state, older or newer, and what follows it.
	old := newWorld(t)
	old.tenant("other", 7, "app")
	other, _ := old.image()
	p.Readmit(other)
	wait(t, p, other.Index)
	check(t, p, dir, other)
	old.set(store.ClientPath("other", "app"), 9)
	check(t, p, dir, old.publish(p))
	if withdrawn(t, dir) {
		t.Error("the files are still withdrawn")
	}
}

// check compares the files with an image.
func check(t *testing.T, p *Publisher, dir string, img *store.Image) {
	t.Helper()
	if faults, err := p.Check(img, false); err != nil || len(faults) > 0 || p.Status().Degraded {
		t.Errorf("at index %d: %v, %v, %+v", img.Index, faults, err, p.Status())
	}
	if a, err := ReadApplied(filepath.Join(dir, dataName)); err != nil || a.Index != img.Index || a.State != StateDone || a.Digest != img.DataDigest() {
		t.Errorf("the marker says %+v, %v, want index %d", a, err, img.Index)
	}
}

// Files that were withdrawn by a node that has ended do not count for the next.
func TestWithdrawnFilesAreNotTrusted(t *testing.T) {
	dir := t.TempDir()
	w := acme(t)
	p := started(t, dir, w)
	p.Withdraw(why)
	until(t, "the marker says so", func() bool { return withdrawn(t, dir) })
	p.Close()
	w.set(store.ClientPath("acme", "web"), 3)
	img, _ := w.image()
	p = open(t, dir)
	p.Start(img)
	wait(t, p, img.Index)
	check(t, p, dir, img)
}

// A disk that fails does not keep files from being withdrawn, or from coming back.
func TestFilesAreWithdrawnOnAFailingDisk(t *testing.T) {
	dir := t.TempDir()
	f := new(faulty)
	w := acme(t)
	p := started(t, dir, w, via(f))
	for n := range 3 { // further than what comes in its place
		w.set(store.ClientPath("acme", "web"), uint64(5+n))
		w.publish(p)
	}
	var tried atomic.Int32
	f.set(func(call, _ string) error {
		if call == "pwrite" {
			tried.Add(1)
			return unix.EIO
		}
		return nil
	})
	p.Withdraw(why)
	until(t, "it was tried twice", func() bool { return tried.Load() > 1 })
	if p.Status().Reason != ReasonDrift {
		t.Errorf("status %+v", p.Status())
	}
	f.set(nil)
	until(t, "the marker says so", func() bool { return withdrawn(t, dir) })
	f.set(full)
	old := newWorld(t)
	old.tenant("other", 7, "app")
	img, _ := old.image()
	p.Readmit(img)
	until(t, "it is degraded", func() bool { return p.Status().Reason == ReasonDiskFull })
	f.set(nil)
	until(t, "it recovers", func() bool { return !p.Status().Degraded })
	wait(t, p, img.Index)
	until(t, "the files are compared", func() bool { _, err := p.Check(nil, false); return err == nil })
	check(t, p, dir, img)
}

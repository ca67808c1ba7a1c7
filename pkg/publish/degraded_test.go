package publish

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// full is a disk on which nothing can be made while it is full.
func full(call, _ string) error {
	if call == "create" || call == "mkdir" || call == "write" {
		return unix.ENOSPC
	}
	return nil
}

func broken(call, _ string) error {
	if call != "unlink" && call != "rmdir" {
		return unix.EIO
	}
	return nil
}

// A node whose files cannot be written says so, and repairs itself when it can.
func TestDegradedAndRepaired(t *testing.T) {
	for _, c := range []struct {
		fact    string
		fail    func(call, name string) error
		reason  string
		publish func(p *Publisher, img *store.Image, changed []string)
	}{
		{"a full disk, some files", full, ReasonDiskFull, (*Publisher).Publish},
		{"a broken disk, some files", broken, ReasonIOError, (*Publisher).Publish},
		{"a full disk, the whole tree", full, ReasonDiskFull, func(p *Publisher, img *store.Image, _ []string) { p.Replace(img) }},
		{"a broken disk, the whole tree", broken, ReasonIOError, func(p *Publisher, img *store.Image, _ []string) { p.Replace(img) }},
	} {
		dir := t.TempDir()
		f := new(faulty)
		w := acme(t)
		p := started(t, dir, w, via(f), logTo(auditor{t: t}))
		held := p.Status().PublishedIndex
		waiting := make(chan error, 1)
		w.drop("beta")
		w.tenant("acme", 2, "web")
		img, changed := w.image()
		go func() { waiting <- p.Wait(context.Background(), img.Index) }()
		until(t, "somebody waits", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiters) > 0 })
		f.set(c.fail)
		c.publish(p, img, changed)
		if err := <-waiting; !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: who waited got %v, want unavailable", c.fact, err)
		}
		if err := p.Wait(context.Background(), img.Index); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: who waits now got %v, want unavailable", c.fact, err)
		}
		if err := p.Wait(context.Background(), held); err != nil {
			t.Errorf("%s: who waits for what the files hold got %v", c.fact, err)
		}
		st := p.Status()
		if !st.Degraded || st.Reason != c.reason || st.PublishedIndex != held || st.Err == "" || !st.Ready {
			t.Errorf("%s: status = %+v, want degraded by %s at %d", c.fact, st, c.reason, held)
		}
		if _, err := p.Check(nil, false); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: check: %v, want unavailable", c.fact, err)
		}
		if left := names(t, dir); len(left) != 1 {
			t.Errorf("%s: the directory holds %v while it is degraded, want only data", c.fact, left)
		}
		w.set(store.ClientPath("acme", "web"), 3) // applying goes on
		img, changed = w.image()
		p.Publish(img, changed)
		f.set(nil)
		until(t, c.fact+": it recovers", func() bool { return !p.Status().Degraded })
		wait(t, p, img.Index)
		wantFiles(t, dir, img)
		if err := p.Close(); err != nil {
			t.Errorf("%s: %v", c.fact, err)
		}
		if left := names(t, dir); len(left) != 1 {
			t.Errorf("%s: the directory holds %v, want only data", c.fact, left)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// One call after the other fails once, at every step of a batch and of an exchange.
func TestEveryStepMayFailOnce(t *testing.T) {
	inMemory(t)
	for _, l := range lives {
		for n, failed := 0, true; failed; n++ {
			dir := t.TempDir()
			f := new(faulty)
			w := acme(t)
			p := open(t, dir, via(f), logTo(auditor{t: t}))
			p.backoff, p.yard.grace = 1, 0
			first, _ := w.image()
			p.Start(first)
			wait(t, p, first.Index)
			l.change(w)
			img, changed := w.image()
			calls := 0
			failed = false
			f.set(func(string, string) error {
				if calls++; calls == n+1 {
					failed = true
					return unix.EIO
				}
				return nil
			})
			l.publish(p, img, changed)
			until(t, "published", func() bool { st := p.Status(); return !st.Degraded && st.PublishedIndex == img.Index })
			if faults, err := p.Check(nil, false); err != nil || len(faults) > 0 {
				t.Errorf("%v, %v", faults, err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			wantFiles(t, dir, img)
			if t.Failed() {
				t.Fatalf("%s, step %d failed", l.fact, n)
			}
		}
	}
}

// When there is no room for a second tree, an installed snapshot goes in file by file.
func TestNoRoomForASecondTree(t *testing.T) {
	dir := t.TempDir()
	f := new(faulty)
	w := acme(t)
	p := started(t, dir, w, via(f))
	made := 0
	f.set(func(call, _ string) error { // room for three files at a time
		switch call {
		case "create":
			if made++; made > 3 {
				return unix.ENOSPC
			}
		case "unlink":
			made = max(made-1, 0)
		}
		return nil
	})
	w.set(store.ClientPath("acme", "web"), 2)
	w.set(store.ClientPath("beta", "x"), 2)
	img, _ := w.image()
	p.Replace(img)
	until(t, "it fits", func() bool { st := p.Status(); return !st.Degraded && st.PublishedIndex == img.Index })
	wantFiles(t, dir, img)
}

func TestDegradedAtStart(t *testing.T) {
	w := acme(t)
	dir := t.TempDir()
	f := new(faulty)
	p := open(t, dir, via(f))
	f.set(full)
	img, _ := w.image()
	p.Start(img)
	until(t, "it is degraded", func() bool { return p.Status().Degraded })
	if st := p.Status(); st.Ready || st.PublishedIndex != 0 {
		t.Errorf("status = %+v, want nothing published", st)
	}
	if _, err := p.Check(img, true); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("check: %v, want unavailable", err)
	}
	f.set(nil)
	until(t, "it is ready", func() bool { return p.Status().Ready })
	wait(t, p, img.Index)
	wantFiles(t, dir, img)
}

func TestCloseSaysWhatIsMissing(t *testing.T) {
	f := new(faulty)
	w := acme(t)
	dir := t.TempDir()
	p := started(t, dir, w, via(f))
	held := want(p.last)
	f.set(full)
	w.set(store.ClientPath("acme", "web"), 2)
	p.Publish(w.image())
	if err := p.Close(); err == nil {
		t.Error("Close is silent about files that could not be written")
	}
	if got := files(t, dir); fmt.Sprint(got) != fmt.Sprint(held) {
		t.Error("the files have changed")
	}
	if a, err := ReadApplied(filepath.Join(dir, dataName)); err != nil || a.State != StateIntent {
		t.Errorf(".applied = %+v, %v, want intent", a, err)
	}
}

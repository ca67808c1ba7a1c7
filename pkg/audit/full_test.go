package audit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/faultdisk"
)

// held is a disk whose syncs wait for a test.
type held struct {
	disk.Real
	let   chan struct{}
	syncs atomic.Int64
}

func (h *held) Datasync(fd int) error {
	h.syncs.Add(1)
	<-h.let
	return h.Real.Datasync(fd)
}

func TestRecordingWaitsForNoSync(t *testing.T) {
	h := &held{let: make(chan struct{})}
	l := Open(Options{Dir: t.TempDir(), Node: "n1", Disk: h})
	l.Record(event(1))
	until(t, "the line is on its way to the disk", func() bool { return h.syncs.Load() == 1 })
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		for i := range 100 {
			l.Record(event(i))
		}
		if err := l.Ask(context.Background(), event(1)); err != nil {
			t.Errorf("nothing is required, and %v", err)
		}
	}()
	select {
	case <-recorded:
	case <-time.After(patience):
		t.Error("a line waits for a sync")
	}
	close(h.let)
	l.Close()
}

func TestThoseWhoAskAtTheSameTimeShareASync(t *testing.T) {
	h := &held{let: make(chan struct{})}
	dir := t.TempDir()
	l := Open(Options{Dir: dir, Node: "n1", Disk: h, Required: true})
	const callers = 64
	var answered atomic.Int64
	var asked sync.WaitGroup
	for i := range callers {
		asked.Go(func() {
			if err := l.Ask(context.Background(), event(i)); err != nil {
				t.Error(err)
			}
			answered.Add(1)
		})
	}
	until(t, "all have written and one sync is under way", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.seq == callers && h.syncs.Load() == 1
	})
	if n := answered.Load(); n > 0 {
		t.Errorf("%d had an answer before the sync", n)
	}
	h.let <- struct{}{} // covers those who had written when it began
	h.let <- struct{}{} // covers the others
	asked.Wait()
	if n := h.syncs.Load(); n > 3 { // the third is that of the time that passed
		t.Errorf("%d syncs for %d callers", n, callers)
	}
	close(h.let)
	l.Close()
	if r := whole(t, dir); r.Lines != callers {
		t.Errorf("%d lines, want %d", r.Lines, callers)
	}
}

func TestWhoGivesUpDoesNotWaitForADiskThatHangs(t *testing.T) {
	h := &held{let: make(chan struct{})}
	l := Open(Options{Dir: t.TempDir(), Node: "n1", Disk: h, Required: true})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Ask(ctx, event(1)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	close(h.let)
	l.Close()
}

// full is a disk on which nothing can be written while it is full.
func full(call, _ string) error {
	if call == "create" || call == "pwrite" || call == "write" {
		return unix.ENOSPC
	}
	return nil
}

func brokenSync(call, _ string) error {
	if call == "datasync" {
		return unix.EIO
	}
	return nil
}

func TestARequiredLineThatCannotBeWrittenIsARefusal(t *testing.T) {
	for fact, fail := range map[string]func(call, name string) error{"a full disk": full, "a disk that does not sync": brokenSync} {
		var f faultdisk.Disk
		dir := filepath.Join(t.TempDir(), "audit")
		l := Open(Options{Dir: dir, Node: "n1", Disk: &f, Required: true})
		ask := func() error { return l.Ask(context.Background(), event(1)) }
		if err := ask(); err != nil {
			t.Errorf("before %s: %v", fact, err)
		}
		f.Set(fail)
		for range 3 {
			err := ask()
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), l.Path()) {
				t.Errorf("%s: got %v, want unavailable with the file", fact, err)
			}
		}
		if l.Failing() == "" {
			t.Errorf("%s: the log does not say that it fails", fact)
		}
		f.Set(nil)
		if err := ask(); err != nil || l.Failing() != "" {
			t.Errorf("after %s: %v, failing: %q", fact, err, l.Failing())
		}
		l.Close()
		whole(t, dir)
		if got := of(lines(t, dir), "client.create"); len(got) < 2 || got[0].Result != Asked {
			t.Errorf("%s: %d lines, the first is %+v", fact, len(got), got[0])
		}
	}
}

// A file whose sync failed gets no more lines: a later sync of it proves nothing.
func TestAfterAFailedSyncThereIsANewFile(t *testing.T) {
	var f faultdisk.Disk
	dir := filepath.Join(t.TempDir(), "audit")
	l := Open(Options{Dir: dir, Node: "n1", Disk: &f, Required: true})
	f.Set(brokenSync)
	_ = l.Ask(context.Background(), event(1))
	f.Set(nil)
	if err := l.Ask(context.Background(), event(2)); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if r := whole(t, dir); r.Files != 2 || r.Lines != 2 {
		t.Errorf("%d lines in %d files, want 2 in 2", r.Lines, r.Files)
	}
}

func TestLinesThatAreLostAreCountedAndSaid(t *testing.T) {
	var said bytes.Buffer
	var f faultdisk.Disk
	dir := filepath.Join(t.TempDir(), "audit")
	l := Open(Options{Dir: dir, Node: "n1", Disk: &f, Log: slog.New(slog.NewTextHandler(&said, nil))})
	l.Record(event(1))
	f.Set(full)
	for i := range 1000 {
		l.Record(event(i))
	}
	if !strings.Contains(l.Failing(), "no space") {
		t.Errorf("it fails because of %q", l.Failing())
	}
	f.Set(nil)
	l.Record(event(2))
	l.Close()
	whole(t, dir)
	all := lines(t, dir)
	if len(all) != 3 || all[1].Type != TypeLost || !strings.HasPrefix(all[1].Message, "lines that could not be written: 1000;") {
		t.Errorf("%d lines, the second is %+v", len(all), all[1])
	}
	if n := strings.Count(said.String(), "level=ERROR"); n != 1 { // not one a line
		t.Errorf("the node's log has %d errors:\n%s", n, said.String())
	}
}

// What the disk has left is the node's log's.
func TestTheReserveOfTheLogIsNotTouched(t *testing.T) {
	var spare atomic.Bool
	o := Options{Dir: filepath.Join(t.TempDir(), "audit"), Node: "n1", Space: func() (bool, uint64) { return spare.Load(), 0 }}
	for _, required := range []bool{false, true} {
		spare.Store(true)
		o.Required = required
		l := Open(o)
		l.Record(event(1))
		size := len(content(t, o.Dir, current))
		spare.Store(false)
		l.Record(event(2))
		if err := l.Ask(context.Background(), event(3)); required != errors.Is(err, store.ErrUnavailable) {
			t.Errorf("required: %v, got %v", required, err)
		}
		if now := len(content(t, o.Dir, current)); now != size {
			t.Errorf("%d bytes were written on a disk that is short", now-size)
		}
		spare.Store(true)
		l.Record(event(4))
		l.Close()
		whole(t, o.Dir)
	}
}

// A node starts on such a disk, too, and its log begins when it can.
func TestALogOnADiskThatFailsIsOpenedLater(t *testing.T) {
	var f faultdisk.Disk
	var at atomic.Int64
	f.Set(func(call, _ string) error {
		if call == "create" {
			return unix.EROFS
		}
		return nil
	})
	dir := filepath.Join(t.TempDir(), "audit")
	l := Open(Options{Dir: dir, Node: "n1", Disk: &f, Now: func() time.Time { return time.Unix(at.Load(), 0) }})
	l.Record(event(1))
	if l.Failing() == "" {
		t.Error("nothing fails")
	}
	f.Set(nil)
	at.Add(2)
	l.Record(event(2))
	l.Close()
	if all := lines(t, dir); len(all) != 2 || all[0].Type != TypeLost {
		t.Errorf("%d lines, the first is %+v", len(all), all[0])
	}
}

// A node whose disk is well again says so by itself, whether anybody asks it for
// something or not.
func TestTheLogMendsItselfWithoutANewLine(t *testing.T) {
	var f faultdisk.Disk
	dir := filepath.Join(t.TempDir(), "audit")
	l := Open(Options{Dir: dir, Node: "n1", Disk: &f})
	defer l.Close()
	l.Record(event(1))
	f.Set(full)
	l.Record(event(2))
	if l.Failing() == "" {
		t.Fatal("it writes on a full disk")
	}
	f.Set(nil)
	for deadline := time.Now().Add(30 * time.Second); l.Failing() != ""; {
		if time.Now().After(deadline) {
			t.Fatalf("it still fails: %s", l.Failing())
		}
		runtime.Gosched()
	}
	if all := lines(t, dir); len(all) != 2 || all[1].Type != TypeLost {
		t.Errorf("%+v, want the line that tells of the one that was lost", all)
	}
}

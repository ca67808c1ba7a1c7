package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// halted is a restore that was stopped in front of a command.
type halted struct {
	at   chan struct{} // closed when it has come there
	on   func()        // lets it go on
	over chan error    // gets what came of it
}

// halt begins a restore on the leader and stops it in front of the nth command of
// a kind.
func (c *trio) halt(ctx context.Context, archive string, req RestoreRequest, kind mutation.Kind, nth int) *halted {
	c.t.Helper()
	h := &halted{at: make(chan struct{}), over: make(chan error, 1)}
	release := make(chan struct{})
	h.on = sync.OnceFunc(func() { close(release) })
	c.t.Cleanup(h.on)
	var seen atomic.Int64
	stop := func(_ string, m *mutation.Command) {
		if len(m.Mutations) > 0 && m.Mutations[0].Kind == kind {
			if seen.Add(1) == int64(nth) {
				close(h.at)
				<-release
			}
		}
	}
	leader := c.leader()
	c.before.Store(&stop)
	go func() {
		_, err := leader.Restore(ctx, strings.NewReader(archive), req, access.Local("0"))
		h.over <- err
	}()
	select {
	case <-h.at:
	case err := <-h.over:
		c.t.Fatalf("the restore never came to %s %d: %v", kind, nth, err)
	}
	return h
}

// upToDate waits until every node has the leader's state, with an open stage or none.
func (c *trio) upToDate(open bool) {
	c.t.Helper()
	c.until("the same stage everywhere", func() error {
		want := c.leader().Image()
		for _, n := range c.running() {
			img := n.Image()
			if img.StateDigest() != want.StateDigest() || (img.OpenStage() != nil) != open || (img.StageBytes() > 0) != open {
				return fmt.Errorf("%s at %d has digest %.8s and %d bytes staged, the leader at %d %.8s", n.Name(), img.Index, img.StateDigest(), img.StageBytes(), want.Index, want.StateDigest())
			}
		}
		return nil
	})
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// TestASecondRestoreIsToldWhoseTheFirstIs, before its archive is looked at. The
// same request waits and gets the first answer.
func TestASecondRestoreIsToldWhoseTheFirstIs(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.large(4)
	archive := archiveOf(t, c.leader())
	c.emptied()
	h := c.halt(soon(t), archive, RestoreRequest{ID: "first"}, mutation.SysStageCommit, 1)
	since := c.leader().Image().OpenStage().Since
	_, err := restore(c.leader(), "no archive at all", "second", false)
	if !errors.Is(err, store.ErrConflict) {
		t.Fatalf("a second restore: %v, want a conflict", err)
	}
	for _, said := range []string{"request first of ", access.Local("0").String(), since.String()[:10]} {
		if !strings.Contains(err.Error(), said) {
			t.Errorf("%q does not say %q", err, said)
		}
	}
	again := make(chan error, 1)
	go func() {
		r, err := restore(c.leader(), archive, "first", false)
		if err == nil && !r.Replayed {
			err = errors.New("it was done a second time")
		}
		again <- err
	}()
	h.on()
	if err := errors.Join(<-h.over, <-again); err != nil {
		t.Error(err)
	}
	if _, err := restore(c.leader(), archive, "third", false); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestARestoreReplacesTheExpectedRevisionOnly: it is decided when the archive takes
// the state's place, whatever was so before.
func TestARestoreReplacesTheExpectedRevisionOnly(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.large(4)
	archive := archiveOf(t, c.leader())
	want := c.leader().Image().DataDigest()
	c.emptied()
	now := c.leader().Image()
	expecting := func(id string, revision uint64, dry bool) error {
		_, err := c.leader().Restore(soon(t), strings.NewReader(archive), RestoreRequest{ID: id, Expect: &revision, DryRun: dry}, access.Local("0"))
		return err
	}
	for _, dry := range []bool{true, false} {
		if err := expecting("early", now.Revision()-1, dry); !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), fmt.Sprintf("at revision %d, not %d", now.Revision(), now.Revision()-1)) {
			t.Errorf("over an earlier revision (dry %v): %v", dry, err)
		}
	}
	if got := c.leader().Image(); got.StateDigest() != now.StateDigest() {
		t.Error("what was refused early is in the state")
	}

	revision := now.Revision()
	for _, stop := range []mutation.Kind{mutation.SysStagePut, mutation.SysStageCommit} {
		id := "late-" + string(stop)
		h := c.halt(soon(t), archive, RestoreRequest{ID: id, Expect: &revision}, stop, 1)
		if stop == mutation.SysStageCommit { // writers are held back; this one had given up waiting for its answer
			c.slip("slipped")
		} else {
			c.must(tenantNamed("meanwhile"))
		}
		before := c.leader().Image().DataDigest()
		h.on()
		if err := <-h.over; !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("changed at %s: %v, want a conflict", stop, err)
		}
		if got := c.leader().Image(); got.DataDigest() != before {
			t.Errorf("changed at %s: it was restored", stop)
		}
		c.upToDate(false)
		other := revision + 1
		if _, err := c.leader().Restore(soon(t), strings.NewReader(archive), RestoreRequest{ID: id, Expect: &other}, access.Local("0")); !errors.Is(err, store.ErrRequestReused) {
			t.Errorf("the same request with another expectation: %v", err)
		}
		revision = c.leader().Image().Revision()
	}
	if err := expecting("good", revision, true); err != nil {
		t.Error(err)
	}
	if err := expecting("good", revision, false); err != nil || c.leader().Image().DataDigest() != want {
		t.Errorf("over the expected one: %v", err)
	}
	if err := expecting("good", revision, false); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// slip puts a change into the log as somebody does who does not wait for a restore.
func (c *trio) slip(slug string) {
	c.t.Helper()
	leader := c.leader()
	d, err := leader.newDraft(&mutation.Request{ID: "slip-" + slug, Op: mutation.OpTenantCreate, Name: slug}, access.Local("0"))
	if err != nil {
		c.t.Fatal(err)
	}
	s := leader.proposer.propose(soon(c.t), func(now store.Time) (*mutation.Command, error) {
		p, err := d.complete(leader.Image(), now)
		if err != nil {
			return nil, err
		}
		return p.command, nil
	})
	if s.err != nil || s.result.Refusal != nil {
		c.t.Fatal(s.err, s.result.Refusal)
	}
}

// TestAChangeThatSlipsInIsNoConflict: nobody asked for a revision, so the archive is
// compared again.
func TestAChangeThatSlipsInIsNoConflict(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.large(4)
	archive := archiveOf(t, c.leader())
	want := c.leader().Image().DataDigest()
	c.emptied()
	h := c.halt(soon(t), archive, RestoreRequest{ID: "r"}, mutation.SysStageCommit, 1)
	c.slip("slipped")
	h.on()
	if err := <-h.over; err != nil {
		t.Fatal(err)
	}
	if got := c.leader().Image(); got.DataDigest() != want || got.OpenStage() != nil {
		t.Error("the state is not the archive's")
	}
}

// TestAnUploadIsPartOfEveryNodesState: one that gets a snapshot in the middle of it,
// and one that restarts, go on with the others.
func TestAnUploadIsPartOfEveryNodesState(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.large(9)
	archive := archiveOf(t, c.leader())
	want := c.leader().Image().DataDigest()
	c.emptied()
	c.agree()
	var away, other *Node
	leads := c.leader()
	for _, n := range c.running() {
		switch {
		case n == leads:
		case away == nil:
			away = n
		default:
			other = n
		}
	}
	c.close(away.Name())
	h := c.halt(soon(t), archive, RestoreRequest{ID: "r"}, mutation.SysStagePut, 3)
	leader := c.leader()
	c.upToDate(true)
	// All of the log goes into a snapshot, the half of the upload with it.
	cfg := leader.raft().ReloadableConfig()
	cfg.TrailingLogs = 0
	if err := leader.raft().ReloadConfig(cfg); err != nil {
		t.Fatal(err)
	}
	if err := leader.raft().Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		t.Fatal(err)
	}
	behind := leader.Image().Index
	c.open(away.Name(), false)
	c.upToDate(true)
	c.until("log that begins behind a snapshot", func() error {
		first, err := c.nodes[away.Name()].logs.FirstIndex()
		if err != nil || first != 0 && first <= behind {
			return fmt.Errorf("that of %s begins at %d, the snapshot is at %d; %v", away.Name(), first, behind, err)
		}
		return nil
	})
	for _, name := range []string{away.Name(), other.Name()} { // from a snapshot with the stage in it, and from the log
		c.close(name)
		c.open(name, false)
		c.upToDate(true)
	}
	if c.leader() != leader {
		t.Fatal("the leader is another one: nothing was tested")
	}
	h.on()
	if err := <-h.over; err != nil {
		t.Fatal(err)
	}
	c.agree()
	for _, n := range c.running() {
		if got := n.Image(); got.DataDigest() != want || got.OpenStage() != nil || got.StageBytes() != 0 {
			t.Errorf("%s does not hold the archive's state", n.Name())
		}
	}
}

// TestAnAbandonedUploadIsDropped, whoever abandons it, and with no restore after it.
func TestAnAbandonedUploadIsDropped(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.large(9)
	archive := archiveOf(t, c.leader())
	c.emptied()
	c.agree()
	before := c.leader().Image().DataDigest()
	for name, abandon := range map[string]func(context.CancelFunc){
		"the caller leaves": func(gone context.CancelFunc) { gone() },
		"the leader changes": func(context.CancelFunc) {
			if _, err := c.transfer(TransferRequest{}); err != nil {
				t.Error(err)
			}
		},
		"the leader ends": func(context.CancelFunc) {
			name := c.leader().Name()
			c.close(name)
			c.open(name, false)
		},
	} {
		ctx, gone := context.WithCancel(soon(t))
		h := c.halt(ctx, archive, RestoreRequest{ID: strings.ReplaceAll(name, " ", "-")}, mutation.SysStagePut, 3)
		c.upToDate(true)
		abandon(gone)
		c.before.Store(nil)
		h.on()
		if err := <-h.over; !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want that nothing was changed", name, err)
		}
		c.upToDate(false)
		if got := c.leader().Image().DataDigest(); got != before {
			t.Errorf("%s: the state changed", name)
		}
		gone()
	}
	// One of which nobody could say that it is over.
	m, err := payload(mutation.SysStageBegin, mutation.StageBegin{Stage: "forsaken"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.leader().system(soon(t), "", "test", m); err != nil {
		t.Fatal(err)
	}
	c.upToDate(false)
	if _, err := restore(c.leader(), archive, "last", false); err != nil {
		t.Errorf("another restore: %v", err)
	}
	c.agree()
}

// TestARestoreThatDoesNotFitIsRefusedFirst: with figures, and nothing staged.
func TestARestoreThatDoesNotFitIsRefusedFirst(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.large(9)
	archive := archiveOf(t, c.leader())
	c.emptied()
	c.agree()
	if err := c.leader().fits(room{staged: store.MaxStage}); err != nil {
		t.Errorf("as much as a stage may hold: %v", err)
	}
	err := c.leader().fits(room{staged: store.MaxStage + 1<<20})
	if !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "513.0 MiB of documents, and at most 512.0 MiB") {
		t.Errorf("more: %v", err)
	}
	for _, n := range c.running() {
		name := n.Name()
		c.full.Store(&name)
		c.until("note of the full disk of "+name, func() error {
			if full := c.leader().full(false); full == nil || !strings.Contains(full.Message, name) {
				return fmt.Errorf("noted: %v", full)
			}
			return nil
		})
		for _, dry := range []bool{true, false} {
			before := c.leader().Image()
			_, err := restore(c.leader(), archive, "r-"+name, dry)
			for errors.Is(err, store.ErrUnavailable) { // it leads no longer
				_, err = restore(c.leader(), archive, "r-"+name, dry)
			}
			want := fmt.Sprintf("node %q has too little disk space for the restore: it takes about ", name)
			if !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "0.0 MiB are free there") {
				t.Errorf("dry %v: %v, want it refused for the disk of %s", dry, err, name)
			}
			if now := c.leader().Image(); now.DataDigest() != before.DataDigest() || now.OpenStage() != nil {
				t.Errorf("something was staged though the disk of %s is full", name)
			}
		}
	}
}

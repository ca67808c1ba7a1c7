package fsm

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestAFrozenStateIsPersistedWhileOthersAreApplied: raft applies while it
// persists; what is written is the moment of Snapshot. With -race it also proves
// that the two share nothing.
func TestAFrozenStateIsPersistedWhileOthersAreApplied(t *testing.T) {
	log := history(t)
	f, _ := start(t, store.NewImage())
	half := len(log) / 2
	f.ApplyBatch(log[:half])
	want := archive(t, f.Image())
	frozen, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	f.Apply(log[half])           // raft goes on before it begins to write, too
	more := make(chan *raft.Log) // a step of the writer for each entry applied
	applied := make(chan struct{})
	go func() {
		defer close(applied)
		for e := range more {
			f.Apply(e)
		}
	}()
	rest := log[half+1:]
	s := sink{before: func(int) error {
		if len(rest) > 0 {
			more <- rest[0]
			rest = rest[1:]
		}
		return nil
	}}
	err = frozen.Persist(&s)
	written := s.writes
	for _, e := range rest {
		more <- e
	}
	close(more)
	<-applied
	frozen.Release()
	if err != nil || !bytes.Equal(s.Bytes(), want) {
		t.Errorf("persisted beside %d entries: %v, %d bytes, want %d, the same as at rest", len(log)-half-len(rest), err, s.Len(), len(want))
	}
	if written < 2 || bytes.Equal(archive(t, f.Image()), want) {
		t.Errorf("%d writes: nothing was applied meanwhile", written)
	}
	c, err := snapshot.Read(&s, snapshot.Limits{})
	if err != nil || c.Image.Index != log[half-1].Index || c.Manifest.Term != log[half-1].Term {
		t.Errorf("the archive is of index %d, %v, want %d", c.Image.Index, err, log[half-1].Index)
	}
}

// TestASnapshotWaitsForWhatWasShownBefore: raft labels it with the last index it
// has delivered. Below what the state holds that would be a lie.
func TestASnapshotWaitsForWhatWasShownBefore(t *testing.T) {
	log := []*raft.Log{tenantEntry(t, 1, "a"), configurationEntry(2), tenantEntry(t, 4, "b"), epochEntry(t, 5)}
	refused := func(f *FSM, fact string) {
		t.Helper()
		if _, err := f.Snapshot(); err == nil || !strings.Contains(err.Error(), "of 5 since the start") {
			t.Errorf("%s: Snapshot = %v, want it refused", fact, err)
		}
	}
	redeliver := func(f *FSM, from int) {
		t.Helper()
		for _, e := range log[from : len(log)-1] {
			f.Apply(e)
			refused(f, "delivered again in part")
		}
		f.Apply(log[len(log)-1])
		c, err := snapshot.Read(bytes.NewReader(persisted(t, f)), snapshot.Limits{})
		if err != nil || c.Image.Index != 5 {
			t.Errorf("the archive is of index %d, %v, want 5", c.Image.Index, err)
		}
	}
	f, _ := start(t, store.NewImage())
	if err := f.Replay(log); err != nil {
		t.Fatal(err)
	}
	refused(f, "replayed before raft started")
	redeliver(f, 0)

	f.Restarted()
	refused(f, "between two rafts")
	redeliver(f, 0)

	whole := f.Image()
	f, _ = start(t, whole)
	refused(f, "started from a snapshot with a log behind it")
	f.Apply(configurationEntry(5))
	persisted(t, f)

	older, _ := start(t, store.NewImage())
	older.ApplyBatch(log[:2])
	if err := restore(f, archive(t, older.Image())); err != nil {
		t.Fatal(err)
	}
	refused(f, "given an older archive")
	redeliver(f, 2)
}

func TestASnapshotThatCannotBeWrittenIsCancelled(t *testing.T) {
	f, _ := start(t, store.NewImage())
	f.ApplyBatch(history(t))
	full := errors.New("no space left on device")
	whole := sink{}
	frozen, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := frozen.Persist(&whole); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= whole.writes; n++ {
		s := sink{before: func(i int) error {
			if i >= n {
				return full
			}
			return nil
		}}
		if err := frozen.Persist(&s); !errors.Is(err, full) || s.cancelled != 1 || s.closed != 0 || !strings.Contains(err.Error(), s.ID()) {
			t.Fatalf("write %d of %d fails: %v, cancelled %d times, closed %d times", n, whole.writes, err, s.cancelled, s.closed)
		}
	}
	s := sink{closeFail: full}
	if err := frozen.Persist(&s); !errors.Is(err, full) || s.cancelled != 0 {
		t.Errorf("the last step fails: %v, cancelled %d times", err, s.cancelled)
	}
	if got := persisted(t, f); !bytes.Equal(got, whole.Bytes()) {
		t.Error("after the failures the archive is another")
	}
}

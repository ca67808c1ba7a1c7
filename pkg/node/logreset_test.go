package node

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// fakeSnapshots is a raft.SnapshotStore of which only the list counts.
type fakeSnapshots struct {
	raft.SnapshotStore
	list []*raft.SnapshotMeta
	err  error
}

func (f *fakeSnapshots) List() ([]*raft.SnapshotMeta, error) { return f.list, f.err }

// install puts a snapshot on the disk as the newest.
func (f *fakeSnapshots) install(id string, index, term uint64) {
	f.list = append([]*raft.SnapshotMeta{{ID: id, Index: index, Term: term}}, f.list...)
}

func TestWholeLogDeleted(t *testing.T) {
	concat := func(parts ...[]*raft.Log) (all []*raft.Log) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, c := range []struct {
		fact        string
		held        []*raft.Log
		before      uint64 // index of a snapshot, in term 3, that was there at the start
		index, term uint64 // of the snapshot that is installed then; index 0: none is
		kept, stale bool
	}{
		{"no snapshot: a new leader's entries replace all", entries(1, 5, 1), 0, 0, 0, false, false},
		{"the snapshot is ahead of the log", entries(1, 30, 3), 0, 40, 3, false, false},
		{"the snapshot is ahead of a deposed leader's log", entries(1, 30, 2), 0, 40, 3, false, false},
		{"the snapshot ends where the log does", entries(1, 40, 3), 0, 40, 3, false, false},
		{"a deposed leader's entry stands where the snapshot ends", entries(1, 40, 2), 0, 40, 3, false, true},
		{"a deposed leader's entries go on behind the snapshot", entries(1, 60, 2), 0, 40, 3, false, true},
		{"they began before its end", concat(entries(1, 35, 1), entries(36, 60, 2)), 0, 40, 3, false, true},
		{"the log goes on from the snapshot", entries(1, 60, 3), 0, 40, 3, true, false},
		{"it goes on in a later term", concat(entries(1, 40, 3), entries(41, 60, 4)), 0, 40, 3, true, false},
		{"it goes on from it after a compaction", entries(40, 60, 3), 0, 40, 3, true, false},
		{"the snapshot comes a second time", entries(41, 60, 3), 40, 40, 3, true, false},
		{"a new leader's entries replace all behind the snapshot", entries(41, 60, 3), 40, 0, 0, false, false},
		{"the next snapshot comes", entries(41, 45, 3), 40, 50, 3, false, false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			s, st := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
			snaps := new(fakeSnapshots)
			if c.before != 0 {
				snaps.install("first", c.before, 3)
			}
			if err := s.StoreLogs(c.held); err != nil {
				t.Fatal(err)
			}
			stale := 0
			if err := s.followSnapshots(snaps, func() { stale++ }); err != nil {
				t.Fatal(err)
			}
			if c.index != 0 {
				snaps.install("second", c.index, c.term)
			}
			first, last := c.held[0].Index, c.held[len(c.held)-1].Index
			if err := s.DeleteRange(first, last); err != nil {
				t.Fatal(err)
			}
			if c.kept {
				wantEnds(t, s, first, last)
			} else {
				wantEnds(t, s, 0, 0)
			}
			if (stale == 1) != c.stale || stale > 1 {
				t.Errorf("raft was called stale %d times, want %v", stale, c.stale)
			}
			// what raft does next: it goes on from where the stores say it is
			next := max(c.before, c.index) + 1
			if c.kept {
				next = last + 1
			}
			if err := s.StoreLogs(entries(next, next+1, 5)); err != nil {
				t.Errorf("the next append: %v", err)
			}
			if len(st.errs) != 0 {
				t.Errorf("it stopped: %v", st.errs)
			}
		})
	}
}

func TestPartOfTheLogIsDeletedAsTold(t *testing.T) {
	s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	snaps := new(fakeSnapshots)
	if err := s.StoreLogs(entries(1, 60, 3)); err != nil {
		t.Fatal(err)
	}
	if err := s.followSnapshots(snaps, func() { t.Error("raft is called stale") }); err != nil {
		t.Fatal(err)
	}
	snaps.install("own", 40, 3)
	for _, c := range []struct{ min, max, first, last uint64 }{
		{1, 20, 21, 60},  // compaction
		{55, 60, 21, 54}, // a deposed leader's entries
	} {
		if err := s.DeleteRange(c.min, c.max); err != nil {
			t.Fatal(err)
		}
		wantEnds(t, s, c.first, c.last)
	}
}

// A leader that goes on from its snapshot asks for the term at the snapshot's
// index, which is not in a log that an install emptied.
func TestSnapshotAnswersForItsLastEntry(t *testing.T) {
	for _, c := range []struct {
		fact  string
		snap  uint64
		held  []*raft.Log
		asked uint64
		term  uint64 // 0: not found
	}{
		{"right before the log", 40, entries(41, 45, 4), 40, 3},
		{"before that nothing is known", 40, entries(41, 45, 4), 39, 0},
		{"in an empty log raft knows it itself", 40, nil, 40, 0},
		{"the log has its own", 40, entries(38, 45, 4), 40, 4},
		{"the log was compacted beyond it", 40, entries(43, 45, 4), 40, 0},
		{"the first entry is never made up", 1, entries(2, 5, 4), 1, 0},
	} {
		t.Run(c.fact, func(t *testing.T) {
			s, st := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
			if err := s.StoreLogs(c.held); err != nil {
				t.Fatal(err)
			}
			snaps := new(fakeSnapshots)
			snaps.install("s", c.snap, 3)
			if err := s.followSnapshots(snaps, func() {}); err != nil {
				t.Fatal(err)
			}
			var got raft.Log
			err := s.GetLog(c.asked, &got)
			if c.term == 0 {
				if err != raft.ErrLogNotFound {
					t.Errorf("entry %+v, error %v, want %v", got, err, raft.ErrLogNotFound)
				}
				return
			}
			if err != nil || got.Index != c.asked || got.Term != c.term {
				t.Errorf("entry %+v, error %v, want term %d", got, err, c.term)
			}
			if len(st.errs) != 0 {
				t.Errorf("it stopped: %v", st.errs)
			}
		})
	}
}

func TestEmptyLogBeginsBehindTheSnapshot(t *testing.T) {
	for _, c := range []struct {
		fact        string
		snap, first uint64
		ok          bool
	}{
		{"a new node begins at 1", 0, 1, true},
		{"a new node begins later", 0, 2, false},
		{"right behind an installed snapshot", 40, 41, true},
		{"a gap behind an installed snapshot", 40, 42, false},
		{"inside an installed snapshot", 40, 40, false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			s, st := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
			snaps := new(fakeSnapshots)
			if err := s.followSnapshots(snaps, func() {}); err != nil {
				t.Fatal(err)
			}
			if c.snap != 0 {
				snaps.install("s", c.snap, 3) // raft deletes nothing from an empty log
			}
			err := s.StoreLogs(entries(c.first, c.first, 4))
			if c.ok && (err != nil || len(st.errs) != 0) || !c.ok && (!errors.Is(err, errLogGap) || len(st.errs) != 1) {
				t.Errorf("error %v, stopped with %v", err, st.errs)
			}
		})
	}
}

// A process that is killed behind the install of a snapshot and before raft's
// deletion of the log must be able to go on from the snapshot.
func TestALogThatEndsBeforeTheSnapshotIsDeletedAtStart(t *testing.T) {
	for _, c := range []struct {
		last, snap uint64
		kept       bool
	}{{39, 40, false}, {40, 40, true}, {41, 40, true}, {5, 0, true}} {
		s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
		if err := s.StoreLogs(entries(1, c.last, 3)); err != nil {
			t.Fatal(err)
		}
		snaps := new(fakeSnapshots)
		if c.snap != 0 {
			snaps.install("s", c.snap, 3)
		}
		if err := s.followSnapshots(snaps, func() { t.Error("raft is called stale, before it runs") }); err != nil {
			t.Fatal(err)
		}
		if last, err := s.LastIndex(); err != nil || (last == c.last) != c.kept {
			t.Errorf("log to %d, snapshot at %d: the log ends at %d, %v", c.last, c.snap, last, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, st := testLog(t, s.path) // what it says of its end has to be true at every start
		if err := s.followSnapshots(snaps, func() {}); err != nil {
			t.Fatal(err)
		}
		next := max(c.last, c.snap) + 1
		if err := s.StoreLogs(entries(next, next, 4)); err != nil || len(st.errs) > 0 {
			t.Errorf("log to %d, snapshot at %d: it does not go on: %v, stopped with %v", c.last, c.snap, err, st.errs)
		}
	}
}

func TestUnreadableSnapshotsStopTheLog(t *testing.T) {
	s, st := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	if err := s.StoreLogs(entries(1, 5, 1)); err != nil {
		t.Fatal(err)
	}
	snaps := new(fakeSnapshots)
	if err := s.followSnapshots(snaps, func() {}); err != nil {
		t.Fatal(err)
	}
	snaps.err = errors.New("input/output error")
	if err := s.DeleteRange(1, 5); err == nil || !strings.Contains(err.Error(), "list snapshots: input/output error") || len(st.errs) != 1 {
		t.Errorf("error %v, stopped with %v", err, st.errs)
	}
	if err := s.followSnapshots(snaps, func() {}); err == nil {
		t.Error("a log follows snapshots that cannot be listed")
	}
}

// TestTheMembersAreLookedForOnce: the watch of a node asks for them again and again,
// and the entry with them is the first to go from a log.
func TestTheMembersAreLookedForOnce(t *testing.T) {
	at := func(address raft.ServerAddress) raft.Configuration {
		return raft.Configuration{Servers: []raft.Server{{ID: "a", Address: address}}}
	}
	s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	store := func(first, last, members uint64, address raft.ServerAddress) {
		t.Helper()
		held := entries(first, last, 3)
		held[members-first].Type, held[members-first].Data = raft.LogConfiguration, raft.EncodeConfiguration(at(address))
		if err := s.StoreLogs(held); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(min, max uint64) {
		t.Helper()
		if err := s.DeleteRange(min, max); err != nil {
			t.Fatal(err)
		}
	}
	snaps := new(fakeSnapshots)
	snapshot := func(id string, index, members uint64, address raft.ServerAddress) {
		snaps.install(id, index, 3)
		snaps.list[0].ConfigurationIndex, snaps.list[0].Configuration = members, at(address)
	}
	if err := s.followSnapshots(snaps, func() {}); err != nil {
		t.Fatal(err)
	}
	want := func(when string, index uint64, address raft.ServerAddress) {
		t.Helper()
		known := func() {
			if got, err := s.membership(); err != nil || got.index != index || !slices.Equal(got.is.Servers, at(address).Servers) {
				t.Fatalf("%s the members are of %+v, %v, want entry %d with %s", when, got, err, index, address)
			}
		}
		known()
		if n := testing.AllocsPerRun(5, known); n > 20 { // an entry that is read takes more than one
			t.Errorf("%s asking for the members again takes %v allocations: the log is read", when, n)
		}
	}
	store(1, 500, 5, "h:1")
	want("at first", 5, "h:1")
	snapshot("own", 100, 5, "h:1")
	remove(1, 100)
	want("behind a snapshot", 5, "h:1")
	s.conf = nil
	want("after a start", 5, "h:1")
	store(501, 510, 503, "h:2")
	want("after a change", 503, "h:2")
	remove(490, 510) // a deposed leader's
	want("without it", 5, "h:1")
	snapshot("another's", 600, 590, "h:3")
	remove(101, 489)
	for _, index := range []uint64{590, 690} {
		if got, err := s.membership(); err != nil || got.index != index {
			t.Errorf("after an install the members are of %+v, %v, want entry %d", got, err, index)
		}
		snapshot("another's", 700, 690, "h:4") // with nothing to delete
	}
	store(701, 702, 702, "h:5")
	want("behind an install", 702, "h:5")
}

// Raft takes the configuration of a snapshot that it installs for the one in force,
// also when the log goes on from there with a newer one.
func TestAKeptLogMayHaveTheNewerMembers(t *testing.T) {
	for _, c := range []struct {
		at    uint64 // of the newest configuration
		stale int
	}{{20, 0}, {50, 1}} {
		s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
		held := entries(1, 60, 3)
		members := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a@h:1"}}}
		held[c.at-1].Type, held[c.at-1].Data = raft.LogConfiguration, raft.EncodeConfiguration(members)
		if err := s.StoreLogs(held); err != nil {
			t.Fatal(err)
		}
		snaps, stale := new(fakeSnapshots), 0
		if err := s.followSnapshots(snaps, func() { stale++ }); err != nil {
			t.Fatal(err)
		}
		snaps.install("late", 40, 3)
		if err := s.DeleteRange(1, 60); err != nil {
			t.Fatal(err)
		}
		wantEnds(t, s, 1, 60)
		if stale != c.stale {
			t.Errorf("with members of entry %d raft was called stale %d times, want %d", c.at, stale, c.stale)
		}
		for range 2 { // from memory, and from the log
			if got, err := s.membership(); err != nil || got.index != c.at || len(got.is.Servers) != 1 {
				t.Errorf("the members are of %+v, %v, want entry %d", got, err, c.at)
			}
			s.conf = nil
		}
		if err := s.DeleteRange(c.at, 60); err != nil { // a deposed leader's
			t.Fatal(err)
		}
		snaps.list[0].ConfigurationIndex = 7
		if got, err := s.membership(); err != nil || got.index != 7 {
			t.Errorf("without it they are of %+v, %v, want those of the snapshot", got, err)
		}
	}
}

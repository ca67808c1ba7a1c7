package fsm

import (
	"bytes"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// What is remembered of an index does not depend on the batches in which the
// entries came, and is there for the last thousand of them.
func TestDigestsOfTheLastEntriesAreRemembered(t *testing.T) {
	log := history(t)
	var want map[uint64]string
	for _, size := range []int{1, 7, 64} {
		f, _ := start(t, store.NewImage())
		got := map[uint64]string{}
		for batch := range slices.Chunk(log, size) {
			f.ApplyBatch(batch)
			if d, ok := f.DigestAt(f.Image().Index); !ok || d != f.Image().StateDigest() {
				t.Fatalf("in batches of %d, at index %d: %q, want %q", size, f.Image().Index, d, f.Image().StateDigest())
			}
			for _, e := range batch {
				got[e.Index], _ = f.DigestAt(e.Index)
			}
		}
		if want == nil {
			want = got
		}
		for _, e := range log {
			if got[e.Index] != want[e.Index] || got[e.Index] == "" {
				t.Errorf("in batches of %d, index %d: %q, want %q", size, e.Index, got[e.Index], want[e.Index])
			}
		}
	}

	f, _ := start(t, store.NewImage())
	for i := uint64(1); i <= 3*pastLength; i += 2 { // raft has indexes of its own
		f.Apply(configurationEntry(i))
	}
	last := f.Image().Index
	for _, c := range []struct {
		index uint64
		known bool
	}{{last, true}, {last - 1, false}, {last - pastLength + 2, true}, {last - pastLength, false}, {last + 2, false}, {0, false}} {
		if _, ok := f.DigestAt(c.index); ok != c.known {
			t.Errorf("index %d of %d is known: %v, want %v", c.index, last, ok, c.known)
		}
	}
}

// What was before another state took its place is no past of it.
func TestAnotherStateHasAnotherPast(t *testing.T) {
	log := history(t)
	whole, _ := start(t, store.NewImage())
	whole.ApplyBatch(log)
	for fact, other := range map[string]func(f *FSM) error{
		"installed": func(f *FSM) error { return restore(f, archive(t, whole.Image())) },
		"adopted":   func(f *FSM) error { return f.Adopt(reread(t, whole.Image())) },
	} {
		f, o := start(t, store.NewImage())
		f.ApplyBatch(log[:10])
		o.events = nil
		if err := other(f); err != nil {
			t.Fatal(err)
		}
		if d, ok := f.DigestAt(whole.Image().Index); !ok || d != whole.Image().StateDigest() {
			t.Errorf("%s: %q", fact, d)
		}
		if _, ok := f.DigestAt(log[9].Index); ok {
			t.Errorf("%s: what was at index %d is still said", fact, log[9].Index)
		}
		if len(o.events) != 2 {
			t.Errorf("%s: told %v", fact, o.events)
		}
	}
}

// An older state is adopted, too, and raft goes on behind it.
func TestAnAdoptedStateGoesOnBehindItsIndex(t *testing.T) {
	log := history(t)
	whole, _ := start(t, store.NewImage())
	whole.ApplyBatch(log)
	half, _ := start(t, store.NewImage())
	half.ApplyBatch(log[:len(log)/2])

	f := New(Config{Image: store.NewImage(), ClusterID: func() string { return cluster }, Files: nowhere{},
		Commit: func(publish.Committed) error { return nil }, Stop: func(err error) { t.Error(err) }})
	f.ApplyBatch(append(slices.Clone(log[:5]), tenantEntry(t, log[5].Index, "wrong")))
	f.ApplyBatch(log[6:])
	if err := f.Adopt(reread(t, half.Image())); err != nil {
		t.Fatal(err)
	}
	if f.Image().Index != half.Image().Index {
		t.Errorf("at index %d, want %d", f.Image().Index, half.Image().Index)
	}
	for _, e := range log[len(log)/2-3:] { // raft may deliver more than is needed
		f.Apply(e)
	}
	if got, want := f.Image().StateDigest(), whole.Image().StateDigest(); got != want {
		t.Errorf("the state is %s, want %s", got, want)
	}
}

// reread is an image of its own with the same state.
func reread(t *testing.T, img *store.Image) *store.Image {
	t.Helper()
	c, err := snapshot.Read(bytes.NewReader(archive(t, img)), snapshot.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Image
}

// BenchmarkRemembering is what it costs on the way of every entry.
func BenchmarkRemembering(b *testing.B) {
	f := New(Config{Image: store.NewImage()})
	f.tx.SetCounters(store.Counters{Revision: 1})
	var e raft.Log
	for b.Loop() {
		e.Index++
		f.past.note(e.Index, f.tx.StateSum())
	}
}

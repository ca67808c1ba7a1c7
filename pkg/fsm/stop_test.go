package fsm

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// unreadable are entries that this build must not skip, with what is said of them.
func unreadable(index uint64) map[string]*raft.Log {
	command := func(level uint32, kind mutation.Kind) *raft.Log {
		return entry(index, mutation.Command{ID: "r", Level: level, Mutations: []mutation.Mutation{{Kind: kind, Tenant: "acme"}}})
	}
	raw := func(b ...byte) *raft.Log { return &raft.Log{Index: index, Term: 2, Type: raft.LogCommand, Data: b} }
	return map[string]*raft.Log{
		`unknown type of mutation "tenant.merge"`:  command(1, "tenant.merge"),
		"level 2, this build knows levels up to 1": command(2, mutation.TenantDelete),
		"version 9, this build reads up to":        raw(9, 1),
		"version 0, this build reads up to":        raw(),
		"cut short":                                raw(1, 1, 40),
	}
}

// wantStopped checks that a state machine has stopped for one reason, shows what
// it showed before, and does nothing any more.
func wantStopped(t *testing.T, f *FSM, o *outside, shown *store.Image, reason error, says string) {
	t.Helper()
	if len(o.stops) != 1 || !errors.Is(o.stops[0], reason) || !strings.Contains(o.stops[0].Error(), says) {
		t.Fatalf("stopped with %v, want once, for %v that says %q", o.stops, reason, says)
	}
	events := len(o.events)
	out := f.ApplyBatch([]*raft.Log{tenantEntry(t, 1000, "late"), configurationEntry(1001)})
	if len(out) != 2 || out[0] != ErrStopped || out[1] != ErrStopped || f.Apply(tenantEntry(t, 1002, "later")) != ErrStopped {
		t.Errorf("after the stop entries are answered with %v", out)
	}
	if _, err := f.Snapshot(); !errors.Is(err, ErrStopped) {
		t.Errorf("after the stop Snapshot = %v", err)
	}
	other, _ := start(t, store.NewImage())
	other.Apply(tenantEntry(t, 2000, "other"))
	if err := restore(f, archive(t, other.Image())); !errors.Is(err, ErrStopped) {
		t.Errorf("after the stop Restore = %v", err)
	}
	if f.Image() != shown || len(o.events) != events || len(o.stops) != 1 {
		t.Errorf("after the stop index %d is shown, was %d; told %v, stops %v", f.Image().Index, shown.Index, o.events[events:], o.stops)
	}
}

// TestAnUnreadableEntryStops: skipping it would leave this replica quietly
// different from its peers. The error is the one for which a node exits with 12.
func TestAnUnreadableEntryStops(t *testing.T) {
	for says, bad := range unreadable(3) {
		for _, fact := range []string{"alone", "first of a batch", "last of a batch", "amid a batch"} {
			f, o := start(t, store.NewImage())
			f.Apply(tenantEntry(t, 1, "acme"))
			shown := f.Image()
			batch := map[string][]*raft.Log{
				"alone":            {bad},
				"first of a batch": {bad, tenantEntry(t, 4, "b")},
				"last of a batch":  {tenantEntry(t, 2, "a"), bad},
				"amid a batch":     {configurationEntry(2), bad, tenantEntry(t, 4, "b"), bad},
			}[fact]
			out := f.ApplyBatch(batch)
			at := slices.Index(batch, bad)
			for i, a := range out {
				if i >= at && a != ErrStopped {
					t.Errorf("%s, %s: entry %d is answered with %v", says, fact, batch[i].Index, a)
				}
			}
			if f.tx.Get(store.TenantPath("b")) != nil {
				t.Errorf("%s, %s: what came after it was applied", says, fact)
			}
			wantStopped(t, f, o, shown, mutation.ErrUnreadable, "log entry 3 (term 2): unreadable log entry: "+says)
		}
	}
}

// TestAnUnreadableEntryOfTheLocalLogIsTheCallersToReport: before raft starts
// there is nobody to stop.
func TestAnUnreadableEntryOfTheLocalLogIsTheCallersToReport(t *testing.T) {
	for says, bad := range unreadable(2) {
		f, o := start(t, store.NewImage())
		err := f.Replay([]*raft.Log{tenantEntry(t, 1, "acme"), bad, tenantEntry(t, 3, "b")})
		if !errors.Is(err, mutation.ErrUnreadable) || !strings.Contains(err.Error(), says) || len(o.stops) > 0 {
			t.Errorf("Replay = %v (stops %v), want an unreadable entry that says %q", err, o.stops, says)
		}
		if f.Image().Index != 1 || f.Image().Get(store.TenantPath("b")) != nil {
			t.Errorf("%s: index %d is shown, want 1", says, f.Image().Index)
		}
	}
}

// TestAnArchiveOfANewerLevelStops: it is intact, and this build cannot read what
// the cluster holds; a node exits with 12 for it too.
func TestAnArchiveOfANewerLevelStops(t *testing.T) {
	tx := store.NewImage().Begin()
	tx.SetCounters(store.Counters{Level: mutation.Level + 1})
	newer, _ := tx.Freeze(20, 2)
	f, o := start(t, store.NewImage())
	f.Apply(tenantEntry(t, 1, "acme"))
	shown := f.Image()
	if err := restore(f, archive(t, newer)); !errors.Is(err, ErrStopped) {
		t.Errorf("Restore = %v, want %v", err, ErrStopped)
	}
	wantStopped(t, f, o, shown, store.ErrNewer, "level 2")
}

// TestAFailedMarkerStops: what cannot be remembered as shown is not shown.
func TestAFailedMarkerStops(t *testing.T) {
	full := errors.New("no space left on device")
	for fact, do := range map[string]func(f *FSM){
		"of a change":        func(f *FSM) { f.Apply(tenantEntry(t, 2, "b")) }, // committed, whatever this node shows
		"of a configuration": func(f *FSM) { f.Apply(configurationEntry(2)) },
		"of a restored state": func(f *FSM) {
			other, _ := start(t, store.NewImage())
			other.Apply(tenantEntry(t, 5, "other"))
			if err := restore(f, archive(t, other.Image())); !errors.Is(err, ErrStopped) {
				t.Errorf("Restore = %v, want %v: raft must not take it for installed", err, ErrStopped)
			}
		},
	} {
		f, o := start(t, store.NewImage())
		f.Apply(tenantEntry(t, 1, "acme"))
		shown := f.Image()
		o.commitFail, o.events = full, nil
		do(f)
		if len(o.events) != 1 || !strings.HasPrefix(o.events[0], "commit") {
			t.Errorf("%s: told %v, want the marker alone", fact, o.events)
		}
		wantStopped(t, f, o, shown, full, ErrMarker.Error())
		if !errors.Is(o.stops[0], ErrMarker) {
			t.Errorf("%s: stopped with %v, want %v", fact, o.stops[0], ErrMarker)
		}
	}
}

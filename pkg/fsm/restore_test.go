package fsm

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestRestoreReplacesTheState: nothing of what was there before is left, and
// the log goes on from the archive.
func TestRestoreReplacesTheState(t *testing.T) {
	log := history(t)
	steady, _ := start(t, store.NewImage())
	for _, at := range []int{20, len(log) / 2, len(log) - 1} {
		leader, _ := start(t, store.NewImage())
		leader.ApplyBatch(log[:at])
		b := archive(t, leader.Image())

		f, o := start(t, store.NewImage())
		f.ApplyBatch([]*raft.Log{tenantEntry(t, 1, "stale"), epochEntry(t, 2), tenantEntry(t, 3, "initech")})
		old := f.Image()
		before := old.StateDigest()
		o.events = nil
		waited := make(chan error, 1)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		go func() { waited <- f.Wait(ctx, log[at-1].Index) }()
		if err := restore(f, b); err != nil {
			t.Fatal(err)
		}
		if err := <-waited; err != nil {
			t.Errorf("waiting for what the archive brought: %v", err)
		}
		cancel()
		img := f.Image()
		if img.Index != log[at-1].Index || img.Term != log[at-1].Term || img.StateDigest() != leader.Image().StateDigest() || img.Get(store.TenantPath("stale")) != nil {
			t.Errorf("restored: index %d, term %d, digest %s, want %d, %d, %s", img.Index, img.Term, img.StateDigest(), log[at-1].Index, log[at-1].Term, leader.Image().StateDigest())
		}
		if len(o.events) != 2 || o.events[0][:6] != "commit" || o.events[1][:7] != "replace" {
			t.Errorf("outside: %v, want the marker and then the files as a whole", o.events)
		}
		if old.StateDigest() != before || old.Get(store.TenantPath("stale")) == nil {
			t.Error("the image that readers held changed")
		}
		if !bytes.Equal(persisted(t, f), b) {
			t.Error("the archive of the restored state is another")
		}
		f.ApplyBatch(log[at:])
		if steady.Image().Index == 0 {
			steady.ApplyBatch(log)
		}
		if got, want := f.Image().StateDigest(), steady.Image().StateDigest(); got != want {
			t.Errorf("after the rest of the log the state is %s, want %s", got, want)
		}
	}
}

// TestAnArchiveThatIsNotNewerIsIgnored: raft goes on from its index, and what is
// known already is skipped; the state never steps back.
func TestAnArchiveThatIsNotNewerIsIgnored(t *testing.T) {
	log := history(t)
	for _, at := range []int{10, len(log) - 1, len(log)} {
		leader, _ := start(t, store.NewImage())
		leader.ApplyBatch(log[:at])
		f, o := start(t, store.NewImage())
		f.ApplyBatch(log)
		shown := f.Image()
		o.events = nil
		if err := restore(f, archive(t, leader.Image())); err != nil {
			t.Fatal(err)
		}
		for _, e := range log[at:] {
			if out := f.Apply(e); out != nil {
				t.Errorf("entry %d was known and is answered with %v", e.Index, out)
			}
		}
		if f.Image() != shown || len(o.events) > 0 {
			t.Errorf("an archive of index %d moved index %d to %d, told %v", leader.Image().Index, shown.Index, f.Image().Index, o.events)
		}
		next := tenantEntry(t, shown.Index+1, "after")
		if out, ok := f.Apply(next).(*Outcome); !ok || out.Results[0].Refusal != nil || f.Image().Get(store.TenantPath("after")) == nil {
			t.Error("the state machine does not go on")
		}
	}
}

// TestADamagedArchiveChangesNothing: it is taken as a whole or not at all, and
// the state machine goes on with what it had.
func TestADamagedArchiveChangesNothing(t *testing.T) {
	leader, _ := start(t, store.NewImage())
	leader.ApplyBatch([]*raft.Log{tenantEntry(t, 8, "acme"), epochEntry(t, 9)})
	good := archive(t, leader.Image())
	flipped := slices.Clone(good)
	flipped[len(flipped)/2] ^= 1
	var foreign bytes.Buffer
	if err := snapshot.Write(&foreign, leader.Image(), "0198f0c2-0000-7000-8000-000000000000"); err != nil {
		t.Fatal(err)
	}
	for fact, c := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":                {nil, store.ErrIntegrity},
		"a text file":          {[]byte("tenants:\n- acme\n"), store.ErrIntegrity},
		"cut short":            {good[:len(good)-20], store.ErrIntegrity},
		"cut in the middle":    {good[:len(good)/2], store.ErrIntegrity},
		"with a flipped bit":   {flipped, store.ErrIntegrity},
		"with bytes behind it": {append(slices.Clone(good), 0), store.ErrIntegrity},
		"of another cluster":   {foreign.Bytes(), nil},
	} {
		f, o := start(t, store.NewImage())
		f.Apply(tenantEntry(t, 1, "mine"))
		shown := f.Image()
		o.events = nil
		if err := restore(f, c.b); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("an archive %s: %v, want %v", fact, err, c.want)
		}
		if f.Image() != shown || len(o.events) > 0 || len(o.stops) > 0 {
			t.Errorf("an archive %s: index %d is shown, told %v, stops %v", fact, f.Image().Index, o.events, o.stops)
		}
		if _, err := f.Snapshot(); err != nil {
			t.Errorf("after an archive %s: %v", fact, err)
		}
		if out, ok := f.Apply(tenantEntry(t, 2, "next")).(*Outcome); !ok || out.Results[0].Refusal != nil || f.Image().Counts().Tenants != 2 {
			t.Errorf("after an archive %s the state machine does not go on", fact)
		}
	}
}

// TestReplicasAgreeWhateverHappenedToThem: one lives through an archive after
// every few entries, one is replayed from its log, one only applies.
func TestReplicasAgreeWhateverHappenedToThem(t *testing.T) {
	log := history(t)
	steady, _ := start(t, store.NewImage())
	restarted, _ := start(t, store.NewImage())
	for i, e := range log {
		steady.Apply(e)
		restarted.Apply(e)
		if i%8 != 0 {
			continue
		}
		b := persisted(t, restarted)
		if restarted, _ = start(t, store.NewImage()); i%16 == 0 {
			if err := restore(restarted, b); err != nil {
				t.Fatalf("entry %d: %v", e.Index, err)
			}
		} else if err := restarted.Replay(log[:i+1]); err != nil {
			t.Fatalf("entry %d: %v", e.Index, err)
		} else {
			restarted.Apply(e) // delivered again
		}
		if got, want := restarted.Image(), steady.Image(); got.StateDigest() != want.StateDigest() || got.Index != want.Index || got.Term != want.Term {
			t.Fatalf("after entry %d: index %d, term %d, digest %s, want %d, %d, %s", e.Index, got.Index, got.Term, got.StateDigest(), want.Index, want.Term, want.StateDigest())
		}
	}
	if !bytes.Equal(persisted(t, restarted), persisted(t, steady)) {
		t.Error("their archives differ")
	}
}

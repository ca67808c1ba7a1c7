package fsm

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestEveryEntryHasItsAnswer(t *testing.T) {
	f, o := start(t, store.NewImage())
	twice := entry(5)
	twice.Data = append([]byte{1, 2}, append(tenantEntry(t, 5, "globex").Data[2:], tenantEntry(t, 6, "acme").Data[2:]...)...)
	out := f.ApplyBatch([]*raft.Log{tenantEntry(t, 2, "acme"), configurationEntry(3), entry(4), twice})
	if len(out) != 4 || out[1] != nil {
		t.Fatalf("%d answers, %v for the configuration; want 4 and none", len(out), out[1])
	}
	if a := out[0].(*Outcome); a.Index != 2 || len(a.Results) != 1 || a.Results[0].Refusal != nil {
		t.Errorf("the first: %+v", a)
	}
	if a := out[2].(*Outcome); a.Index != 4 || len(a.Results) != 0 {
		t.Errorf("an entry without commands: %+v", a)
	}
	a := out[3].(*Outcome)
	if a.Index != 5 || len(a.Results) != 2 || a.Results[0].Refusal != nil || a.Results[1].Refusal == nil || a.Results[1].Refusal.Code != store.CodeExists {
		t.Errorf("an entry of two commands, the second refused: %+v", a)
	}
	if img := f.Image(); img.Index != 5 || img.Term != 2 || img.Revision() != 2 || img.Get(store.TenantPath("globex")) == nil {
		t.Errorf("index %d, term %d, revision %d", img.Index, img.Term, img.Revision())
	}
	if want := []string{"commit 2.5", "publish 5"}; !slices.Equal(o.events, want) || len(o.stops) > 0 {
		t.Errorf("outside: %v, stops %v, want %v", o.events, o.stops, want)
	}
}

func TestWhatIsToldForEachBatch(t *testing.T) {
	f, o := start(t, store.NewImage())
	for _, c := range []struct {
		fact  string
		batch []*raft.Log
		want  string
	}{
		{"a change is published", []*raft.Log{tenantEntry(t, 1, "acme")}, "commit 2.1 publish 1"},
		{"a configuration moves the index", []*raft.Log{configurationEntry(2)}, "commit 2.2 idle 2"},
		{"a refusal publishes nothing", []*raft.Log{tenantEntry(t, 3, "acme")}, "commit 2.3 idle 3"},
		{"what is below system/ is not published", []*raft.Log{epochEntry(t, 7)}, "commit 2.7 idle 7"},
		{"what was applied is not told again", []*raft.Log{epochEntry(t, 7), configurationEntry(2)}, ""},
		{"nothing is nothing", nil, ""},
		{"a batch is shown at its end", []*raft.Log{tenantEntry(t, 9, "a"), tenantEntry(t, 10, "b"), configurationEntry(12)}, "commit 2.12 publish 12"},
	} {
		o.events = nil
		if out := f.ApplyBatch(c.batch); len(out) != len(c.batch) {
			t.Errorf("%s: %d answers for %d entries", c.fact, len(out), len(c.batch))
		}
		if got := strings.Join(o.events, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.fact, got, c.want)
		}
	}
	if out := f.Apply(tenantEntry(t, 20, "c")); out.(*Outcome).Index != 20 {
		t.Errorf("Apply = %+v", out)
	}
}

// TestTheStateDoesNotDependOnTheBatches: raft groups entries as they come.
func TestTheStateDoesNotDependOnTheBatches(t *testing.T) {
	log := history(t)
	var want []byte
	for _, size := range []int{1, 3, 64, len(log)} {
		f, o := start(t, store.NewImage())
		for batch := range slices.Chunk(log, size) {
			f.ApplyBatch(batch)
		}
		got := persisted(t, f)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) || len(o.stops) > 0 {
			t.Errorf("in batches of %d the archive differs (stops %v)", size, o.stops)
		}
	}
}

// TestRedeliveredEntriesAreSkipped: after a start raft delivers again what was
// replayed; nothing of it takes effect twice, and nobody is told again.
func TestRedeliveredEntriesAreSkipped(t *testing.T) {
	log := history(t)
	steady, _ := start(t, store.NewImage())
	steady.ApplyBatch(log)
	for _, replayed := range []int{1, 30, len(log) - 1, len(log)} {
		f, o := start(t, store.NewImage())
		if err := f.Replay(log[:replayed]); err != nil {
			t.Fatal(err)
		}
		if len(o.events) > 0 || f.Image().Index != log[replayed-1].Index {
			t.Errorf("replaying %d entries told %v and came to index %d", replayed, o.events, f.Image().Index)
		}
		for i, e := range log {
			out := f.Apply(e)
			if i < replayed && (out != nil || len(o.events) > 0) {
				t.Errorf("entry %d was applied before and has the answer %v, told %v", e.Index, out, o.events)
			}
			if i >= replayed && e.Type == raft.LogCommand && out == nil {
				t.Errorf("entry %d has no answer", e.Index)
			}
		}
		if got, want := f.Image().StateDigest(), steady.Image().StateDigest(); got != want {
			t.Errorf("%d entries replayed: the state is %s, want %s", replayed, got, want)
		}
	}
}

func TestWaitEndsWithTheIndexOrItsContext(t *testing.T) {
	f, _ := start(t, store.NewImage())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := f.Wait(ctx, 0); err != nil {
		t.Errorf("waiting for what is there: %v", err)
	}
	done := make(chan error, 20)
	for range 10 {
		go func() { done <- f.Wait(ctx, 3) }()
		go func() { done <- f.Wait(ctx, 7) }()
	}
	for _, e := range []*raft.Log{tenantEntry(t, 1, "a"), configurationEntry(3), epochEntry(t, 6), tenantEntry(t, 8, "b")} {
		f.Apply(e)
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	over, end := context.WithCancel(ctx)
	end()
	if err := f.Wait(over, 9); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting with a context that is over: %v", err)
	}
}

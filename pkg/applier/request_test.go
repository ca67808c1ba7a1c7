package applier

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// again is a retry: the same request, completed anew at a later time.
func (w *world) again(c *mutation.Command, ms ...mutation.Mutation) *mutation.Command {
	retry := w.command(ms...)
	retry.ID, retry.Digest, retry.Op, retry.Asked = c.ID, c.Digest, c.Op, c.Asked
	return retry
}

// wantNothing applies a command that must change nothing but the time.
func wantNothing(t *testing.T, w *world, fact string, c *mutation.Command) Result {
	t.Helper()
	before := w.image()
	res := w.apply(c)
	after, touched := w.tx.Freeze(w.index, 1)
	want := before.Overlay()
	want.Touch(c.Time)
	if after.StateDigest() != want.StateDigest() || len(touched) > 0 {
		t.Errorf("%s: it changed %v %v", fact, touched, differing(before, after))
	}
	return res
}

func TestARetryGetsTheFirstAnswer(t *testing.T) {
	w := populated(t)
	for _, c := range []struct {
		fact  string
		first []mutation.Mutation
		retry func() []mutation.Mutation // as the leader completes it from the newer state
	}{
		{"a creation", one(w.createClient("acme", "app", machine)), func() []mutation.Mutation { return one(w.createClient("acme", "app", machine)) }},
		{"an update", one(w.updateClient("acme", "web", `{"description":"x"}`)), func() []mutation.Mutation { return one(w.updateClient("acme", "web", `{"description":"x"}`)) }},
		{"a rotation", one(w.rotate("acme", turned(w)...)), func() []mutation.Mutation { return one(w.rotate("acme", turned(w)...)) }},
		{"a deletion", one(w.delete(mutation.ClientDelete, "acme", "api", 0)), func() []mutation.Mutation {
			return one(mutation.Mutation{Kind: mutation.ClientDelete, Tenant: "acme", Name: "api"})
		}},
		{"a refusal", one(w.createClient("acme", "web", machine)), func() []mutation.Mutation { return one(w.createClient("acme", "web2", machine)) }},
	} {
		first := w.command(c.first...)
		want := w.apply(first)
		for range 2 {
			got := wantNothing(t, w, c.fact, w.again(first, c.retry()...))
			if got.Replayed == nil || got.Replayed.Index == 0 || got.Revision != want.Revision || !reflect.DeepEqual(got.Names, want.Names) || got.Stale {
				t.Errorf("%s: retried: %+v, want the answer %+v", c.fact, got, want)
			}
			if want.Refusal != nil {
				short := *want.Refusal
				short.Fields = nil
				if got.Refusal == nil || !reflect.DeepEqual(*got.Refusal, short) {
					t.Errorf("%s: refused with %v, want %v", c.fact, got.Refusal, want.Refusal)
				}
			} else if got.Refusal != nil {
				t.Errorf("%s: refused with %v", c.fact, got.Refusal)
			}
			w.restart() // the second retry comes after a restart
		}
	}
}

func TestARequestIDIsForOneRequest(t *testing.T) {
	w := populated(t)
	first := w.command(w.createClient("acme", "app", machine))
	w.apply(first)
	other := w.again(first, w.createClient("acme", "app2", machine))
	other.Digest[0]++
	if res := wantNothing(t, w, "another request", other); res.Refusal == nil || res.Refusal.Code != store.CodeRequestReused || res.Replayed != nil {
		t.Errorf("another request under the same id: %+v, want code %s", res, store.CodeRequestReused)
	}
	if res := wantNothing(t, w, "the first once more", w.again(first)); res.Replayed == nil {
		t.Errorf("the first request once more: %+v, want it replayed", res)
	}
}

// TestAStaleCompletionIsNoAnswer: the leader completes the request again under
// the same id, so the first attempt must not be remembered.
func TestAStaleCompletionIsNoAnswer(t *testing.T) {
	w := populated(t)
	m := w.updateClient("acme", "web", `{"description":"first"}`)
	w.must(w.updateClient("acme", "web", `{"description":"second"}`))
	first := w.command(m)
	if res := wantNothing(t, w, "a stale completion", first); !res.Stale || w.tx.Request(first.ID) != nil {
		t.Fatalf("a completion of an older document: %+v, want it stale and not remembered", res)
	}
	res := w.apply(w.again(first, w.updateClient("acme", "web", `{"description":"first"}`)))
	if res.Refusal != nil || w.tx.Request(first.ID) == nil || !bytes.Contains(w.tx.Get(clientAt("acme", "web")).Bytes, []byte(`"description": "first"`)) {
		t.Errorf("completed again: %+v", res)
	}
}

// TestACommandWithoutAnIDIsNotRemembered: the cluster's own commands may come
// any number of times.
func TestACommandWithoutAnIDIsNotRemembered(t *testing.T) {
	w := populated(t)
	records := func() (n int) {
		for range w.tx.Requests() {
			n++
		}
		return n
	}
	before := records()
	for term := range uint64(3) {
		c := w.command(w.system(mutation.SysEpoch, mutation.Epoch{Node: "id1", Term: term}))
		c.ID = ""
		if res := w.apply(c); res.Refusal != nil || res.Replayed != nil {
			t.Errorf("epoch %d: %+v", term, res)
		}
	}
	if got := records(); got != before {
		t.Errorf("%d requests are remembered, want %d", got, before)
	}
}

// TestARetryThatIsTooOldIsNeverExecuted: what the table no longer reaches back
// to may have been done. It reaches back ten minutes of command time, less when
// there were very many requests.
func TestARetryThatIsTooOldIsNeverExecuted(t *testing.T) {
	const memory = store.RequestMemory
	for _, c := range []struct {
		fact    string
		horizon store.Time // before the retry's own time; 0: no request was forgotten by number
		asked   store.Time // likewise; 0 when it is not known
		taken   bool
	}{
		{"asked just now", 0, 1, true},
		{"asked ten minutes ago", 0, memory, true},
		{"asked a microsecond earlier", 0, memory + 1, false},
		{"asked an hour ago", 0, hour, false},
		{"of unknown age", 0, 0, true},
		{"asked after the last request that was forgotten by number", minute, minute - 1, true},
		{"asked when that was made", minute, minute, false},
		{"asked before that", minute, minute + 1, false},
		{"of unknown age, after many were forgotten by number", minute, 0, true},
	} {
		for _, restarted := range []bool{false, true} {
			w := populated(t)
			w.now += hour
			w.must(w.updateTenant("acme", `{"display_name":"an hour later"}`))
			retry := w.command(w.createClient("acme", "app", machine))
			if c.horizon != 0 {
				counters := w.tx.Counters()
				counters.Horizon = retry.Time - c.horizon
				w.tx.SetCounters(counters)
			}
			if c.asked != 0 {
				retry.Asked = retry.Time - c.asked
			}
			if restarted {
				w.restart()
			}
			if c.taken {
				if res := w.apply(retry); res.Refusal != nil {
					t.Errorf("%s: refused: %v", c.fact, res.Refusal)
				}
				continue
			}
			if res := wantNothing(t, w, c.fact, retry); res.Refusal == nil || res.Refusal.Code != store.CodeRequestReused || res.Replayed != nil {
				t.Errorf("%s: %+v, want code %s", c.fact, res, store.CodeRequestReused)
			}
		}
	}
}

// TestWhatIsForgottenIsRefusedAndWhatIsNotIsReplayed: between the table and the
// refusal there is no moment at which a retry would be done twice.
func TestWhatIsForgottenIsRefusedAndWhatIsNotIsReplayed(t *testing.T) {
	const kept = 2 * store.RequestMemory
	for _, later := range []store.Time{0, store.RequestMemory - 1, store.RequestMemory, store.RequestMemory + second,
		kept - 3*second, kept - 2*second, kept - second - 1, kept - second, kept - second + 1, kept, kept + hour} {
		w := populated(t)
		first := w.command(w.createClient("acme", "app", machine))
		first.Asked = first.Time // sent and committed within a microsecond
		w.apply(first)
		w.now += later
		w.must(w.delete(mutation.ClientDelete, "acme", "app", 0)) // forgets what is too old
		retry := w.again(first, w.createClient("acme", "app", machine))
		res := wantNothing(t, w, "a retry after "+later.Std().Sub(store.Time(0).Std()).String(), retry)
		if remembered := w.tx.Request(first.ID) != nil; remembered != (res.Replayed != nil) || !remembered && res.Refusal == nil {
			t.Errorf("%d us later: remembered %v, answered %+v", later, remembered, res)
		}
	}
}

// TestTimeNeverFalls: a command with an earlier time than the last does not
// move the state back.
func TestTimeNeverFalls(t *testing.T) {
	w := populated(t)
	last := w.tx.Counters().Time
	for _, ms := range [][]mutation.Mutation{one(w.createClient("acme", "app", machine)), one(w.createClient("acme", "web", machine))} {
		c := w.command(ms...)
		c.Time = begin
		w.apply(c)
		w.apply(c) // replayed
		if got := w.tx.Counters().Time; got != last {
			t.Errorf("the time of the state is %s, want %s", got, last)
		}
	}
}

package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestTheTimeOfAClusterIsTheMedianOfItsClocks(t *testing.T) {
	t.Parallel()
	at := func(seconds ...int) (out []time.Time) {
		for _, s := range seconds {
			out = append(out, time.Unix(int64(s), 0))
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		shown  []time.Time
		voters int
		want   int64
		known  bool
	}{
		{"three that agree", at(100, 101, 99), 3, 100, true},
		{"one far ahead", at(100, 9_000_000, 99), 3, 100, true},
		{"one far behind", at(-9_000_000, 100, 101), 3, 100, true},
		{"two of three, the earlier", at(9_000_000, 100), 3, 100, true},
		{"four of five, the earlier one of the middle", at(1, 9_000_000, 100, 104), 5, 100, true},
		{"two of four are no majority", at(100, 101), 4, 0, false},
		{"one of three", at(100), 3, 0, false},
		{"an only voter has nobody to ask", at(100), 1, 0, false},
	} {
		got, known := medianOf(tt.shown, tt.voters)
		if known != tt.known || known && got.Unix() != tt.want {
			t.Errorf("%s: %v, %v, want %d, %v", tt.name, got.Unix(), known, tt.want, tt.known)
		}
	}
}

func TestAClockIsReadWithHalfOfTheRoundTrip(t *testing.T) {
	t.Parallel()
	var c clocks
	shown := time.Now().Add(time.Hour)
	c.read("a", shown.UnixMicro(), time.Now().Add(-800*time.Millisecond))
	r, ok := c.of("a")
	if got := r.now().Sub(shown); !ok || got < 400*time.Millisecond || got > 500*time.Millisecond {
		t.Errorf("a clock read in 800 ms is %s further, want half of that", got)
	}
	c.read("b", shown.UnixMicro(), time.Now().Add(-1100*time.Millisecond))
	if _, ok := c.of("b"); ok {
		t.Error("a clock was read that took more than a second")
	}
	c.read("c", 0, time.Now())
	if _, ok := c.of("c"); ok {
		t.Error("a clock was read of somebody who said nothing of it")
	}
	c.m["a"] = reading{shown, time.Now().Add(-2 * clockMemory)}
	if _, ok := c.of("a"); ok {
		t.Error("a clock still counts that was read long ago")
	}
}

// Invariant 2, with a leader whose clock jumps ahead: by its time the request
// would be forgotten, and its retry, a moment later, be executed again.
func TestALeaderWhoseClockJumpsAheadTakesTheTimeOfTheOthers(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	c.judged()
	leader := c.leader()
	rotate := func(age time.Duration) *mutation.Answer {
		return c.must(&mutation.Request{ID: "rotate", AgeUS: age.Microseconds(), Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	}
	first := rotate(0)
	c.off.Store(leader.Name(), 365*24*time.Hour)
	c.must(clientNamed("acme", "one")) // at once, before anybody has looked at a clock
	c.until("another leader", func() error {
		if n := c.leader(); n == leader {
			return errors.New(n.Name() + " leads on")
		}
		return nil
	})
	c.must(clientNamed("acme", "two"))
	if again := rotate(5 * time.Second); !again.Replayed || again.Revision != first.Revision {
		t.Errorf("the retry was executed: revision %d, the first was %d", again.Revision, first.Revision)
	}
	if at, now := c.leader().Image().Counters().Time.Std(), time.Now(); at.After(now.Add(time.Minute)) {
		t.Errorf("the time of the cluster is %s, %s ahead", at, at.Sub(now))
	}
	c.until("n1 says that its clock is off", func() error {
		if p := leader.Progress(); p.SkewMS < (364 * 24 * time.Hour).Milliseconds() {
			return fmt.Errorf("%d ms", p.SkewMS)
		}
		return nil
	})
	for _, n := range c.running() {
		if off := n.skew(); n != leader && off != 0 {
			t.Errorf("%s says that its clock is off by %s", n.Name(), off)
		}
	}
}

// judged waits until every node knows the time of the cluster.
func (c *trio) judged() {
	c.t.Helper()
	c.until("the time of the cluster", func() error {
		for _, n := range c.running() {
			if n.median.Load() == nil {
				return errors.New(n.Name() + " does not know it")
			}
		}
		return nil
	})
}

// A clock that is wrong ends nothing: neither while its node leads, nor with a
// leader that follows.
func TestALeaderWhoseClockIsOffProposesNoExpiry(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	for range 3 {
		c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	}
	c.judged()
	retiring := func() (count int) {
		ks, err := store.Stored[store.Keyset](c.leader().Image().Get(store.KeysetPath("acme")))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range ks.Keys {
			if k.State == store.KeyRetiring {
				count++
			}
		}
		return count
	}
	before := retiring()
	if before == 0 {
		t.Fatal("no key is retiring")
	}
	leads := c.leader()
	for _, n := range c.running() { // nobody is better: the leader leads on
		if n != leads {
			c.says.Store(n.Name(), func(p *Progress) { p.Degraded, p.Reason = true, "io_error" })
		}
	}
	leader := c.leader()
	c.off.Store(leader.Name(), 26*time.Hour)
	c.until("it knows", func() error {
		if leader.skew() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	done := make(chan bool)
	go func() { done <- leader.retireKeys(leader.lead.Load()) }() // what the leader does four times a second
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("it goes on and on")
	}
	if got := retiring(); got != before {
		t.Errorf("%d keys are retiring, %d were", got, before)
	}
	c.off.Store(leader.Name(), time.Duration(0))
	c.clock.Store(int64(26 * time.Hour)) // now it is so late for everybody
	c.until("the end of the retiring keys", func() error {
		if got := retiring(); got != 0 {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
}

// Nor does one end anything that has nobody to compare its clock with: after all
// nodes were started anew the first leader has heard nobody yet.
func TestALeaderThatHasHeardNoOtherClockProposesNoExpiry(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	for range 3 {
		c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	}
	leader := c.leader()
	_, at, _ := leader.Image().NextExpiry()
	mute := map[string]bool{}
	for _, n := range c.running() {
		mute[n.Name()] = n != leader
	}
	c.mu.Lock()
	c.mute = mute
	c.mu.Unlock()
	c.until("it has heard nobody", func() error {
		leader.clocks.mu.Lock()
		leader.clocks.m = nil
		leader.clocks.mu.Unlock()
		if leader.median.Load() != nil {
			return errors.New("it has")
		}
		return nil
	})
	c.off.Store(leader.Name(), 26*time.Hour)
	leader.retireKeys(leader.lead.Load())
	if _, is, ok := leader.Image().NextExpiry(); !ok || is != at {
		t.Errorf("the next key to end is that of %s, %v, it was that of %s", is, ok, at)
	}
}

// It hands leadership over once, to a node that tells the time, and does not get
// it back.
func TestALeaderWhoseClockIsOffIsFollowedByOneThatTellsTheTime(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.judged()
	leader := c.leader()
	var other string
	for _, n := range c.running() {
		if n != leader {
			other = n.Name()
			break
		}
	}
	c.off.Store(other, 4*time.Second) // tolerable, but it would soon think the same of itself
	c.off.Store(leader.Name(), -time.Hour)
	c.until("the third leads", func() error {
		if n := c.leader(); n == leader || n.Name() == other {
			return errors.New(n.Name() + " leads")
		}
		return nil
	})
	if _, err := c.leader().chosen(leader.Name()); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "off the others' by -1h0m") {
		t.Errorf("the one whose clock is off may lead again: %v", err)
	}
}

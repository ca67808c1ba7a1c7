package node

import (
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
)

// A leader that cannot hand over does not try all the time: each attempt holds up
// everybody's changes.
func TestALeaderThatCannotHandOverTriesLessAndLess(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	leader, to := c.leader(), c.others()[0].Name()
	key := named(leader.Image())[0].ID
	c.withheld.Store(&key)
	leader.handing.Store(&to) // raft is at it, and does not come to an end
	whole := leader.ring()
	leader.keys.ring.Store(&pki.Keyring{})

	var again reluctance
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		leader.yield(&again)
		before := again
		leader.yield(&again)
		if again != before {
			t.Fatalf("it tries again at once: %+v, then %+v", before, again)
		}
		if again.pause != want*time.Second || time.Until(again.from) > again.pause {
			t.Fatalf("it waits %s, until in %s; want %d s", again.pause, time.Until(again.from), want)
		}
		again.from = time.Now()
	}
	leader.keys.ring.Store(&whole)
	leader.yield(&again)
	if again != (reluctance{}) {
		t.Errorf("it remembers a cause that is gone: %+v", again)
	}
	leader.handing.Store(nil)
}

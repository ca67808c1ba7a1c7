package cluster

import (
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// A leader that stood still does not know of it when it goes on: it must not
// answer from what it knew, nor acknowledge what the others never heard of.
func TestALeaderThatStoodStillAnswersNothingOld(t *testing.T) {
	c := live.FoundApart(t, 3)
	r := count(t, c, "acme")
	pauses := []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second}
	if testing.Short() {
		pauses = pauses[:2]
	}
	for _, pause := range pauses {
		t.Run(pause.String(), func(t *testing.T) {
			c := c.As(t)
			r.more(t)
			still := c.Leader()
			still.Pause()
			over := time.After(pause)
			if pause > 3*time.Second { // long enough for another to lead
				r.moves(t, "while the leader stood still")
			}
			<-over
			still.Resume()
			r.serves(t, still, "after it stood still for "+pause.String())
			r.moves(t, "afterwards")
		})
	}
	r.end()
	c.Identical()
}

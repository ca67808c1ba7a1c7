package live

import (
	"testing"
	"time"
)

// A node that is paused answers nobody, and goes on as if nothing had been. It
// counts as running, and goes with the test all the same.
func TestAPausedNodeStandsStill(t *testing.T) {
	c := Found(t, 1)
	n := c.Nodes[0]
	n.Pause()
	r, err := Run(c.Dir, nil, "tenant", "list", "-s", n.Server(), "--timeout", "300ms")
	if err != nil || r.Exit != 10 {
		t.Errorf("exit %d, %v of a command to a node that stands still\n%s", r.Exit, err, r.Stderr)
	}
	if !n.Running() || !n.Paused() {
		t.Error("it does not count as running and paused")
	}
	n.Resume()
	c.Must(n.Server(), "tenant", "list")
	n.Pause()
	n.Kill()
	if n.Running() || n.Paused() {
		t.Error("it was killed and counts as running")
	}
	n.Start()
	c.Await(n)
	n.Pause() // until the test ends
}

// A node has the clock that the test gave it, from its next start.
func TestANodeHasTheClockOfTheTest(t *testing.T) {
	c := New(t)
	n := c.Add()
	n.Clock = time.Hour
	c.Found()
	c.Must(n.Server(), "tenant", "create", "acme")
	got := Decode[struct {
		CreatedAt time.Time `json:"created_at"`
	}](t, c.Must(n.Server(), "tenant", "get", "acme", "-o", "json"))
	if off := time.Until(got.CreatedAt); off < 55*time.Minute || off > time.Hour {
		t.Errorf("the clock is off by %s, not by an hour", off)
	}
}

package cluster

import (
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// Where the clocks of the nodes differ by minutes, they make a cluster and write
// on, and the time of commands never falls, whoever leads.
func TestClocksThatDifferByMinutes(t *testing.T) {
	c := live.NewApart(t)
	for _, off := range []time.Duration{0, 4 * time.Minute, -4 * time.Minute} {
		c.Add().Clock = off
	}
	c.Found()
	c.Must(c.Nodes[0].Server(), "tenant", "create", "acme")
	last := time.Time{}
	led := map[string]bool{}
	change := func(turn int, nodes ...*live.Node) {
		t.Helper()
		leader := c.Leader()
		led[leader.Name] = true
		for _, n := range nodes {
			c.Must(n.Server(), "tenant", "update", "acme", "--display-name", leader.Name+" through "+n.Name+" in turn "+string(rune('a'+turn)))
			got := live.Decode[struct {
				Updated time.Time `json:"updated_at"`
			}](t, c.Must(n.Server(), "tenant", "get", "acme", "-o", "json"))
			if !got.Updated.After(last) {
				t.Errorf("%s leads: a command at %s follows one at %s", leader.Name, got.Updated, last)
			}
			last = got.Updated
		}
	}
	for turn := 0; turn < 8 && len(led) < 3; turn++ {
		change(turn, c.Nodes...)
		rest, leader := c.Followers(), c.Leader()
		leader.Kill()
		awaitLeader(t, c, rest)
		change(turn, rest...) // one that is off leads while there is no better one
		leader.Start()
		c.Await(leader)
		c.Voting()
	}
	if len(led) < 2 {
		t.Errorf("only %v has led", led)
	}
	c.Identical()
}

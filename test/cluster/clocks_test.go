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
	change := func(who string) {
		t.Helper()
		for _, n := range c.Nodes {
			if !n.Running() {
				continue
			}
			c.Must(n.Server(), "tenant", "update", "acme", "--display-name", who+" leads; through "+n.Name)
			got := live.Decode[struct {
				Updated time.Time `json:"updated_at"`
			}](t, c.Must(n.Server(), "tenant", "get", "acme", "-o", "json"))
			if !got.Updated.After(last) {
				t.Errorf("%s leads: a command at %s follows one at %s", who, got.Updated, last)
			}
			last = got.Updated
		}
	}
	change("n1")
	leader, rest := c.Leader(), c.Followers()
	leader.Kill()
	change(awaitLeader(t, c, rest).Name) // whose clock is off, whoever it is
	leader.Start()
	c.Await(leader)
	change("somebody")
	c.Identical()
}

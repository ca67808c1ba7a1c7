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

	// A leader whose clock is off is no node that is well, and that may be the one.
	live.Until(t, "every node has published everything", func() bool {
		st := c.Status()
		for _, m := range st.Nodes {
			if m.PublishedIndex != st.CommitIndex {
				return false
			}
		}
		return st.Leader != ""
	})
	first := live.Tree(t, c.Nodes[0].Data())
	for _, n := range c.Nodes[1:] {
		live.SameTree(t, "node "+n.Name+" against n1", live.Tree(t, n.Data()), first)
	}
}

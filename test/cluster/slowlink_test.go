package cluster

import (
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// A follower behind a slow link holds up nobody, and calls no election; one whose
// link stalls comes back when it moves again.
func TestASlowLinkToAFollowerHoldsUpNobody(t *testing.T) {
	c := live.FoundApart(t, 3)
	r := count(t, c, "acme")
	leader, far := c.Leader(), c.Followers()[0]
	slow := func(delay time.Duration, rate int) {
		for _, n := range c.Nodes {
			if n != far {
				c.Net.Slow(n, far, delay, rate)
				c.Net.Slow(far, n, delay, rate)
			}
		}
		t.Log(c.Net.Broken())
	}
	term := c.StatusAt(leader).Term
	slow(100*time.Millisecond, 0)
	for range 30 {
		r.more(t)
	}
	r.serves(t, far, "behind a delay of 100 ms")
	if st := c.StatusAt(leader); st.Term != term || st.Leader != leader.Name {
		t.Errorf("a delay of 100 ms, and %s leads in term %d, not %s in term %d", st.Leader, st.Term, leader.Name, term)
	}
	slow(0, 1) // not one packet in a second: it stalls
	for range 30 {
		r.more(t)
	}
	c.Net.Heal()
	r.serves(t, far, "after the link stalled")
	r.end()
	c.Identical()
}

// A node joins through a link that is slow in both ways, and votes.
func TestANodeJoinsThroughASlowLink(t *testing.T) {
	c := live.FoundApart(t, 2)
	c.Must(c.Nodes[0].Server(), "tenant", "create", "acme")
	c.Flood(live.ManyCallers, "acme", 0, 300)
	far := c.Add("--join", c.Nodes[0].Server())
	for _, n := range c.Nodes[:2] {
		c.Net.Slow(n, far, 100*time.Millisecond, 256<<10)
		c.Net.Slow(far, n, 100*time.Millisecond, 256<<10)
	}
	began := time.Now()
	far.Start()
	c.Await(far)
	c.Voting()
	t.Logf("it votes after %s", time.Since(began).Round(time.Millisecond))
	c.Must(far.Server(), "tenant", "create", "globex")
	c.Must(far.Server(), "tenant", "get", "globex")
	c.Identical()
}

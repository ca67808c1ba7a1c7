package cluster

import (
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

// A node that can send but not hear, or hear but not send, holds up nobody, and
// answers no read from an old state.
func TestALinkThatIsCutOneWayHoldsUpNobody(t *testing.T) {
	c := live.FoundApart(t, 3)
	r := count(t, c, "acme")
	for _, tt := range []struct {
		name          string
		leader, sends bool // who it is, and what it still can
	}{
		{"a leader that hears nobody", true, true},
		{"a leader that nobody hears", true, false},
		{"a follower that hears nobody", false, true},
		{"a follower that nobody hears", false, false},
	} {
		if testing.Short() && !tt.leader {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			c := c.As(t)
			odd := c.Leader()
			if !tt.leader {
				odd = c.Followers()[0]
			}
			var others []*live.Node
			for _, n := range c.Nodes {
				if n == odd {
					continue
				}
				others = append(others, n)
				if tt.sends {
					c.Net.Cut(n, odd)
				} else {
					c.Net.Cut(odd, n)
				}
			}
			t.Log(c.Net.Broken())
			r.moves(t, "with "+tt.name)
			awaitLeader(t, c, others)
			at := r.answered(odd)
			for range 20 {
				r.more(t)
			}
			if now := r.answered(odd); now > at+1 { // one may have begun before it knew
				t.Errorf("%s has answered %d reads", odd.Name, now-at)
			}
			c.Net.Heal()
			r.serves(t, odd, "after healing")
			r.moves(t, "after healing")
		})
	}
	r.end()
	c.Identical()
}

// awaitLeader waits until one of these nodes leads, as all of them see it.
func awaitLeader(t *testing.T, c *live.Cluster, among []*live.Node) (leader *live.Node) {
	t.Helper()
	live.Until(t, "one of them leads", func() bool {
		leader = nil
		names := map[string]bool{}
		for _, n := range among {
			names[c.StatusAt(n).Leader] = true
		}
		for _, n := range among {
			if len(names) == 1 && names[n.Name] {
				leader = n
			}
		}
		return leader != nil
	})
	return leader
}

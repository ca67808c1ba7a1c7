package cluster

import (
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

// Of two halves the larger one goes on and the smaller one answers nothing,
// whichever of them had the leader.
func TestOfTwoHalvesTheLargerGoesOn(t *testing.T) {
	c := live.FoundApart(t, 5)
	r := count(t, c, "acme")
	for _, tt := range []struct {
		name  string
		leads bool // the smaller half has the leader
	}{
		{"with a leader in the smaller half", true},
		{"with a leader in the larger half", false},
	} {
		if testing.Short() && !tt.leads {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			c := c.As(t)
			leader, rest := c.Leader(), c.Followers()
			small, large := rest[:2], append([]*live.Node{leader}, rest[2:]...)
			if tt.leads {
				small, large = []*live.Node{leader, rest[0]}, rest[1:]
			}
			c.Net.Split(small, large)
			r.moves(t, tt.name)
			awaitLeader(t, c, large)
			var before [2]int64
			for i, n := range small {
				before[i] = r.answered(n)
				says(t, typed(t, c, live.Patience, n.Server(), "cluster", "status"), 0, "leader     none", "0 voters; 2 of 5 are in reach, and writes need 3")
			}
			for _, n := range large {
				r.serves(t, n, "in the larger half")
			}
			for i, n := range small {
				if now := r.answered(n); now > before[i] {
					t.Errorf("%s has answered %d reads in the smaller half", n.Name, now-before[i])
				}
			}
			c.Net.Heal()
			for _, n := range small {
				r.serves(t, n, "after healing")
			}
		})
	}
	r.end()
	c.Identical()
}

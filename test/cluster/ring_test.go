package cluster

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// Where each of five nodes reaches its two neighbours only, a leader and its
// neighbours are a majority: writes go on, and who does not hear the leader
// calls no election that ends its time.
func TestARingWritesOn(t *testing.T) {
	c := live.FoundApart(t, 5)
	r := count(t, c, "acme")
	r.moves(t, "before")
	leader := c.Leader()
	at := 0
	for i, n := range c.Nodes {
		if n == leader {
			at = i
		}
		for j := i + 2; j < len(c.Nodes) && j-i < len(c.Nodes)-1; j++ {
			c.Net.Cut(n, c.Nodes[j])
			c.Net.Cut(c.Nodes[j], n)
		}
	}
	t.Logf("%s leads; %s", leader.Name, c.Net.Broken())
	neighbours := []*live.Node{leader, c.Nodes[(at+1)%5], c.Nodes[(at+4)%5]}
	r.moves(t, "in the ring")
	term := c.StatusAt(leader).Term
	for _, n := range neighbours {
		r.serves(t, n, "in the ring")
	}
	// Long enough for those who hear no leader to ask for votes, several times.
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		r.more(t)
	}
	if st := c.StatusAt(leader); st.Leader != leader.Name || st.Term != term {
		t.Errorf("%s led in term %d, and now %s leads in term %d", leader.Name, term, st.Leader, st.Term)
	}
	c.Net.Heal()
	for _, n := range c.Nodes {
		r.serves(t, n, "after healing")
	}
	r.end()
	c.Identical()
}

// Links that break and come back all the time, in either direction, lose nothing
// and show nothing that is old.
func TestFlappingLinksLoseNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := live.FoundApart(t, 3)
	r := count(t, c, "acme")
	flaps := 60
	if testing.Short() {
		flaps = 20
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range flaps {
		<-tick.C
		from := random.IntN(3)
		to := (from + 1 + random.IntN(2)) % 3
		if random.IntN(5) < 2 {
			c.Net.Cut(c.Nodes[from], c.Nodes[to])
		} else {
			c.Net.Mend(c.Nodes[from], c.Nodes[to])
		}
	}
	c.Net.Heal()
	r.moves(t, "after healing")
	for _, n := range c.Nodes {
		r.serves(t, n, "after healing")
	}
	r.end()
	t.Logf("%d writes", r.acked.Load())
	c.Identical()
}

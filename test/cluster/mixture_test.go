package cluster

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/histories"
	"github.com/cpctl/cpctl/test/live"
)

var (
	mixFor    = flag.Duration("for", 0, "how long the mixture of faults goes on, at least; 0: as long as it takes")
	mixFaults = flag.Int("faults", 0, "how many faults the mixture has, at least; 0: as many as end soon")
	mixSeed   = flag.Uint64("seed", 0, "decides the faults of the mixture, and what its clients ask for; 0: another one each time")
	mixNodes  = flag.Int("nodes", 5, "voters of the mixture's cluster")
)

// Snapshots are taken after a few entries, and the log behind them is as short
// as it may be, so that a node that was away is given a snapshot.
var mixtureFlags = []string{"--snapshot-threshold", "16", "--snapshot-interval", "1s", "--trailing-logs", "1024"}

// Invariant 2 and "any node answers", with everything that can happen to a
// cluster, several things at a time: what its clients were told has an order that
// explains it, every acknowledged write took effect once, and all nodes agree.
func TestAMixtureOfFaults(t *testing.T) {
	faults := *mixFaults
	if faults == 0 && *mixFor == 0 {
		if faults = 12; testing.Short() {
			faults = 3
		}
	}
	m := newMixture(t, live.FoundApart(t, *mixNodes, mixtureFlags...))
	t.Logf("seed %d; the network between the nodes: %s", m.seed, m.Net)
	for m.counted < faults || m.now() < *mixFor {
		m.part(m.draw())
	}
	m.report()
}

// The same of a cluster to which nothing happens: many clients at once, on every
// node. It is short, and finds what needs no fault to go wrong.
func TestEveryNodeAnswersManyClientsAlike(t *testing.T) {
	m := newMixture(t, live.Found(t, 3, mixtureFlags...))
	for range 2 {
		m.part(nil)
	}
	if did := m.tally.operations; did[histories.Read][histories.Done] < 20 || did[histories.Update][histories.Done] < 20 {
		t.Errorf("too little was done to say anything: %v", did)
	}
	m.report()
}

// A leader stands still while the others elect another one, and goes on with what
// it was asked meanwhile: it knows of nothing, and says nothing that is old.
func TestALeaderThatWasReplacedSaysNothingOld(t *testing.T) {
	m := newMixture(t, live.Found(t, 3, mixtureFlags...))
	stands := &fault{name: "pause", do: pauseLeader}
	for range times(2, 1) {
		var plans []plan
		for i := range 3 {
			plans = append(plans, plan{stands, time.Duration(i) * 3 * time.Second, 1500 * time.Millisecond, m.rng(1 << 32)})
		}
		m.part(plans)
	}
	m.report()
}

// times is how often something is done, and how often if it is to be short.
func times(whole, short int) int {
	if testing.Short() {
		return short
	}
	return whole
}

// mixture is a cluster with clients whose histories are judged, part by part: a
// part has faults, their end, and documents of its own.
type mixture struct {
	*live.Cluster // with nodes that have left
	t             *testing.T
	seed          uint64
	began         time.Time
	ledger        *histories.Ledger
	number        int // of parts
	present       *part
	schedule      []*happening
	counted       int // faults
	tally         tally
	gone          map[*live.Node]bool // asked to leave, and has left
	away          map[*live.Node]bool // killed, and not started again yet
	leaving       map[*live.Node]bool // asked to leave: it may end by itself
	troubles      []*trouble          // of the network, that last
}

func newMixture(t *testing.T, c *live.Cluster) *mixture {
	seed := *mixSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	m := &mixture{Cluster: c, t: t, seed: seed, began: time.Now(), tally: newTally(), gone: map[*live.Node]bool{},
		away: map[*live.Node]bool{}, leaving: map[*live.Node]bool{}}
	m.ledger = histories.NewLedger(c.Settled().Nodes[0].Revision)
	m.tally.term = c.Status().Term
	t.Cleanup(m.confess)
	return m
}

// now is the time on the clock of the clients.
func (m *mixture) now() time.Duration { return time.Since(m.began) }

// rng is a source for one purpose of one part.
func (m *mixture) rng(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(m.seed, uint64(m.number)<<32|purpose))
}

// command repeats a run.
func (m *mixture) command() string {
	s := fmt.Sprintf("go test ./test/cluster -v -run '^%s$' -timeout 0 -args -seed %d", m.t.Name(), m.seed)
	if m.Net != nil {
		s += fmt.Sprintf(" -faults %d -nodes %d", m.counted, *mixNodes)
	}
	return s
}

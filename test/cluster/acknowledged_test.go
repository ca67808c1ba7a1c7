package cluster

import (
	"slices"
	"testing"

	"github.com/cpctl/cpctl/test/dataset"
	"github.com/cpctl/cpctl/test/live"
)

// Invariant 2: an acknowledged write survives kill -9 and took effect exactly
// once. Invariant 4: the node that answered shows it in its files. Invariant 1:
// the files of nodes that applied the same log are the same.
func TestAnAcknowledgedWriteSurvivesAndTookEffectOnce(t *testing.T) {
	size := dataset.Size{Tenants: 50, Clients: 1450, Scopes: 398, Rotations: 2} // with 102 rotations 2,000 commands
	if testing.Short() {
		size = dataset.Size{Tenants: 10, Clients: 200, Scopes: 68, Rotations: 2}
	}
	items := dataset.New(size)
	c := found(t, 3)

	// The leader is killed twice and started again, in the middle of what
	// sixteen processes have begun.
	var away *live.Node
	killLeader := func() {
		away = c.Leader()
		away.Kill()
		t.Logf("killed %s, the leader", away.Name)
	}
	startAgain := func() {
		t.Logf("%s leads; started %s again", c.Leader().Name, away.Name)
		away.Start()
	}
	// While the clients are made: they wait for nothing but the tenant and its
	// scopes, so that writers without their node do not hold up the others.
	isClient := func(i dataset.Item) bool { return i.Ref.Kind == "client" }
	first, clients := slices.IndexFunc(items, isClient), size.Clients
	turns := map[int]func(){
		first + clients/10:   killLeader,
		first + 3*clients/10: startAgain,
		first + 5*clients/10: func() { c.Await(away); killLeader() },
		first + 7*clients/10: startAgain,
	}
	acks := c.load(items, func(begun int) {
		if turn := turns[begun]; turn != nil {
			turn()
		}
	})
	c.Await(away)

	if len(acks) != len(items) {
		t.Errorf("%d of %d commands were acknowledged", len(acks), len(items))
	}
	replayed := 0
	for _, a := range acks {
		if a.Replayed {
			replayed++
		}
	}
	t.Logf("%d commands settled an unknown outcome with the same request id", replayed)
	wantAcknowledged(t, c.Identical(), acks)
}

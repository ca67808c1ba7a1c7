package cluster

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// A command that knows several nodes asks the next one when the first stands
// still, or the leader that a node forwards to does.
func TestACommandGoesOnFromANodeThatStandsStill(t *testing.T) {
	c := live.FoundApart(t, 3)
	c.Must(c.Nodes[0].Server(), "tenant", "create", "acme")
	within := func(what string, most time.Duration, f func()) {
		t.Helper()
		began := time.Now()
		f()
		took := time.Since(began)
		t.Logf("%s: %s", what, took.Round(time.Millisecond))
		if took > most {
			t.Errorf("%s took %s", what, took)
		}
	}
	still, others := c.Followers()[0], c.Followers()[1:]
	still.Pause()
	both := still.Server() + "," + others[0].Server()
	within("a read", soon, func() { says(t, typed(t, c, live.Patience, both, "tenant", "get", "acme"), 0, "acme") })
	within("a write", soon, func() { says(t, typed(t, c, live.Patience, both, "tenant", "create", "one"), 0, "tenant/one created") })
	if !testing.Short() {
		within("health", soon, func() { says(t, typed(t, c, live.Patience, both, "cluster", "health"), 0, "is ready") })
		within("a snapshot", soon, func() {
			says(t, typed(t, c, live.Patience, both, "snapshot", "save", filepath.Join(c.Dir, "s.tgz")), 0, "s.tgz")
		})
		within("a check", soon, func() {
			says(t, typed(t, c, live.Patience, others[0].Server(), "cluster", "check"), 10, `node "`+still.Name+`" was not checked`)
		})
	}
	within("a read with that node alone", soon, func() {
		says(t, typed(t, c, time.Second, still.Server(), "tenant", "get", "acme"), 10, "no answer from", "gives no answer", "stands still", "--server")
	})
	within("a write with that node alone", soon, func() {
		says(t, typed(t, c, time.Second, still.Server(), "tenant", "create", "two"), 9, "it is not known", "gives no answer", "--request-id")
	})
	still.Resume()
	c.Settled()

	leader := c.Leader()
	rest := c.Followers()
	leader.Pause()
	within("a write that was forwarded to a leader that stands still", soon, func() {
		says(t, typed(t, c, live.Patience, rest[0].Server(), "tenant", "create", "three"), 0, "tenant/three created")
	})
	leader.Resume()
	c.Identical()
}

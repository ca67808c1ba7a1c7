package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestMoreThanHalfOfAllVotersAreRight(t *testing.T) {
	for _, c := range []struct {
		voters int
		own    string
		voices string // a letter each, of voters 1, 2, ...
		right  string
		others string
	}{
		{3, "a", "aaa", "a", ""},
		{3, "a", "aba", "a", "2"},
		{3, "b", "aba", "a", "2"},
		{3, "a", "abc", "", "23"},
		{3, "a", "ab", "", "2"},
		{3, "a", "aa", "a", ""},
		{3, "a", "a", "", ""},
		{2, "a", "ab", "", "2"},
		{1, "b", "a", "a", ""}, // asked by one that does not vote
		{4, "a", "aabb", "", "34"},
		{5, "a", "aabb", "", "34"},
		{5, "b", "aabba", "a", "34"},
		{5, "b", "aab", "", "12"},
	} {
		var voices []voice
		for i := range c.voices {
			voices = append(voices, voice{string(rune('1' + i)), c.voices[i : i+1]})
		}
		right, others := judge(c.voters, c.own, voices)
		if right != c.right || strings.Join(others, "") != c.others {
			t.Errorf("%d voters, %s asks, %s: %q is right and %q are not, want %q and %q", c.voters, c.own, c.voices, right, strings.Join(others, ""), c.right, c.others)
		}
	}
}

// A node whose state is not that of the majority finds it out, answers nothing
// from it, also after a restart, and comes back when somebody asks for it.
func TestTheOddOneOutIsSilentUntilItIsRepaired(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	d := c.misled("n3", "n1")
	n3 := c.node("n3")
	if got := shownName(n3); got != "Monday" || d.Digest == d.Right || d.Index == 0 || d.Repair {
		t.Fatalf("n3 has %q and says %+v", got, d)
	}
	silent(t, n3)
	c.until("the mark on the disk", func() error {
		if !marked(c.dirs["n3"]) {
			return context.DeadlineExceeded
		}
		return nil
	})
	if err := n3.raft().Snapshot().Error(); err == nil || !strings.Contains(err.Error(), errHeld.Error()) {
		t.Errorf("a snapshot of the wrong state: %v", err)
	}
	c.until("the leader to refuse to hand over to it", func() error {
		if _, err := c.leader().chosen("n3"); err == nil || !strings.Contains(err.Error(), "a state that is not that of the majority") {
			return fmt.Errorf("chosen: %v", err)
		}
		return nil
	})
	files := tree(t, c.dirs["n3"])
	c.must(clientNamed("acme", "web")) // the others go on
	for _, n := range others(c, "n3") {
		if err := n.Readable(); err != nil || n.Progress().Reason != "" {
			t.Errorf("%s: %v, %q", n.Name(), err, n.Progress().Reason)
		}
	}
	c.until("n3 to apply it", func() error { return n3.fsm.Wait(context.Background(), c.leader().Image().Index) })
	if tree(t, c.dirs["n3"]) != files {
		t.Error("the files of n3 were written while it is the odd one")
	}

	// Its log gives the right state now, and still nothing is shown.
	c.close("n3")
	n3 = c.open("n3", false)
	if d := c.drifts("n3"); d.Repair || n3.Image().Get("tenants/acme/tenant.json") == nil {
		t.Errorf("after a restart: %+v", d)
	}
	silent(t, n3)
	if tree(t, c.dirs["n3"]) != files {
		t.Error("the files of n3 were written by a restart")
	}
	self := n3.Check(context.Background(), false)
	if self.Drift == nil || len(self.Faults) != 1 || self.Faults[0].Path != StateFault || self.Faults[0].Repaired || self.Hint != "" {
		t.Errorf("it says of itself %+v", self)
	}

	repaired(c, "n3")
	c.restarted("n3")
	c.must(clientNamed("acme", "api"))
	c.agree()
	if n := c.recorded[audit.Event{Actor: "system", Type: "state.repair", Target: "node/n3", Index: 1, Revision: 1, Result: "ok", Message: "from node n1"}]; n != 1 {
		t.Errorf("the repair is on record %d times: %v", n, c.recorded)
	}
}

// repaired repairs a node and checks that nothing of the wrong state is left.
func repaired(c *trio, name string) {
	c.t.Helper()
	n := c.node(name)
	c.until("the repair of "+name, func() error {
		self := n.Check(context.Background(), true)
		for _, f := range self.Faults { // none, if what failed once was done by itself since
			if done := n.Drifted() == nil; f.Path != StateFault || f.Repaired != done || (self.Drift == nil) != done {
				c.t.Errorf("%s says %+v", name, self)
			}
			c.t.Logf("%s: %s", name, f.Problem)
		}
		if n.Drifted() != nil {
			return errors.New("it is not done")
		}
		return nil
	})
	if marked(c.dirs[name]) {
		c.t.Errorf("the mark of %s is left", name)
	}
	c.agree()
	if err := n.Readable(); err != nil {
		c.t.Errorf("%s after its repair: %v", name, err)
	}
	if digests := snapshotsOf(c.t, n); len(digests) != 1 {
		c.t.Errorf("%s has %d snapshots", name, len(digests))
	}
	wantMembers(c.t, n, len(n.Members()))
	if err := n.raft().Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !strings.Contains(err.Error(), "delivered up to") {
		c.t.Errorf("a snapshot of %s after its repair: %v", name, err)
	}
}

// A leader that is the odd one answers nothing any more, and hands over.
func TestALeaderThatIsTheOddOneHandsOver(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	c.misled("n2", "n2")
	c.until("another leader", func() error {
		if n := c.leader(); n.Name() == "n2" {
			return errors.New("it still leads")
		}
		return nil
	})
	silent(t, c.node("n2"))
	c.must(clientNamed("acme", "web"))
	for _, n := range others(c, "n2") {
		if got := shownName(n); got != "Sunday" || n.Drifted() != nil {
			t.Errorf("%s has %q, %+v", n.Name(), got, n.Drifted())
		}
	}
	repaired(c, "n2")
	if got := shownName(c.node("n2")); got != "Sunday" {
		t.Errorf("the repaired node has %q", got)
	}
}

// Where no majority tells which state is right everything goes on, and says so.
func TestWithoutAMajorityThereIsOnlyAnAlarm(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2")
	c.must(tenantNamed("acme"))
	heard := c.mishear("Sunday", "Monday", "n2")
	c.restarted("n2")
	c.lead("n1")
	heard.Store(true)
	c.must(described("Sunday"))
	c.until("an alarm at both", func() error {
		for _, n := range c.running() {
			if p := n.Progress(); !p.Split || p.Drifted || p.Degraded {
				return fmt.Errorf("%s: split %v, drifted %v, degraded %v", n.Name(), p.Split, p.Drifted, p.Degraded)
			}
		}
		return nil
	})
	heard.Store(false)
	for _, n := range c.running() {
		if err := n.Readable(); err != nil || marked(c.dirs[n.Name()]) {
			t.Errorf("%s: %v, marked %v", n.Name(), err, marked(c.dirs[n.Name()]))
		}
		if err := n.RepairDrift(context.Background()); err != nil || shownName(n) != map[string]string{"n1": "Sunday", "n2": "Monday"}[n.Name()] {
			t.Errorf("%s: a repair that nobody can decide: %v, %q", n.Name(), err, shownName(n))
		}
	}
	c.must(described("Friday"))
	c.until("the end of the alarm", func() error {
		for _, n := range c.running() {
			if p := n.Progress(); p.Split {
				return fmt.Errorf("%s: %s", n.Name(), p.StateDigest)
			}
		}
		return nil
	})
	c.agree()
}

// A node without a vote is judged by those that have one.
func TestWhoDoesNotVoteMayBeTheOddOne(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.quiet["n2"] = true
	c.dirs["n2"] = filepath.Join(filepath.Dir(c.dirs["n1"]), "n2")
	heard := c.mishear("Sunday", "Monday", "n2")
	c.open("n2", true)
	c.must(tenantNamed("acme"))
	c.agree()
	heard.Store(true)
	c.must(described("Sunday"))
	c.drifts("n2")
	heard.Store(false)
	if n := c.leader(); n.Name() != "n1" || n.Progress().Split {
		t.Errorf("%s leads, %+v", n.Name(), n.Progress())
	}
	c.until("the leader to keep the vote from it", func() error {
		for _, m := range c.leader().Members() {
			if why := c.leader().unready(m); m.Name == "n2" && (why == nil || why.why != "its state is not that of the majority") {
				return fmt.Errorf("%+v", why)
			}
		}
		return nil
	})
	repaired(c, "n2")
}

// A repair needs a majority that has the state; until it comes it goes on trying, over a restart.
func TestARepairWaitsForAMajority(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	c.misled("n3", "n1")
	c.close("n2")
	n3 := c.node("n3")
	if err := n3.RepairDrift(context.Background()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "of 3 voters have its state") {
		t.Errorf("with one other voter: %v", err)
	}
	silent(t, n3)
	c.close("n3")
	n3 = c.open("n3", false)
	if d := n3.Drifted(); d == nil || !d.Repair {
		t.Errorf("after a restart: %+v", d)
	}
	silent(t, n3)
	c.open("n2", false)
	c.until("the repair that was asked for", func() error {
		if d := n3.Drifted(); d != nil {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	c.agree()
}

// A member that is told by one other that it was removed ends for good. So that is
// not said from a state that is known to be wrong.
func TestANodeWithAWrongStateEndsNoOther(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	n, gone := c.leader(), c.leader()
	for _, m := range c.running() {
		if m != n {
			gone = m
		}
	}
	serial := gone.own.Load().id.Serial
	if _, err := c.removal(RemoveRequest{Name: gone.Name(), ID: uuid.NewString()}); err != nil {
		t.Fatal(err)
	}
	if why, removed := n.Farewell(serial, gone.ID()); why == nil || !removed {
		t.Errorf("%v, removed: %v", why, removed)
	}
	n.drift.Store(&Drift{Index: 1})
	if why, removed := n.Farewell(serial, gone.ID()); why == nil || removed {
		t.Errorf("with a wrong state: %v, removed: %v", why, removed)
	}
}

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// large makes tenants whose documents fill a put with a few of them.
func (c *trio) large(tenants int) {
	c.t.Helper()
	note, _ := json.Marshal(strings.Repeat("x", 50<<10))
	for i := range tenants {
		c.must(&mutation.Request{Op: mutation.OpTenantCreate, Name: fmt.Sprintf("large-%d", i), Patch: json.RawMessage(`{"settings":{"note":` + string(note) + `}}`)})
	}
}

// emptied deletes every tenant.
func (c *trio) emptied() {
	c.t.Helper()
	var slugs []string
	for d := range c.leader().Image().Scan("tenants/") {
		if ref, err := store.ParsePath(d.Path); err == nil && ref.Kind == "tenant" {
			slugs = append(slugs, ref.Tenant)
		}
	}
	for _, slug := range slugs {
		c.must(&mutation.Request{Op: mutation.OpTenantDelete, Name: slug})
	}
}

// losses are what may happen to a leader.
var losses = []struct {
	name string
	to   func(c *trio, leader *Node) (ended <-chan struct{}) // nil: it goes on
}{
	{"cut off", func(c *trio, leader *Node) <-chan struct{} {
		for _, n := range c.running() {
			if n != leader {
				c.wires.cut(leader.Name(), n.Name())
				c.wires.cut(n.Name(), leader.Name())
			}
		}
		return nil
	}},
	// What it sends is taken and committed by the others, and it never hears so.
	{"deaf", func(c *trio, leader *Node) <-chan struct{} {
		for _, n := range c.running() {
			if n != leader {
				c.wires.cut(n.Name(), leader.Name())
			}
		}
		return nil
	}},
	{"stopped", func(c *trio, leader *Node) <-chan struct{} {
		ended := make(chan struct{})
		go func() { c.close(leader.Name()); close(ended) }()
		return ended
	}},
}

// TestALeaderLostAtEveryStepOfARestore loses the leader before and behind each
// command of a restore. The state is the old one or the archive's on every node at
// every moment, what the caller was told is true, and the same request brings the
// restore to its one end through the next leader.
func TestALeaderLostAtEveryStepOfARestore(t *testing.T) {
	t.Parallel()
	c := trioIn(t, "")
	c.wires, c.timeout = newWires(), 400*time.Millisecond
	if raced { // several times slower: heartbeats must be heard all the same
		c.timeout = time.Second
	}
	c.found("n1", "n2", "n3")
	c.large(9)
	archive := archiveOf(t, c.leader())
	want := c.leader().Image().DataDigest()
	// begin, three puts of three documents, commit; and one behind the last.
	const steps = 5
	seen := map[string]int{} // what callers were told, and what was so
	for _, stop := range losses {
		for step := 1; step <= steps+1; step++ {
			said := c.loseLeader(archive, want, step, steps, stop.name, stop.to)
			seen[said]++
			if t.Failed() {
				t.Fatalf("leader %s at step %d", stop.name, step)
			}
		}
	}
	// A deaf leader that still waits for an answer sends nothing more: whether the
	// others get the commit is a matter of moments.
	for tries := 0; seen["unknown_outcome, done"] == 0 && tries < 20; tries++ {
		seen[c.loseLeader(archive, want, steps, steps, losses[1].name, losses[1].to)]++
	}
	t.Logf("%v", seen)
	for _, outcome := range []string{"unavailable, not done", "unknown_outcome, done"} {
		if seen[outcome] == 0 {
			t.Errorf("nobody was told %s: %v", outcome, seen)
		}
	}
}

// loseLeader restores over an empty state and loses the leader when it is about to
// propose the command of a step, or when it has applied the last. It returns what
// the caller was told first, and whether it had been done by then.
func (c *trio) loseLeader(archive, want string, step, steps int, how string, lose func(*trio, *Node) <-chan struct{}) string {
	t := c.t
	c.emptied()
	c.agree()
	leader := c.leader()
	old, revision := leader.Image().DataDigest(), leader.Image().Revision()
	id := uuid.NewString()

	begun := time.Now()
	defer func() { t.Logf("%s at step %d took %s", how, step, time.Since(begun)) }()
	var proposed atomic.Int64
	lost := make(chan struct{})
	var ended <-chan struct{}
	count := func(name string, m *mutation.Command) {
		staged := m.Op == opRestore || strings.HasPrefix(m.Op, "sys.stage.") && m.Op != string(mutation.SysStageAbort)
		if name == leader.Name() && staged && proposed.Add(1) == int64(step) {
			ended = lose(c, leader)
			close(lost)
		}
	}
	c.before.Store(&count)
	watched := c.watchDigests(old, want)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if step > steps { // behind the commit: as soon as the leader shows it
		go func() {
			for index := leader.Image().Index; leader.fsm.Wait(ctx, index) == nil; index++ {
				if leader.Image().DataDigest() == want {
					ended = lose(c, leader)
					close(lost)
					return
				}
			}
		}()
	}
	r, err := leader.Restore(ctx, strings.NewReader(archive), RestoreRequest{ID: id}, access.Local("0"))
	c.before.Store(nil)
	select {
	case <-lost:
	default:
		if err != nil { // it lost the lead by itself: the machine has other work
			watched()
			return c.loseLeader(archive, want, step, steps, how, lose)
		}
		<-lost
	}
	said := "done"
	var typed *store.Error
	switch {
	case errors.As(err, &typed) && (typed.Code == store.CodeUnavailable || typed.Code == store.CodeUnknown):
		said = string(typed.Code)
	case err != nil:
		t.Errorf("told %v", err)
	}
	// The others go on without it. What they agree on now is what was done.
	c.until("another leader", func() error {
		if c.leader() == leader && ended == nil {
			return errors.New("it still leads")
		}
		return nil
	})
	next := c.leader()
	done := next.Image().DataDigest() == want
	switch {
	case said == "unavailable" && done:
		t.Errorf("told %v, and it was done", err)
	case said == "done" && (!done || r.Revision != revision+1):
		t.Errorf("told that it was done at revision %d, which it was not", r.Revision)
	}
	if open := next.Image().OpenStage(); open != nil {
		t.Errorf("the stage of the lost leader is open at the next one: %+v", open)
	}
	if step%2 == 0 { // the lost one hears of it only afterwards
		c.finish(archive, id, revision)
	}
	c.wires.heal()
	if ended != nil {
		<-ended
		c.open(leader.Name(), false)
	}
	c.finish(archive, id, revision)
	c.agree()
	for _, n := range c.running() {
		if img := n.Image(); img.DataDigest() != want || img.Revision() != revision+1 || img.OpenStage() != nil || img.StageBytes() != 0 {
			t.Errorf("%s ends at revision %d (began at %d), digest %.8s (want %.8s), %d bytes staged", n.Name(), img.Revision(), revision, img.DataDigest(), want, img.StageBytes())
		}
	}
	watched()
	outcome := "not done"
	if done {
		outcome = "done"
	}
	return said + ", " + outcome
}

// finish sends a restore until it is answered.
func (c *trio) finish(archive, id string, revision uint64) {
	c.t.Helper()
	c.until("answer to the restore", func() error {
		r, err := restore(c.leader(), archive, id, false)
		if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
			return err
		}
		if err != nil {
			c.t.Fatal(err)
		}
		if r.Revision != revision+1 {
			c.t.Errorf("answered revision %d, want %d", r.Revision, revision+1)
		}
		return nil
	})
}

// watchDigests wants every node to show one of two states, until it is called again.
func (c *trio) watchDigests(either, or string) (end func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			for _, n := range c.running() {
				if got := n.Image().DataDigest(); got != either && got != or {
					c.t.Errorf("%s shows neither the state before nor that of the archive: %s", n.Name(), got)
				}
			}
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(quit); <-ended }
}

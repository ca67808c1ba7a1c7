package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

var errKilled = errors.New("this leader is dead")

// killAt ends the raft of a leader, the first time that it comes to a step of a
// removal: nothing is handed over.
func (c *trio) killAt(step string) <-chan string {
	dead := make(chan string, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.step = func(n *Node, at string) error {
		if at != step {
			return nil
		}
		select {
		case dead <- n.Name():
		default: // it was killed before
			return nil
		}
		c.mu.Lock()
		c.step = nil
		c.mu.Unlock()
		if err := n.raft().Shutdown().Error(); err != nil {
			return err
		}
		return errKilled
	}
	return dead
}

// removal sends a removal to whoever leads, again with the same id while nothing
// was proposed or nobody knows.
func (c *trio) removal(req RemoveRequest) (*Removal, error) {
	for {
		r, err := c.leader().Remove(c.soon(), req, access.Local("0"))
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
			return r, err
		}
	}
}

// goneFrom checks that a node is no member of raft's, and has no good certificate.
func (c *trio) goneFrom(name, id string) {
	c.t.Helper()
	c.until(name+" is gone", func() error {
		n := c.leader()
		if n.isMember(id) {
			return fmt.Errorf("%s is a member", name)
		}
		if r := n.records()[id]; !r.Removed() || r.Why != "removed by unix/0" {
			return fmt.Errorf("its certificate is %+v", r)
		}
		if l := departures(n.Image()); len(l.Nodes) > 0 {
			return fmt.Errorf("it is still leaving: %+v", l)
		}
		return nil
	})
}

// Wherever a leader dies, a node that was to be removed is a member with good
// certificates or none with none, and the next leader finishes what was decided.
func TestAKillAtEveryStepOfARemoval(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		step  string
		leads bool // it is the leader that is to go
	}{{"decided", false}, {"taken out", false}, {"revoked", false}, {"decided", true}, {"taken out", true}} {
		t.Run(fmt.Sprintf("%s, it leads: %v", tt.step, tt.leads), func(t *testing.T) {
			c := newTrio(t, "n1", "n2", "n3", "n4")
			gone := c.leader()
			leads := c.leader()
			for _, n := range c.running() {
				if !tt.leads && n != leads {
					gone = n
				}
			}
			dead := c.killAt(tt.step)
			req := RemoveRequest{Name: gone.Name(), ID: uuid.NewString()}
			for {
				_, err := c.leader().Remove(c.soon(), req, access.Local("0"))
				if errors.Is(err, errKilled) {
					if !errors.Is(err, store.ErrUnknown) {
						t.Errorf("it was decided, and whether it comes to pass nobody knows: %v", err)
					}
					break
				}
				if err != nil && strings.Contains(err.Error(), "handed over") && strings.Contains(err.Error(), "nothing was changed") {
					t.Errorf("it was decided, and is said to be nothing: %v", err)
				}
				// A leader that removes itself hands over, and it is the next one's
				// chore, or this call's, to come to the step.
				if err == nil && len(dead) == 0 || err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
					t.Fatalf("it is not killed: %v", err)
				}
				if len(dead) > 0 {
					break
				}
			}
			killed := <-dead
			c.close(killed)
			c.goneFrom(gone.Name(), gone.ID()) // by whoever leads, with nobody asking
			spare := 1                         // of three voters
			if killed != gone.Name() {
				spare = 0 // of them one is dead
			}
			if r, err := c.removal(req); err != nil || r.Gone.Name != gone.Name() || r.Voters != 3 || r.CanLose != spare {
				t.Errorf("asked again: %+v, %v; want that of 3 voters %d may be lost", r, err, spare)
			}
			if _, err := c.removal(RemoveRequest{Name: gone.Name(), ID: uuid.NewString()}); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "any more: removed by unix/0") {
				t.Errorf("asked under another id: %v", err)
			}
			if _, err := c.removal(RemoveRequest{Name: "n9", ID: req.ID}); !errors.Is(err, store.ErrRequestReused) {
				t.Errorf("of another node under the same id: %v", err)
			}
			c.close(gone.Name())
			if killed != gone.Name() {
				c.open(killed, false)
			}
			c.must(tenantNamed("acme"))
			c.agree()
		})
	}
}

// Raft itself does not tell the index of a configuration, and takes none for any.
func TestAChangeOfMembersIsOfTheOnesThatWereSeen(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2")
	leader := c.leader()
	all, index := leader.Roster()
	if index == 0 || len(all) != 2 {
		t.Fatalf("entry %d: %+v", index, all)
	}
	gone := all[0]
	if gone.ID == leader.ID() {
		gone = all[1]
	}
	remove := func(index uint64) error {
		return leader.reconfigure(func(r *raft.Raft) raft.IndexFuture { return r.RemoveServer(raft.ServerID(gone.ID), index, patience) })
	}
	if err := remove(index - 1); !errors.Is(err, store.ErrUnavailable) || !leader.isMember(gone.ID) {
		t.Errorf("of members before those: %v", err)
	}
	if err := remove(index); err != nil || leader.isMember(gone.ID) {
		t.Errorf("of those: %v", err)
	}
	if _, now := leader.Roster(); now <= index {
		t.Errorf("they are of entry %d, and were of %d", now, index)
	}
}

func (c *trio) indexOfMembers() uint64 {
	_, index := c.leader().Roster()
	return index
}

// Two operators who have both seen three members remove one each, at once: one of
// them gets his way.
func TestTwoOperatorsCannotInterleave(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	seen := c.indexOfMembers()
	leader := c.leader()
	var followers []*Node
	for _, n := range c.running() {
		if n != leader {
			followers = append(followers, n)
		}
	}
	errs := make([]error, len(followers))
	var done sync.WaitGroup
	for i, f := range followers {
		done.Go(func() {
			_, errs[i] = c.removal(RemoveRequest{Name: f.Name(), ID: uuid.NewString(), Members: seen})
		})
	}
	done.Wait()
	refused := errors.Join(errs...)
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(refused, store.ErrRefused) {
		t.Fatalf("%v and %v", errs[0], errs[1])
	}
	for i, err := range errs {
		if want := fmt.Sprintf("there are 2 voters; without node %q there would be 1, of which 1 answers (%s), and 1 is needed to decide", followers[i].Name(), leader.Name()); err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %q, want the arithmetic: %q", err, want)
		}
	}
	if n := len(c.leader().Members()); n != 2 {
		t.Errorf("%d members are left", n)
	}
}

// Nor is it another when the leader dies between the two.
func TestTwoOperatorsCannotInterleaveOverAnElection(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3", "n4")
	seen := c.indexOfMembers()
	var followers []*Node
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			followers = append(followers, n)
		}
	}
	dead := c.killAt("decided")
	first := RemoveRequest{Name: followers[0].Name(), ID: uuid.NewString(), Members: seen}
	if _, err := c.leader().Remove(c.soon(), first, access.Local("0")); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	c.close(<-dead)
	if _, err := c.removal(RemoveRequest{Name: followers[1].Name(), ID: uuid.NewString(), Members: seen}); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "the members have changed") {
		t.Errorf("the second removal: %v", err)
	}
	if _, err := c.removal(first); err != nil {
		t.Errorf("the first one, again: %v", err)
	}
	c.goneFrom(followers[0].Name(), followers[0].ID())
	if n := len(c.leader().Members()); n != 3 {
		t.Errorf("%d members are left", n)
	}
}

// What was refused stays refused: an attempt that comes late finds that its caller
// was told so, although it could be done by then.
func TestARemovalThatWasRefusedIsNotMadeLater(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	gone, away := c.others()[0], c.others()[1]
	c.mu.Lock()
	c.mute = map[string]bool{away.Name(): true}
	c.mu.Unlock()
	c.until("no answer is on its way", func() error {
		if p, _ := c.leader().LastHeard(away.ID()); time.Since(p.Seen) < 2*watchEvery {
			return errors.New("it was heard a moment ago")
		}
		return nil
	})
	once, twice := RemoveRequest{Name: gone.Name(), ID: uuid.NewString()}, RemoveRequest{Name: gone.Name(), ID: uuid.NewString(), Again: true}
	stranger := RemoveRequest{Name: "n9", ID: uuid.NewString(), Again: true}
	for _, req := range []RemoveRequest{once, twice} {
		if _, err := c.removal(req); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "2 are needed to decide") {
			t.Fatalf("with one of two away: %v", err)
		}
	}
	if _, err := c.removal(stranger); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a stranger: %v", err)
	}
	if got := c.leader().Image().Request(once.ID); got != nil {
		t.Errorf("a request of which there is no other attempt is on record: %+v", got)
	}
	c.mu.Lock()
	c.mute = nil
	c.mu.Unlock()
	twice.Again = false
	if _, err := c.removal(twice); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "2 are needed to decide") {
		t.Errorf("the attempt that comes late: %v", err)
	}
	if _, err := c.removal(RemoveRequest{Name: gone.Name(), ID: stranger.ID}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("under the id of another one: %v", err)
	}
	if !c.leader().isMember(gone.ID()) || len(departures(c.leader().Image()).Nodes) > 0 {
		t.Error("it is made")
	}
	if _, err := c.removal(once); err != nil {
		t.Errorf("one that was asked once, later: %v", err)
	}
}

// A voter that has died a moment ago, and was heard a moment before, is not
// counted on.
func TestAVoterThatHasJustDiedIsNotCountedOn(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	var followers []string
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			followers = append(followers, n.Name())
		}
	}
	c.close(followers[0])
	_, err := c.removal(RemoveRequest{Name: followers[1], ID: uuid.NewString()})
	want := fmt.Sprintf("there are 3 voters; without node %q there would be 2, of which 1 answers (%s) and 1 does not (%s), and 2 are needed to decide", followers[1], c.leader().Name(), followers[0])
	if !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), want) {
		t.Errorf("refused with %v, want %q", err, want)
	}
	if r, err := c.removal(RemoveRequest{Name: followers[0], ID: uuid.NewString()}); err != nil || r.Voters != 2 || r.CanLose != 0 {
		t.Errorf("the dead one: %+v, %v", r, err)
	}
	c.must(tenantNamed("acme"))
}

// A removal that was decided and cannot be done, because another was lost
// meanwhile, is done when it is back, or removed as well.
func TestADecidedRemovalWaitsForTheOthers(t *testing.T) {
	t.Parallel()
	for what, comesBack := range map[string]bool{"the other comes back": true, "the other is removed": false} {
		t.Run(what, func(t *testing.T) { decidedRemovalWaits(t, comesBack) })
	}
}

func decidedRemovalWaits(t *testing.T, comesBack bool) {
	c := newTrio(t, "n1", "n2", "n3")
	var followers []*Node
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			followers = append(followers, n)
		}
	}
	c.mu.Lock()
	c.mute = map[string]bool{}
	c.step = func(n *Node, _ string) error {
		c.mu.Lock()
		c.mute[followers[0].Name()] = true
		c.step = nil
		c.mu.Unlock()
		c.until("no answer is on its way", func() error {
			if p, _ := n.LastHeard(followers[0].ID()); time.Since(p.Seen) < 2*watchEvery {
				return errors.New("it was heard a moment ago")
			}
			return nil
		})
		return nil
	}
	c.mu.Unlock()
	req := RemoveRequest{Name: followers[1].Name(), ID: uuid.NewString()}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.leader().Remove(ctx, req, access.Local("0")); !errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "it was decided that node") || !strings.Contains(err.Error(), "that needs more of the others") {
		t.Fatalf("with one of two away: %v", err)
	}
	if !c.leader().isMember(followers[1].ID()) || c.leader().records()[followers[1].ID()].Revoked {
		t.Error("it is done by halves")
	}
	// Of the one that is away, too, if it does not come back: by who has seen what is decided.
	away := RemoveRequest{Name: followers[0].Name(), ID: uuid.NewString(), Members: c.indexOfMembers()}
	if _, err := c.removal(away); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "the members have changed") {
		t.Errorf("by somebody who has not seen it: %v", err)
	}
	away.Decided = departures(c.leader().Image()).Nodes[0].At
	if comesBack {
		c.mu.Lock()
		c.mute = nil
		c.mu.Unlock()
	} else if _, err := c.removal(away); err != nil {
		t.Errorf("by somebody who has seen it: %v", err)
	}
	c.goneFrom(followers[1].Name(), followers[1].ID())
}

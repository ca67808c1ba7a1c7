package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// errDismissal is what a member says to a node that was removed.
var errDismissal = fmt.Errorf("%w: %w", ErrRemoved, store.Errorf(store.CodeDenied, "certificate 0a was revoked: removed by unix/0"))

// told is what a node of a trio stops with, and how it starts again.
func (c *trio) told(name string) (stopped, again error) {
	c.t.Helper()
	c.mu.Lock()
	stops := c.stops[name]
	c.mu.Unlock()
	if len(stops) != 1 {
		return nil, nil
	}
	c.close(name)
	n, err := Open(context.Background(), Config{Dir: c.dirs[name], Name: name, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = n.Close()
	}
	return stops[0], err
}

// What two members say is so for good.
func TestTwoMembersEndANode(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	n, others := c.others()[0], c.leader().Members()
	for i, m := range append(others, others...) {
		if m.ID == n.ID() {
			continue
		}
		n.heed(m, errDismissal)
		n.heed(m, errDismissal) // by the same one: no second word
		c.mu.Lock()
		stops := len(c.stops[n.Name()])
		c.mu.Unlock()
		if first := i == 0 || i == 1 && others[0].ID == n.ID(); first && stops > 0 {
			t.Fatal("one member's word ends it")
		}
	}
	if stopped, again := c.told(n.Name()); !errors.Is(stopped, ErrRemoved) || !errors.Is(again, ErrRemoved) {
		t.Errorf("it stops with %v, and started again: %v", stopped, again)
	}
}

// Of what one of several says nothing is noted: the node goes on while another
// one serves it, and stops until its next start if none answers.
func TestOneMemberAmongSeveralEndsNoNode(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	n, says := c.others()[0], c.leader()
	m := Member{ID: says.ID(), Name: says.Name()}
	again := func() error {
		n.heed(m, errDismissal)
		n.dismissals.mu.Lock()
		defer n.dismissals.mu.Unlock()
		n.dismissals.since = time.Now().Add(-dismissalWait - time.Millisecond)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.stops[n.Name()]) == 0 {
			return errors.New("it goes on")
		}
		return nil
	}
	n.probeAll()
	for range 3 {
		if again() == nil {
			t.Fatal("it stops, and another one answers it")
		}
	}
	serves := c.others()[1].Name()
	c.mu.Lock()
	c.mute = map[string]bool{serves: true, says.Name(): true}
	c.mu.Unlock()
	c.until("end of it", again)
	stopped, start := c.told(n.Name())
	var e *store.Error
	if !errors.Is(stopped, ErrRemoved) || !strings.Contains(stopped.Error(), "removed by unix/0; node \""+says.Name()+"\" says so, and no other member answers") ||
		!errors.As(stopped, &e) || !strings.Contains(e.Hint, "a start asks again") || ExitCode(stopped) != 1 {
		t.Errorf("it stops with %v, hint %q", stopped, e.Hint)
	}
	if start != nil {
		t.Errorf("started again: %v", start)
	}
}

// In a cluster of two there is no other one to ask.
func TestTheOnlyOtherMemberEndsANode(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2")
	n, says := c.others()[0], c.leader()
	n.heed(Member{ID: says.ID()}, errDismissal)
	if stopped, again := c.told(n.Name()); !errors.Is(stopped, ErrRemoved) || !errors.Is(again, ErrRemoved) {
		t.Errorf("it stops with %v, and started again: %v", stopped, again)
	}
}

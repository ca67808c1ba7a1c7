package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// setAutoremove sets it to less than an operator may.
func (c *trio) setAutoremove(a mutation.Autoremove) {
	c.t.Helper()
	m, err := payload(mutation.SysAutoremove, a)
	if err == nil {
		_, _, err = c.leader().system(c.soon(), "", "unix/0", m)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// Lost members are removed when somebody wants that, down to as many voters as are
// set, and not below.
func TestLostMembersAreRemovedWhileEnoughAnswer(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3", "n4")
	leader := c.leader()
	var others []*Node
	for _, n := range c.running() {
		if n != leader {
			others = append(others, n)
		}
	}
	lost := func(n *Node, long time.Duration) {
		t.Helper()
		c.until(n.Name()+" is lost", func() error {
			if s := leader.spells.silent(leader.lead.Load(), n.ID()); s < long {
				return errors.New(s.String())
			}
			return nil
		})
	}
	const after = 2 * watchEvery
	c.close(others[0].Name())
	lost(others[0], 2*after)
	if !leader.isMember(others[0].ID()) {
		t.Fatal("it was removed, and nobody wanted that")
	}
	c.setAutoremove(mutation.Autoremove{After: store.Duration(after), MinVoters: 3})
	c.until("it is removed", func() error {
		if leader.isMember(others[0].ID()) {
			return errors.New("it is a member")
		}
		return nil
	})
	c.until("it is on record", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for e := range c.recorded {
			if e.Type == "member.remove" && e.Target == "node/"+others[0].Name() && e.Actor == "system" && e.Result == audit.OK && strings.HasPrefix(e.Message, "lost for ") {
				return nil
			}
		}
		return errors.New("it is not")
	})
	if r := leader.records()[others[0].ID()]; !r.Removed() || r.Why != "removed by system: lost for more than 1s" {
		t.Errorf("its certificate: %+v", r)
	}

	c.close(others[1].Name()) // two of three answer: a majority, and fewer than three
	lost(others[1], 3*after)
	all, index := leader.Roster()
	m, _ := memberNamed(all, others[1].Name())
	if err := leader.removeOne(leader.Autoremove(), all, index, m); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "of which 2 answer") || !strings.Contains(err.Error(), "3 are set as the least") {
		t.Errorf("one too many: %v", err)
	}
	if !leader.isMember(m.ID) {
		t.Fatal("it was removed all the same")
	}
	c.setAutoremove(mutation.Autoremove{After: store.Duration(after), MinVoters: 1})
	c.until("it is removed", func() error {
		if leader.isMember(m.ID) {
			return errors.New("it is a member")
		}
		return nil
	})
	// Of two voters the one that is left cannot decide.
	c.close(others[2].Name())
	c.until("the leader has lost its majority", func() error {
		if leader.Leads() {
			return errors.New("it leads")
		}
		return nil
	})
	if !leader.isMember(others[2].ID()) {
		t.Error("a minority has removed somebody")
	}
}

// A member that answers while the others are asked is not removed, however long
// that takes because of one that is slow.
func TestAMemberThatAnswersAgainIsNotRemoved(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	leader := c.leader()
	var back, slow *Node
	for _, n := range c.running() {
		if n != leader {
			back, slow = n, back
		}
	}
	c.says.Store(slow.Name(), func(*Progress) {
		for p, _ := leader.LastHeard(back.ID()); time.Since(p.Seen) < watchEvery; p, _ = leader.LastHeard(back.ID()) {
			<-time.After(watchEvery / 50)
		}
	})
	all, index := leader.Roster()
	m, _ := memberNamed(all, back.Name())
	err := leader.removeOne(&mutation.Autoremove{MinVoters: 1}, all, index, m)
	if !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "answers again") {
		t.Errorf("%v", err)
	}
	if !leader.isMember(back.ID()) {
		t.Error("it was removed")
	}
}

func TestWhoSetsWhatIsRemovedByItself(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	set := func(a mutation.Autoremove, by access.Actor) error {
		_, err := c.leader().SetAutoremove(c.soon(), a, nil, by)
		return err
	}
	minute := store.Duration(time.Minute)
	if c.leader().Autoremove() != nil {
		t.Error("it is on from the beginning")
	}
	for _, a := range []mutation.Autoremove{{After: store.Duration(9 * time.Second), MinVoters: 3}, {After: minute}, {After: -minute, MinVoters: 3}} {
		if err := set(a, access.Local("0")); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	if err := set(mutation.Autoremove{After: minute, MinVoters: 3}, access.Actor{Role: access.Operator, Name: "ana"}); !errors.Is(err, store.ErrDenied) {
		t.Errorf("by an operator: %v", err)
	}
	if err := set(mutation.Autoremove{After: minute, MinVoters: 3}, access.Local("0")); err != nil || *c.leader().Autoremove() != (mutation.Autoremove{After: minute, MinVoters: 3}) {
		t.Errorf("%+v, %v", c.leader().Autoremove(), err)
	}
	// An attempt that comes late, of who has seen something else.
	for _, seen := range []mutation.Autoremove{{}, {After: minute, MinVoters: 2}} {
		if _, err := c.leader().SetAutoremove(c.soon(), mutation.Autoremove{After: 2 * minute, MinVoters: 3}, &seen, access.Local("0")); !errors.Is(err, store.ErrConflict) {
			t.Errorf("by who has seen %+v: %v", seen, err)
		}
		if _, err := c.leader().SetAutoremove(c.soon(), mutation.Autoremove{After: minute, MinVoters: 3}, &seen, access.Local("0")); err != nil {
			t.Errorf("what it is already, by who has seen %+v: %v", seen, err)
		}
	}
	if *c.leader().Autoremove() != (mutation.Autoremove{After: minute, MinVoters: 3}) {
		t.Errorf("it is %+v", c.leader().Autoremove())
	}
	if _, err := c.leader().SetAutoremove(c.soon(), mutation.Autoremove{After: 2 * minute, MinVoters: 3}, c.leader().Autoremove(), access.Local("0")); err != nil {
		t.Errorf("by who has seen how it is: %v", err)
	}
	if err := set(mutation.Autoremove{}, access.Local("0")); err != nil || c.leader().Autoremove() != nil {
		t.Errorf("%+v, %v", c.leader().Autoremove(), err)
	}
}

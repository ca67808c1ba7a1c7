package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

func notRaced(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("raft has a race of its own when an address changes; run it without -race")
	}
}

// moved starts a node at another address.
func (c *trio) moved(name, host string) *Node {
	c.t.Helper()
	if c.where == nil {
		c.where = map[string]string{}
	}
	c.where[name] = host + ":0"
	return c.open(name, false)
}

// known waits until every node that runs knows where all of them are.
func (c *trio) known(voters int) {
	c.t.Helper()
	c.until("everybody knows where all are", func() error {
		for _, n := range c.running() {
			votes := 0
			for _, m := range n.Members() {
				if m.Voter {
					votes++
				}
				for _, other := range c.running() {
					if other.ID() == m.ID && other.Address() != m.Address {
						return fmt.Errorf("%s looks for %s at %s, and it is at %s", n.Name(), other.Name(), m.Address, other.Address())
					}
				}
			}
			if votes != voters {
				return fmt.Errorf("%s has %d voters", n.Name(), votes)
			}
		}
		return nil
	})
	c.must(tenantNamed(fmt.Sprintf("t%d", c.leader().Image().Index)))
	c.agree()
}

// A member at another address is found there, and stays what it was, with its vote
// or without.
func TestAMemberMovesToAnotherAddress(t *testing.T) {
	notRaced(t)
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.quiet["n4"], c.dirs["n4"] = true, t.TempDir()+"/n4"
	c.open("n4", true)
	c.until("n4 is a member", func() error {
		if len(c.leader().Members()) != 4 {
			return errors.New("not yet")
		}
		return nil
	})
	follower := ""
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads && n.Name() != "n4" {
			follower = n.Name()
		}
	}
	for i, name := range []string{follower, "n4", c.leader().Name()} {
		c.close(name)
		n := c.moved(name, fmt.Sprintf("127.0.0.%d", i+2))
		c.known(3)
		for _, m := range c.leader().Members() {
			if m.ID == n.ID() && m.Voter == (name == "n4") {
				t.Errorf("%s votes: %v", name, m.Voter)
			}
		}
	}
}

func TestAMajorityMovesAtOnce(t *testing.T) {
	notRaced(t)
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	for _, name := range []string{"n1", "n2"} {
		c.close(name)
	}
	c.moved("n1", "127.0.0.2")
	c.moved("n2", "127.0.0.3")
	c.known(3)
}

// The member is where it was, and somebody with a copy of its directory asks to be
// found elsewhere: nothing is moved, this way or that.
func TestACopyOfAMemberMovesNothing(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	leader, n := c.leader(), c.others()[0]
	was := n.Address()
	at := func() string {
		m, _ := memberNamed(leader.Members(), n.ID())
		return m.Address
	}
	// It stands for the copy as well: it answers as itself at any of its addresses.
	elsewhere := strings.Replace(was, "127.0.0.1", "localhost", 1)
	err := leader.Admit(c.soon(), AdmitRequest{NodeID: n.ID(), Address: elsewhere, Moved: true})
	var e *store.Error
	if !errors.Is(err, store.ErrRefused) || !errors.As(err, &e) || !strings.Contains(e.Message, was+" and at "+elsewhere) || e.Hint == "" || at() != was {
		t.Errorf("with the first one still there: %v; it is at %s", err, at())
	}
	// One that is reached at both addresses, and means the new one, is no copy.
	notRaced(t)
	c.says.Store(n.Name(), func(p *Progress) { p.Address = elsewhere })
	if err := leader.Admit(c.soon(), AdmitRequest{NodeID: n.ID(), Address: elsewhere, Moved: true}); err != nil || at() != elsewhere {
		t.Errorf("when it has moved: %v; it is at %s", err, at())
	}
}

func TestTheOnlyMemberMoves(t *testing.T) {
	notRaced(t)
	t.Parallel()
	c := newTrio(t, "n1")
	c.close("n1")
	c.moved("n1", "127.0.0.2")
	c.known(1)
}

// When all have moved, each with an address that nobody knows, one of them is told
// where the others are.
func TestAllMembersMoveAtOnce(t *testing.T) {
	notRaced(t)
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	for _, name := range []string{"n1", "n2", "n3"} {
		c.close(name)
	}
	n2, n3 := c.moved("n2", "127.0.0.3"), c.moved("n3", "127.0.0.4")
	c.seek = map[string][]string{"n1": {"127.0.0.9:1", n2.Address(), n3.Address()}}
	c.moved("n1", "127.0.0.2")
	c.known(3)
}

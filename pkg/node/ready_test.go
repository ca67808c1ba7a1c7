package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// ready asks the leader until it says what is wanted; of a state that lasts.
func (c *trio) ready(n *Node, by access.Actor, want string) {
	c.t.Helper()
	c.until("readiness of "+n.Name(), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		index, err := n.Ready(ctx, by)
		switch {
		case want == "" && err == nil && index > 0:
			return nil
		case want != "" && errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), want):
			return nil
		case err == nil:
			return errors.New("ready")
		}
		return err
	})
}

// Whatever turns a change away, a leader says before it is asked for one.
func TestALeaderIsReadyWhenItWouldMakeAChange(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	leader, follower := c.leader(), c.others()[0]
	c.ready(leader, access.Local("0"), "")
	c.ready(follower, access.Local("0"), "not the leader")

	name := follower.Name()
	c.full.Store(&name)
	c.ready(leader, access.Local("0"), `node "`+name+`" has too little disk space`)
	c.full.Store(nil)
	c.ready(leader, access.Local("0"), "")

	leader.handing.Store(&name)
	c.ready(leader, access.Local("0"), "leadership is being handed over to node "+name)
	leader.handing.Store(nil)

	end := leader.proposer.inFlight.begin() // as an entry that no majority stores
	c.ready(leader, access.Local("0"), "for a majority of the voters to store them")
	end()
	c.ready(leader, access.Local("0"), "")

	ana := access.Actor{Role: access.Operator, Name: "ana", Source: "10.0.0.9:4711"}
	for leader.ration.take(ana, changesAtOnce, time.Now()) == nil {
	}
	if _, err := leader.Ready(context.Background(), ana); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "too many changes at once") {
		t.Errorf("who has had too many changes: %v", err)
	}
	c.ready(leader, access.Actor{Role: access.Operator, Name: "ben", Source: "10.0.0.9:4711"}, "")

	for _, n := range c.others() { // no majority, while the leader does not know yet
		c.close(n.Name())
	}
	c.ready(leader, access.Local("0"), "lead") // "leads no longer", then "not the leader"
}

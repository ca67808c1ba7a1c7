package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// keyed is a cluster of two, and a node without a vote.
func keyed(t *testing.T) *trio {
	t.Helper()
	c := newTrio(t, "n1", "n2")
	c.must(tenantNamed("acme"))
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	c.quiet["n3"], c.dirs["n3"] = true, filepath.Join(filepath.Dir(c.dirs["n1"]), "n3")
	c.open("n3", true)
	c.until("a third member", func() error {
		if n := len(c.leader().Members()); n != 3 {
			return fmt.Errorf("%d members", n)
		}
		return nil
	})
	c.agree()
	return c
}

func (c *trio) keyFile(name string) string { return filepath.Join(c.dirs[name], "cluster.key") }

func (c *trio) putKeyFile(name string, b []byte) {
	c.t.Helper()
	if err := os.WriteFile(c.keyFile(name), b, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// TestANodeThatWasAwayGetsTheNewKey: a roll-over does not wait for a node
// without a vote that is away. It is authenticated by its certificate when it is
// back, and gets what it missed.
func TestANodeThatWasAwayGetsTheNewKey(t *testing.T) {
	t.Parallel()
	c := keyed(t)
	before := c.exported("acme")
	c.close("n3")
	r := c.rekey()
	n := c.open("n3", false)
	c.wantOneKey(r.KeyID)
	c.agree()
	if b, err := n.PrivateJWK("acme", activeKid(t, n, "acme")); err != nil || string(b) != before {
		t.Errorf("it opens %d bytes (%v)", len(b), err)
	}
}

// TestAStateAheadOfItsKeyIsNoDamage: a node whose state names another key than
// its file holds starts, if the file's was the cluster's before. It does not
// lead, gets no vote and says so, until it has the key.
func TestAStateAheadOfItsKeyIsNoDamage(t *testing.T) {
	t.Parallel()
	c := keyed(t)
	old := readFile(t, c.keyFile("n3"))
	r := c.rekey()
	c.wantOneKey(r.KeyID)
	c.agree()
	for _, name := range []string{"n2", "n3"} {
		c.close(name)
		c.putKeyFile(name, old)
	}
	c.withheld.Store(&r.KeyID)
	for _, name := range []string{"n2", "n3"} {
		n := c.open(name, false)
		if p := n.Progress(); !p.KeyLess || p.has(mutation.KeyName{ID: r.KeyID, Check: "x"}) {
			t.Errorf("%s says %+v", name, p)
		}
		if ripe := n.lacksKey(n.Image()); !ripe {
			t.Errorf("%s says that it has the key", name)
		}
	}
	c.withheld.Store(nil)
	c.wantOneKey(r.KeyID)
	c.agree()

	// A key that was never this cluster's is damage, as before.
	c.close("n3")
	foreign, err := pki.NewClusterKey()
	if err != nil {
		t.Fatal(err)
	}
	c.putKeyFile("n3", foreign.Encode())
	refuses(t, c.dirs["n3"], "cluster.key", "cpctl cluster remove n3")
	c.putKeyFile("n3", append(foreign.Encode(), old...)) // one of two is enough to know it by
	c.open("n3", false)
	c.wantOneKey(r.KeyID)
}

// TestALeaderWithoutTheKeyHandsLeadershipOver, and nothing is lost meanwhile:
// what needs the key is answered with "not proposed", and is done by the next.
func TestALeaderWithoutTheKeyHandsLeadershipOver(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	old := readFile(t, c.keyFile("n1"))
	r := c.rekey()
	c.wantOneKey(r.KeyID)
	c.withheld.Store(&r.KeyID)
	var poor *Node
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			poor = n
		}
	}
	name := poor.Name()
	c.close(name)
	c.putKeyFile(name, old)
	poor = c.open(name, false)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.until("the poor one to lead", func() error {
		l := c.leader()
		if l == poor {
			return nil
		}
		l.raft().LeadershipTransferToServer(raft.ServerID(poor.ID()), joinAddress(poor.ID(), poor.Address())).Error()
		if poor.Leads() {
			if _, err := poor.Write(ctx, &mutation.Request{ID: "poor", Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"}, access.Local("0")); err == nil || !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a key was made without the cluster key: %v", err)
			}
			return nil
		}
		return errors.New(l.Name() + " leads")
	})
	c.until("another leader", func() error {
		if c.leader() == poor {
			return errors.New("it still leads")
		}
		return nil
	})
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	c.withheld.Store(nil)
	c.wantOneKey(r.KeyID)
	c.agree()
}

// TestNobodyVotesWithoutTheKey: a member that has caught up, and lacks the key,
// is not promoted.
func TestNobodyVotesWithoutTheKey(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2")
	c.must(tenantNamed("acme"))
	old := readFile(t, c.keyFile("n1"))
	r := c.rekey()
	c.wantOneKey(r.KeyID)
	c.withheld.Store(&r.KeyID)
	dir := filepath.Join(filepath.Dir(c.dirs["n1"]), "n3")
	c.dirs["n3"] = dir
	c.stale = old // it got the key just before it was retired
	n := c.open("n3", true)
	c.until("a member that has caught up", func() error {
		p, ok := c.leader().heard(n.ID())
		if !ok || p.Applied+promoteWithin < c.leader().raft().CommitIndex() || !p.KeyLess {
			return fmt.Errorf("it says %+v", p)
		}
		return nil
	})
	c.leader().promote()
	for _, m := range c.leader().Members() {
		if m.Name == "n3" && m.Voter {
			t.Error("it votes without the key")
		}
	}
	c.withheld.Store(nil)
	c.until("its vote", func() error {
		for _, m := range c.leader().Members() {
			if m.Name == "n3" && m.Voter {
				return nil
			}
		}
		return errors.New("it does not vote")
	})
	c.wantOneKey(r.KeyID)
}

// TestTheSwitchWaitsForEveryVoter: one that does not answer holds it up, and
// nothing else. Who calls again goes on with the same roll-over, and without that
// voter it comes to its end.
func TestTheSwitchWaitsForEveryVoter(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	var gone string
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			gone = n.Name()
		}
	}
	c.close(gone)
	call := func(roll string) (*Rekeyed, error) { return c.leader().Rekey(t.Context(), roll, access.Local("0")) }
	first, err := call("first")
	if err != nil {
		t.Fatal(err)
	}
	c.until("a leader that has not heard from it for long", func() error {
		if _, ok := c.leader().heard(c.nodeID(gone)); ok {
			return errors.New("it was heard of a moment ago")
		}
		return nil
	})
	joined, err := call("second")
	if err != nil || joined.Roll != "first" || joined.KeyID != first.KeyID || joined.Phase != mutation.RollBegun || joined.Done ||
		len(joined.Waiting) != 1 || joined.Waiting[0] != gone+" does not answer" {
		t.Fatalf("the second call: %+v, %v; the first one: %+v", joined, err, first)
	}
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	c.until("the voter to be removed", func() error {
		_, err := c.leader().Remove(t.Context(), RemoveRequest{Name: gone}, access.Local("0"))
		return err
	})
	delete(c.dirs, gone)
	done := c.rekey()
	if done.Roll != "first" || done.KeyID != first.KeyID {
		t.Errorf("it came to %+v, begun was %+v", done, first)
	}
	c.wantOneKey(done.KeyID)
}

func (c *trio) nodeID(name string) string {
	for id, r := range c.leader().records() {
		if r.Name == name {
			return id
		}
	}
	return ""
}

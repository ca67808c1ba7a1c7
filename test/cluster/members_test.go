package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// want runs a command and checks how it ends and what it says; what it prints is
// in the log of the test, to be read.
func (c *cluster) want(exit int, says, server string, args ...string) *live.Result {
	c.t.Helper()
	r := c.Cpctl(server, nil, args...)
	c.t.Logf("cpctl %s\n%s%s", strings.Join(args, " "), r.Stdout, r.Stderr)
	if out := string(r.Stdout) + r.Stderr; r.Exit != exit || !strings.Contains(out, says) {
		c.t.Errorf("cpctl %s: exit %d, want %d and %q", strings.Join(args, " "), r.Exit, exit, says)
	}
	return r
}

func (c *cluster) without(gone *live.Node) (server string) {
	for _, n := range c.Nodes {
		if n != gone && n.Running() {
			server = n.Server()
		}
	}
	return server
}

// A leader that leaves, and a follower: exit 0, the reason in the log, no start of
// the directory any more, and a name that is free.
func TestANodeLeavesAsItIsTold(t *testing.T) {
	c := found(t, 3)
	leader := c.Leader()
	c.Nodes[0].Kill()
	other := c.Nodes[1]
	if other == leader {
		other = c.Nodes[2]
	}
	c.want(8, "are needed to decide", other.Server(), "cluster", "leave", "--yes")
	if !other.Running() {
		t.Fatal("it has gone all the same")
	}
	c.Nodes[0].Start()
	c.Await(c.Nodes...)

	leader = c.Leader()
	c.want(0, "node/"+leader.Name+" has left", leader.Server(), "cluster", "leave", "--yes")
	leader.Ends(0)
	if log := leader.LogTail(); !strings.Contains(log, "this node has left the cluster") {
		t.Errorf("the log says\n%s", log)
	}
	for _, again := range []string{"at once", "and again"} {
		leader.Start()
		leader.Ends(8)
		if log := leader.LogTail(); !strings.Contains(log, "has left cluster") || !strings.Contains(log, "To join again") {
			t.Errorf("started %s it says\n%s", again, log)
		}
	}
	t.Log(leader.LogTail()[max(0, len(leader.LogTail())-500):])
	c.want(3, "is not a member of this cluster any more: left the cluster, as unix/0 asked", c.without(leader), "cluster", "remove", leader.Name, "--yes")

	// Its name is free for another directory.
	if err := os.RemoveAll(leader.Dir); err != nil {
		t.Fatal(err)
	}
	leader.Flags = []string{"--join", c.without(leader)}
	leader.Start()
	c.Await(leader)
	c.Voting()
	follower := c.Followers()[0]
	if follower == leader {
		follower = c.Followers()[1]
	}
	c.want(0, "the cluster can lose no voter now", follower.Server(), "cluster", "leave", "--yes")
	follower.Ends(0)
	c.Must(c.without(follower), "tenant", "create", "acme")
}

// Two operators at two nodes, who have seen the same members, remove one follower
// each: the one at the leader, the other one at the node that he removes.
func TestOneOfTwoOperatorsGetsHisWay(t *testing.T) {
	c := found(t, 3)
	two := c.Followers()
	errs := make([]error, 2)
	var seen [2]*rpc.Roster
	clients := make([]*rpc.Client, 2)
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	for i, n := range []*live.Node{c.Leader(), two[1]} {
		clients[i] = rpc.NewClient(rpc.Options{Servers: []string{n.Server()}})
		defer clients[i].Close()
		var err error
		if seen[i], err = clients[i].Roster(ctx); err != nil || len(seen[i].Members) != 3 || seen[i].Index != seen[0].Index || seen[i].Index == 0 {
			t.Fatalf("%+v, %v", seen[i], err)
		}
	}
	var done sync.WaitGroup
	for i := range two {
		done.Go(func() {
			_, errs[i] = clients[i].Remove(ctx, rpc.RemoveArgs{Name: two[i].Name, Members: seen[i].Index})
		})
	}
	done.Wait()
	t.Logf("%v; %v", errs[0], errs[1])
	refused := errors.Join(errs...)
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(refused, store.ErrRefused) || !strings.Contains(refused.Error(), "there are 2 voters; without node ") {
		t.Fatalf("%v; %v", errs[0], errs[1])
	}
	live.Until(t, "there are two members", func() bool { return len(c.StatusAt(c.Leader()).Nodes) == 2 })
	for i, n := range two {
		if errs[i] == nil {
			n.Ends(1)
			if log := n.LogTail(); !strings.Contains(log, "removed by unix/0") {
				t.Errorf("%s says\n%s", n.Name, log)
			}
		}
	}
	c.Must(c.Leader().Server(), "tenant", "create", "acme")
}

// A node that was removed while it was away, started twice; one that comes back
// wiped under its old name; removed once more.
func TestWhoWasRemovedIsToldEachTime(t *testing.T) {
	c := found(t, 3)
	away := c.Followers()[0]
	away.Kill()
	server := c.without(away)
	c.want(0, "node/"+away.Name+" removed, 2 voters left", server, "cluster", "remove", away.Name, "--yes")
	c.want(3, "is not a member of this cluster any more: removed by unix/0", server, "cluster", "remove", away.Name, "--yes")
	for range 2 { // the second time it knows by itself
		away.Start()
		away.Ends(1)
	}
	log := away.LogTail()
	t.Log(log[max(0, len(log)-600):])
	if !strings.Contains(log, "this node was removed from the cluster: node \""+away.Name+"\" of cluster") || !strings.Contains(log, "removed by unix/0") {
		t.Errorf("it says\n%s", log)
	}

	// Wiped, and started as if it were another one: its name is free now, but not that
	// of a member.
	wiped := c.Followers()[0]
	away.Name, away.Flags = wiped.Name, []string{"--join", server}
	if err := os.RemoveAll(away.Dir); err != nil {
		t.Fatal(err)
	}
	away.Start()
	away.Ends(4)
	log = away.LogTail()
	t.Log(log[max(0, len(log)-300):])
	if !strings.Contains(log, "a node named \""+wiped.Name+"\" is in the cluster already") || !strings.Contains(log, "cpctl cluster remove "+wiped.Name) {
		t.Errorf("it says\n%s", log)
	}
}

func somewhere() string {
	return fmt.Sprintf("127.%d.%d.%d:0", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(254))
}

// All nodes of a cluster are started at other addresses; one of them is told where
// the others are.
func TestAClusterMovesToOtherAddresses(t *testing.T) {
	if raced {
		t.Skip("raft has a race of its own when an address changes; run it without -race")
	}
	c := found(t, 3)
	c.Must(c.Servers(0), "tenant", "create", "acme")
	for _, n := range c.Nodes {
		n.Stop()
	}
	var there []string
	for i := len(c.Nodes) - 1; i >= 0; i-- {
		n := c.Nodes[i]
		n.Flags = append(n.Flags, "--listen", somewhere())
		if i == 0 {
			n.Flags = append(n.Flags, "--join", strings.Join(there, ","))
		}
		n.Start()
		live.Until(t, n.Name+" answers", func() bool { return c.Cpctl(n.Server(), nil, "cluster", "members", "-o", "name").Exit == 0 })
		there = append(there, c.listens(n))
	}
	c.Await(c.Nodes...)
	live.Until(t, "everybody is known where it is", func() bool {
		for _, n := range c.Nodes {
			for _, m := range c.StatusAt(n).Nodes {
				for i, other := range c.Nodes {
					if other.Name == m.Name && m.Address != there[len(there)-1-i] {
						return false
					}
				}
			}
		}
		return true
	})
	c.Must(c.Servers(0), "tenant", "create", "globex")
	c.Identical()
	t.Log(c.Nodes[0].LogTail())
}

// listens is where a node said, on its last start, that it is.
func (c *cluster) listens(n *live.Node) (address string) {
	c.t.Helper()
	live.Until(c.t, n.Name+" is ready", func() bool {
		b, err := os.ReadFile(n.Log)
		if err != nil {
			c.t.Fatal(err)
		}
		lines := strings.Split(string(b), "ready: node "+n.Name)
		if len(lines) < 3 {
			return false
		}
		line, _, _ := strings.Cut(lines[len(lines)-1], "\n")
		address = line[strings.LastIndex(line, " ")+1:]
		return true
	})
	return address
}

// A voter that is lost for ten seconds goes when another has come in its place, and
// not before.
func TestALostVoterIsReplaced(t *testing.T) {
	c := found(t, 3)
	c.want(2, "it is 10s at least", c.Servers(0), "cluster", "autoremove", "--after", "9s")
	c.want(0, "autoremove after 10s, while 3 voters answer", c.Servers(0), "cluster", "autoremove", "--after", "10s")
	c.want(0, "while 3 voters answer", c.Servers(1), "cluster", "autoremove")
	lost := c.Followers()[0]
	lost.Kill()
	next := c.Add("--join", c.without(lost))
	next.Start()
	c.Await(next)
	live.Until(t, "the lost one is removed", func() bool { return len(c.StatusAt(next).Nodes) == 3 })
	c.want(0, "member.remove", c.Leader().Server(), "audit")
	c.want(0, "autoremove", c.without(lost), "cluster", "status", "-o", "wide")
	lost.Start()
	lost.Ends(1)
	if log := lost.LogTail(); !strings.Contains(log, "removed by system: lost for more than 10s") {
		t.Errorf("it says\n%s", log)
	}
	c.want(0, "autoremove off", next.Server(), "cluster", "autoremove", "--off")
}

// A member without a vote gets one by hand.
func TestAMemberIsPromotedByHand(t *testing.T) {
	c := found(t, 1)
	extra := c.Add("--join", c.Nodes[0].Server(), "--non-voter")
	extra.Start()
	c.Await(extra)
	c.want(0, "node/"+extra.Name+" promoted, 2 voters", extra.Server(), "cluster", "promote", extra.Name)
	c.want(0, "node/"+extra.Name+" unchanged", c.Nodes[0].Server(), "cluster", "promote", extra.Name)
	c.want(3, "is not a member", c.Nodes[0].Server(), "cluster", "promote", "n9")
	quiet := c.Add("--join", c.Nodes[0].Server(), "--non-voter")
	quiet.Start()
	c.Await(quiet)
	quiet.Kill()
	c.want(8, "cannot have a vote yet: it ", c.Nodes[0].Server(), "cluster", "promote", quiet.Name)
}

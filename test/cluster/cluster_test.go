package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cpctl/cpctl/pkg/rpc"
)

// cluster is a few nodes on this machine.
type cluster struct {
	t     *testing.T
	dir   string // holds a directory and a log for each node
	nodes []*node
}

// found makes a cluster of n voters with these flags on each node. Everything
// of it goes with the test.
func found(t *testing.T, n int, flags ...string) *cluster {
	t.Helper()
	// t.TempDir would put the name of the test into the path of the sockets,
	// which has 107 bytes at most.
	dir, err := os.MkdirTemp("", "cpctl-")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: dir}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.close()
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for i := range n {
		m := &node{t: t, name: fmt.Sprintf("n%d", i+1), flags: flags}
		m.dir = filepath.Join(dir, m.name)
		if i > 0 {
			m.flags = append([]string{"--join", c.nodes[0].server()}, flags...)
		}
		c.nodes = append(c.nodes, m)
		m.start()
		c.await(m)
	}
	c.voting()
	return c
}

// as is the cluster for a subtest.
func (c *cluster) as(t *testing.T) *cluster { return &cluster{t, c.dir, c.nodes} }

// await waits until writes go through nodes.
func (c *cluster) await(nodes ...*node) {
	c.t.Helper()
	for _, n := range nodes {
		r := c.cpctl(n.server(), nil, "cluster", "health", "--wait")
		if r.exit != 0 {
			c.t.Fatalf("node %s: exit %d of cluster health --wait\n%s\n%s", n.name, r.exit, r.stderr, n.logTail())
		}
	}
}

// status is the cluster as the first node that runs sees it.
func (c *cluster) status() *rpc.ClusterStatus {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.running() {
			return c.statusAt(n)
		}
	}
	c.t.Fatal("no node runs")
	return nil
}

func (c *cluster) statusAt(n *node) *rpc.ClusterStatus {
	c.t.Helper()
	st := decode[rpc.ClusterStatus](c.t, c.must(n.server(), "cluster", "status", "-o", "json"))
	return &st
}

// voting waits until every node has caught up and votes, so that one may be lost.
func (c *cluster) voting() {
	c.t.Helper()
	until(c.t, "every node votes", func() bool {
		st := c.status()
		if st.Leader == "" || len(st.Nodes) != len(c.nodes) {
			return false
		}
		for _, m := range st.Nodes {
			if m.State != "alive" || m.Role == "non-voter" {
				return false
			}
		}
		return true
	})
}

// leader waits for a leader among the nodes that run.
func (c *cluster) leader() *node {
	c.t.Helper()
	var leader *node
	until(c.t, "there is a leader", func() bool {
		name := c.status().Leader
		for _, n := range c.nodes {
			if n.name == name && n.running() {
				leader = n
			}
		}
		return leader != nil
	})
	return leader
}

// followers are the nodes that run and do not lead.
func (c *cluster) followers() []*node {
	c.t.Helper()
	var out []*node
	leader := c.leader()
	for _, n := range c.nodes {
		if n != leader && n.running() {
			out = append(out, n)
		}
	}
	return out
}

// settled waits until every node has applied and published all there is, and
// returns how they are.
func (c *cluster) settled() *rpc.ClusterStatus {
	c.t.Helper()
	var st *rpc.ClusterStatus
	until(c.t, "every node has applied and published everything", func() bool {
		st = c.status()
		for _, m := range st.Nodes {
			if m.State != "alive" || m.AppliedIndex != st.CommitIndex || m.PublishedIndex != st.CommitIndex {
				return false
			}
		}
		return st.Leader != ""
	})
	return st
}

// servers are the sockets of all nodes, beginning with the nth, as --server
// takes them.
func (c *cluster) servers(n int) string {
	s := ""
	for i := range c.nodes {
		if i > 0 {
			s += ","
		}
		s += c.nodes[(n+i)%len(c.nodes)].server()
	}
	return s
}

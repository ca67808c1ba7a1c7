package live

import (
	"github.com/cpctl/cpctl/pkg/rpc"
)

// Await waits until writes go through nodes.
func (c *Cluster) Await(nodes ...*Node) {
	c.t.Helper()
	for _, n := range nodes {
		r := c.Cpctl(n.Server(), nil, "cluster", "health", "--wait")
		if r.Exit != 0 {
			c.t.Fatalf("node %s: exit %d of cluster health --wait\n%s\n%s", n.Name, r.Exit, r.Stderr, n.LogTail())
		}
	}
}

// Status is the cluster as the first node that runs, and was not paused, sees it.
func (c *Cluster) Status() *rpc.ClusterStatus {
	c.t.Helper()
	for _, n := range c.Nodes {
		if n.Running() && !n.paused {
			return c.StatusAt(n)
		}
	}
	c.t.Fatal("no node runs")
	return nil
}

// StatusAt is the cluster as a node sees it.
func (c *Cluster) StatusAt(n *Node) *rpc.ClusterStatus {
	c.t.Helper()
	st := Decode[rpc.ClusterStatus](c.t, c.Must(n.Server(), "cluster", "status", "-o", "json"))
	return &st
}

// Voting waits until every node has caught up and votes, so that one may be lost.
func (c *Cluster) Voting() {
	c.t.Helper()
	Until(c.t, "every node votes", func() bool {
		st := c.Status()
		if st.Leader == "" || len(st.Nodes) != len(c.Nodes) {
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

// Leader waits for a leader among the nodes that run.
func (c *Cluster) Leader() *Node {
	c.t.Helper()
	var leader *Node
	Until(c.t, "there is a leader", func() bool {
		name := c.Status().Leader
		for _, n := range c.Nodes {
			if n.Name == name && n.Running() {
				leader = n
			}
		}
		return leader != nil
	})
	return leader
}

// Followers are the nodes that run and do not lead.
func (c *Cluster) Followers() []*Node {
	c.t.Helper()
	var out []*Node
	leader := c.Leader()
	for _, n := range c.Nodes {
		if n != leader && n.Running() {
			out = append(out, n)
		}
	}
	return out
}

// Settled waits until every node has applied and published all there is, and
// returns how they are.
func (c *Cluster) Settled() *rpc.ClusterStatus {
	c.t.Helper()
	var st *rpc.ClusterStatus
	Until(c.t, "every node has applied and published everything", func() bool {
		st = c.Status()
		for _, m := range st.Nodes {
			if m.State != "alive" || m.AppliedIndex != st.CommitIndex || m.PublishedIndex != st.CommitIndex {
				return false
			}
		}
		return st.Leader != ""
	})
	return st
}

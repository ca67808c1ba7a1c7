package live

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Cluster is a few nodes on this machine.
type Cluster struct {
	Dir   string // holds a directory and a log for each node
	Nodes []*Node
	Net   *Network // between the nodes, of a cluster that was founded apart

	t testing.TB
}

// Found makes a cluster of n voters with these flags on each node, and returns
// when all of them vote.
func Found(t testing.TB, n int, flags ...string) *Cluster {
	t.Helper()
	return New(t).of(n, flags)
}

// of founds the cluster with n voters.
func (c *Cluster) of(n int, flags []string) *Cluster {
	c.t.Helper()
	for range n {
		c.Add(flags...)
	}
	c.Found()
	return c
}

// New makes a cluster without nodes. Everything of it goes with the test.
func New(t testing.TB) *Cluster {
	t.Helper()
	// t.TempDir would put the name of the test into the path of the sockets,
	// which has 107 bytes at most.
	dir, err := os.MkdirTemp("", "cpctl-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Dir: dir, t: t}
	t.Cleanup(func() {
		for _, n := range c.Nodes {
			n.close()
		}
		if c.Net != nil {
			c.Net.close()
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Add adds a node, n1 first, that was not started yet. All but the first will
// join it.
func (c *Cluster) Add(flags ...string) *Node {
	name := fmt.Sprintf("n%d", len(c.Nodes)+1)
	n := &Node{Name: name, Dir: filepath.Join(c.Dir, name), Log: filepath.Join(c.Dir, name+".log"), Flags: flags, t: c.t, address: loopback(), thread: launches()}
	if c.Net != nil {
		c.Net.join(n)
	}
	c.Nodes = append(c.Nodes, n)
	return n
}

// loopback is an address of this machine that nobody else uses, with a port from
// the system. A node keeps the port that it got first; on 127.0.0.1 somebody
// else might be given it while the node is away.
func loopback() string {
	return fmt.Sprintf("127.%d.%d.%d:0", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(254))
}

// Found starts the nodes that were added, one after the other, and returns when
// all of them vote.
func (c *Cluster) Found() {
	c.t.Helper()
	for i, n := range c.Nodes {
		if i > 0 {
			n.Flags = append([]string{"--join", c.Nodes[0].Server()}, n.Flags...)
		}
		n.Start()
		c.Await(n)
	}
	c.Voting()
}

// As is the cluster for a subtest.
func (c *Cluster) As(t testing.TB) *Cluster { return &Cluster{c.Dir, c.Nodes, c.Net, t} }

// Servers are the sockets of all nodes, beginning with the nth, as --server
// takes them.
func (c *Cluster) Servers(n int) string {
	s := ""
	for i := range c.Nodes {
		if i > 0 {
			s += ","
		}
		s += c.Nodes[(n+i)%len(c.Nodes)].Server()
	}
	return s
}

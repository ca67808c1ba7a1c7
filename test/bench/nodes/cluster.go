// Package nodes runs clusters of cpctl for measurements: every node is a process
// with a data directory of its own, on an address of 127/8 of its own.
package nodes

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
)

// Cluster is the nodes that are measured.
type Cluster struct {
	Binary string   // cpctl
	Base   string   // the data directories are in it
	Logs   string   // where the nodes' logs go
	Args   []string // of every node, besides its name and addresses
	Nodes  []*Node
}

// Node is one of them. The process is that of its last start.
type Node struct {
	*Process
	Name, Dir string
	args      []string
	profiles  string // where the sockets for its profiles are
}

// Build makes the binary in base, which is absolute, with build tags. Logs go there too, unless logs names another directory.
func Build(base, logs string, tags ...string) (*Cluster, error) {
	c := &Cluster{Binary: filepath.Join(base, "cpctl"), Base: base, Logs: logs}
	if logs == "" {
		c.Logs = base
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cpctl/cpctl").Output()
	if err != nil {
		return nil, fmt.Errorf("find the source of cpctl: %w", err)
	}
	build := exec.Command("go", "build", "-trimpath", "-tags", strings.Join(tags, ","), "-o", c.Binary, ".")
	build.Dir = strings.TrimSpace(string(root)) // built with its own versions, not with those of a module that measures it
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build cpctl: %w\n%s", err, out)
	}
	return c, nil
}

// Server is the node's socket, as rpc.Options and --server take it.
func (n *Node) Server() string { return "unix:" + filepath.Join(n.Dir, "cpctl.sock") }

// Client is a client of some nodes, which it asks in this order.
func Client(nodes ...*Node) *rpc.Client {
	var servers []string
	for _, n := range nodes {
		servers = append(servers, n.Server())
	}
	return rpc.NewClient(rpc.Options{Servers: servers})
}

// Found makes a cluster of so many voters.
func (c *Cluster) Found(count int) error {
	for range count {
		if _, err := c.Join(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return c.Whole(ctx)
}

// Join adds a node with an empty directory and returns when its socket answers.
// The first founds the cluster.
func (c *Cluster) Join() (*Node, error) {
	i := len(c.Nodes) + 1
	n := &Node{Name: fmt.Sprintf("n%d", i), Dir: filepath.Join(c.Base, fmt.Sprintf("n%d", i)), profiles: c.Base}
	pid := os.Getpid() // measurements side by side have addresses of their own
	n.args = append([]string{"node", "--data-dir", n.Dir, "--name", n.Name, "--listen", fmt.Sprintf("127.%d.%d.%d:0", 64+pid%128, pid>>7%256, i)}, c.Args...)
	if i > 1 {
		n.args = append(n.args, "--join", c.Nodes[0].Server())
	}
	c.Nodes = append(c.Nodes, n)
	return n, c.Start(n)
}

// Part removes a node from the cluster, and ends it. Its directory stays.
func (c *Cluster) Part(ctx context.Context, n *Node) error {
	c.Nodes = slices.DeleteFunc(c.Nodes, func(other *Node) bool { return other == n })
	defer n.End()
	rest := Client(c.Nodes...)
	defer rest.Close()
	if _, err := rest.Remove(ctx, rpc.RemoveArgs{Name: n.Name}); err != nil {
		return fmt.Errorf("remove node %s: %w", n.Name, err)
	}
	return c.Whole(ctx)
}

// Start runs a node and returns when its socket answers.
func (c *Cluster) Start(n *Node) error {
	p, out, err := Launch(n.Name, filepath.Join(c.Logs, n.Name+".log"), []string{"CPCTL_PROFILE=" + n.profiles}, append([]string{c.Binary}, n.args...)...)
	if err != nil {
		return err
	}
	n.Process = p
	return p.readied(out)
}

// End makes sure that no process is left.
func (c *Cluster) End() {
	for _, n := range c.Nodes {
		if n.Process != nil {
			n.End()
		}
	}
}

// Whole waits until every node votes, has caught up, and a write would go through it.
func (c *Cluster) Whole(ctx context.Context) error {
	for _, n := range c.Nodes {
		one := Client(n)
		_, err := one.Health(ctx, true)
		one.Close()
		if err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return c.Until(ctx, "the cluster is whole", func(st *rpc.ClusterStatus) bool {
		return st.Leader != "" && len(st.Nodes) == len(c.Nodes) && !slices.ContainsFunc(st.Nodes, func(m rpc.NodeStatus) bool {
			return m.State != "alive" || m.Role == "non-voter" || m.Lag > 0
		})
	})
}

// Until waits until what the cluster says of itself is so.
func (c *Cluster) Until(ctx context.Context, what string, holds func(*rpc.ClusterStatus) bool) error {
	for {
		st, err := c.Status(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if holds(st) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s: %+v", what, st.Nodes)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Status is what the cluster says of itself, at whichever node answers.
func (c *Cluster) Status(ctx context.Context) (*rpc.ClusterStatus, error) {
	all := Client(c.Nodes...)
	defer all.Close()
	return all.Status(ctx)
}

// Leader is the node that leads, and the others, once the cluster is whole.
func (c *Cluster) Leader(ctx context.Context) (leader *Node, others []*Node, err error) {
	if err := c.Whole(ctx); err != nil {
		return nil, nil, err
	}
	st, err := c.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range c.Nodes {
		if n.Name == st.Leader {
			leader = n
		} else {
			others = append(others, n)
		}
	}
	if leader == nil {
		return nil, nil, fmt.Errorf("node %q leads", st.Leader)
	}
	return leader, others, nil
}

// Size is what is below a name of the data directory, bytes.
func (n *Node) Size(name string) (sum int64) {
	filepath.WalkDir(filepath.Join(n.Dir, name), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it was replaced meanwhile
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

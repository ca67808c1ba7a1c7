package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
)

// patience is how long anything may take before the measurement gives up.
const patience = 2 * time.Minute

// cluster is the nodes that are measured.
type cluster struct {
	binary, base, logs string
	nodes              []*node
}

// node is one of them, and its process while it runs.
type node struct {
	name, dir string
	args      []string
	cmd       *exec.Cmd
	ended     chan struct{}
}

func build(base, logs string) (*cluster, error) {
	c := &cluster{binary: filepath.Join(base, "cpctl"), base: base, logs: logs}
	if logs == "" {
		c.logs = base
	}
	out, err := exec.Command("go", "build", "-trimpath", "-o", c.binary, "github.com/cpctl/cpctl").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("build cpctl: %w\n%s", err, out)
	}
	return c, nil
}

func (n *node) server() string { return "unix:" + filepath.Join(n.dir, "cpctl.sock") }

// client is a client of some nodes, which it asks in this order.
func client(nodes ...*node) *rpc.Client {
	var servers []string
	for _, n := range nodes {
		servers = append(servers, n.server())
	}
	return rpc.NewClient(rpc.Options{Servers: servers})
}

// found makes a cluster of so many voters, and something to write to.
func (c *cluster) found(count int) error {
	for i := range count {
		n := &node{name: fmt.Sprintf("n%d", i+1)}
		n.dir = filepath.Join(c.base, n.name)
		n.args = []string{"node", "--data-dir", n.dir, "--name", n.name, "--listen", fmt.Sprintf("127.%d.%d.%d:0", 64+os.Getpid()%128, os.Getpid()>>7%256, i+1)}
		if i > 0 {
			n.args = append(n.args, "--join", c.nodes[0].server())
		}
		c.nodes = append(c.nodes, n)
		if err := c.start(n); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.whole(ctx); err != nil {
		return err
	}
	all := client(c.nodes...)
	defer all.Close()
	_, err := all.Write(ctx, &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"})
	return err
}

// start runs a node and returns when its socket answers.
func (c *cluster) start(n *node) error {
	n.cmd = exec.Command(c.binary, n.args...)
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(c.logs, n.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd.Stderr = log
	if err := n.cmd.Start(); err != nil {
		return err
	}
	n.ended = make(chan struct{})
	line, err := bufio.NewReader(out).ReadString('\n')
	go func(cmd *exec.Cmd, ended chan struct{}) { cmd.Wait(); close(ended) }(n.cmd, n.ended)
	if err != nil || !strings.HasPrefix(line, "ready: ") {
		return fmt.Errorf("node %s did not start: %q, %v", n.name, line, err)
	}
	return nil
}

// stop ends a node with a signal and returns when its process has ended.
func (n *node) stop(sig os.Signal) error {
	if err := n.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-n.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("node %s does not end", n.name)
	}
}

// end makes sure that no process is left.
func (c *cluster) end() {
	for _, n := range c.nodes {
		if n.ended != nil {
			n.cmd.Process.Kill()
			<-n.ended
		}
	}
}

// whole waits until every node votes, has caught up, and a write would go through it.
func (c *cluster) whole(ctx context.Context) error {
	for _, n := range c.nodes {
		one := client(n)
		_, err := one.Health(ctx, true)
		one.Close()
		if err != nil {
			return fmt.Errorf("node %s: %w", n.name, err)
		}
	}
	all := client(c.nodes...)
	defer all.Close()
	for {
		st, err := all.Status(ctx)
		if err != nil {
			return err
		}
		if st.Leader != "" && len(st.Nodes) == len(c.nodes) && !slices.ContainsFunc(st.Nodes, func(m rpc.NodeStatus) bool {
			return m.State != "alive" || m.Role == "non-voter" || m.Lag > 0
		}) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster is not whole: %+v", st.Nodes)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// leader is the node that leads, and the others.
func (c *cluster) leader(ctx context.Context) (leader *node, others []*node, err error) {
	if err := c.whole(ctx); err != nil {
		return nil, nil, err
	}
	all := client(c.nodes...)
	defer all.Close()
	st, err := all.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range c.nodes {
		if n.name == st.Leader {
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

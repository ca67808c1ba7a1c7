package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
)

// patience is how long anything may take before the measurement gives up.
const patience = time.Hour

// cluster is the nodes that are measured.
type cluster struct{ nodes []*node }

type node struct {
	name, dir string
	cmd       *exec.Cmd
}

// found makes a cluster of count voters.
func found(work string, count int, timeout time.Duration) (*cluster, error) {
	binary := filepath.Join(work, "cpctl")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", binary, "github.com/cpctl/cpctl").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build cpctl: %w\n%s", err, out)
	}
	c := &cluster{}
	for i := range count {
		n := &node{name: fmt.Sprintf("n%d", i+1)}
		n.dir = filepath.Join(work, n.name)
		args := []string{"node", "--data-dir", n.dir, "--name", n.name, "--listen", "127.0.0.1:0",
			"--heartbeat-timeout", timeout.String(), "--election-timeout", timeout.String()}
		if i > 0 {
			args = append(args, "--join", c.nodes[0].server())
		}
		c.nodes = append(c.nodes, n)
		if err := n.start(binary, args); err != nil {
			c.end()
			return nil, err
		}
	}
	return c, c.until("every node votes", func(st *rpc.ClusterStatus) bool {
		voting := 0
		for _, n := range st.Nodes {
			if n.Role != "non-voter" && n.State == "alive" {
				voting++
			}
		}
		return voting == count
	})
}

func (n *node) start(binary string, args []string) error {
	n.cmd = exec.Command(binary, args...)
	log, err := os.Create(n.dir + ".log")
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd.Stderr = log
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	if ready, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(ready, "ready: ") {
		return fmt.Errorf("node %s did not start: %q, %w", n.name, ready, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := n.connect()
	defer c.Close()
	_, err = c.Health(ctx, true)
	return err
}

func (n *node) server() string { return "unix:" + filepath.Join(n.dir, "cpctl.sock") }

func (n *node) connect() *rpc.Client {
	return rpc.NewClient(rpc.Options{Servers: []string{n.server()}})
}

// end makes sure that no process is left.
func (c *cluster) end() {
	for _, n := range c.nodes {
		if n.cmd != nil && n.cmd.Process != nil {
			n.cmd.Process.Kill()
			n.cmd.Wait()
		}
	}
}

func (c *cluster) status() (*rpc.ClusterStatus, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := c.nodes[0].connect()
	defer client.Close()
	return client.Status(ctx)
}

func (c *cluster) until(what string, holds func(*rpc.ClusterStatus) bool) error {
	for late := time.After(patience); ; {
		st, err := c.status()
		if err == nil && holds(st) {
			return nil
		}
		select {
		case <-late:
			return fmt.Errorf("not in time: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settled waits until every node's files show its state.
func (c *cluster) settled() error {
	return c.until("files that show the archive", func(st *rpc.ClusterStatus) bool {
		for _, n := range st.Nodes {
			if n.PublishedIndex+50 < st.CommitIndex || n.State != "alive" { // a writer goes on
				return false
			}
		}
		return true
	})
}

// cut waits until every node has cut its log behind a large restore.
func (c *cluster) cut() error {
	for late := time.After(2 * time.Minute); ; {
		missing := ""
		for _, n := range c.nodes {
			log, err := os.ReadFile(n.dir + ".log")
			if err != nil {
				return err
			}
			if !strings.Contains(string(log), "the log was cut") {
				missing = n.name
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-late:
			return errors.New("the log was not cut by " + missing)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// memory is what a process has and had at most, resident, bytes.
type memory struct{ now, most int64 }

func (n *node) memory() (m memory, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		return m, err
	}
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmHWM:":
			m.most = kib << 10
		case "VmRSS:":
			m.now = kib << 10
		}
	}
	return m, nil
}

// size is what is below a name of the data directory, bytes.
func (n *node) size(name string) (sum int64) {
	filepath.WalkDir(filepath.Join(n.dir, name), func(_ string, d fs.DirEntry, err error) error {
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

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

// patience is how long anything may take before the measurement gives up.
const patience = 10 * time.Minute

// node is the one that is measured.
type node struct {
	binary, dir string
	cmd         *exec.Cmd
	lines       chan line // of its log, as they are written
	tenants     int
}

// line is one line of the log of a node.
type line struct {
	at   time.Time
	Msg  string                   `json:"msg"`
	Took map[string]time.Duration `json:"took"`
}

// phase is a part of the start that the node itself measured.
type phase struct {
	name string
	took time.Duration
}

// restart is how long a start took from the first moment of the process.
type restart struct {
	answers  time.Duration // the socket answers
	writes   time.Duration // a write would succeed
	compared time.Duration // every file was compared with the state
	phases   []phase
}

func (r restart) phase(name string) time.Duration {
	for _, p := range r.phases {
		if p.name == name {
			return p.took
		}
	}
	return 0
}

func build(work string) (*node, error) {
	c, err := nodes.Build(work, "")
	if err != nil {
		return nil, err
	}
	return &node{binary: c.Binary, dir: filepath.Join(work, "n")}, nil
}

func (n *node) server() string { return "unix:" + filepath.Join(n.dir, "cpctl.sock") }

func (n *node) connect() *rpc.Client {
	return rpc.NewClient(rpc.Options{Servers: []string{n.server()}})
}

// start runs the node and returns when a write would succeed.
func (n *node) start() (r restart, err error) {
	n.cmd = exec.Command(n.binary, "node", "--data-dir", n.dir, "--listen", "127.0.0.1:0", "--log-format", "json")
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	log, err := n.cmd.StderrPipe()
	if err != nil {
		return r, err
	}
	begun := time.Now()
	if err := n.cmd.Start(); err != nil {
		return r, err
	}
	n.lines = make(chan line, 1024)
	go follow(log, n.lines)
	ready, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(ready, "ready: ") {
		return r, fmt.Errorf("the node did not start: %q, %w", ready, err)
	}
	r.answers = time.Since(begun)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := n.connect()
	defer c.Close()
	if _, err := c.Health(ctx, true); err != nil {
		return r, err
	}
	r.writes = time.Since(begun)
	return r, nil
}

// follow passes on the lines of a log, and forgets those that nobody reads.
func follow(log io.Reader, to chan<- line) {
	defer close(to)
	for in := bufio.NewScanner(log); in.Scan(); {
		l := line{at: time.Now()}
		if json.Unmarshal(in.Bytes(), &l) == nil {
			select {
			case to <- l:
			default:
			}
		}
	}
}

// restart ends the process with a signal and starts it again.
func (n *node) restart(sig os.Signal) (r restart, err error) {
	if err := n.stop(sig); err != nil {
		return r, err
	}
	begun := time.Now()
	if r, err = n.start(); err != nil {
		return r, err
	}
	for late := time.After(patience); ; {
		select {
		case l, more := <-n.lines:
			switch {
			case !more:
				return r, errors.New("the node has ended")
			case l.Msg == "the state is loaded":
				for _, name := range []string{"log", "snapshot", "replay"} {
					r.phases = append(r.phases, phase{name, l.Took[name]})
				}
			case l.Msg == "files compared with the state", l.Msg == "files verified":
				r.compared = l.at.Sub(begun)
				return r, nil
			}
		case <-late:
			return r, errors.New("the node did not compare its files")
		}
	}
}

func (n *node) stop(sig os.Signal) error {
	if err := n.cmd.Process.Signal(sig); err != nil {
		return err
	}
	n.cmd.Wait() // of SIGKILL it says nothing else
	return nil
}

// end makes sure that no process is left.
func (n *node) end() {
	if n.cmd != nil && n.cmd.Process != nil {
		n.cmd.Process.Kill()
		n.cmd.Process.Release()
	}
}

const callers = 256 // at once: they share log entries

// times calls change with a connection to the node for 0 to count-1, and returns
// the first error.
func (n *node) times(count int, change func(i int) *mutation.Request) error {
	c := n.connect()
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := nodes.Callers(callers, nodes.Numbers(0, count), func(_, i int) error {
		_, err := c.Write(ctx, change(i))
		return err
	})
	return err
}

func (n *node) slug(i int) string { return fmt.Sprintf("tenant-%02d", i%n.tenants) }

func (n *node) client(op mutation.Op, i int, patch string) *mutation.Request {
	return &mutation.Request{Op: op, Tenant: n.slug(i), Name: fmt.Sprintf("client-%06d", i), Patch: json.RawMessage(patch)}
}

// fill makes the tenants and their clients.
func (n *node) fill(tenants, clients int) error {
	n.tenants = tenants
	quota := json.RawMessage(fmt.Sprintf(`{"quotas":{"max_clients":%d}}`, clients))
	err := n.times(tenants, func(i int) *mutation.Request {
		return &mutation.Request{Op: mutation.OpTenantCreate, Tenant: n.slug(i), Name: n.slug(i), Patch: quota}
	})
	if err != nil {
		return err
	}
	return n.times(clients, func(i int) *mutation.Request {
		return n.client(mutation.OpClientCreate, i, fmt.Sprintf(
			`{"client_name":"Client %d","token_endpoint_auth_method":"none","redirect_uris":["https://c%d.example.com/callback"]}`, i, i))
	})
}

// change updates some clients, so that there is something to replay.
func (n *node) change(from, count int) error {
	return n.times(count, func(i int) *mutation.Request {
		return n.client(mutation.OpClientUpdate, from+i, fmt.Sprintf(`{"description":"changed at %d"}`, time.Now().UnixNano()))
	})
}

// verify saves the state and measures how long it takes to verify it.
func (n *node) verify(file string, rounds int) (took []time.Duration, err error) {
	if _, err := nodes.Save(n.binary, n.server(), file); err != nil {
		return nil, err
	}
	for range rounds {
		d, err := nodes.Verify(n.binary, file)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	return took, nil
}

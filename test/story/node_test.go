package story_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cpctl/cpctl/test/live"
)

// patience bounds every wait for something that has to happen. It is long
// because the machine may be busy; nothing waits for it to pass.
const patience = 60 * time.Second

type fleetKey struct{}

// fleet is the nodes of one script, by name. Each has its data directory NAME,
// and its log in NAME.log.
type fleet struct {
	t    testing.TB
	dir  string
	vars []string

	mu    sync.Mutex
	nodes map[string]*process
}

// process is one run of a node.
type process struct {
	flags []string // after those that every node has
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
}

func newFleet(e *testscript.Env) *fleet {
	f := &fleet{t: e.T().(testing.TB), dir: e.WorkDir, vars: e.Vars, nodes: map[string]*process{}}
	e.Defer(f.end)
	return f
}

// runNode is
//
//	node start NAME [flags]   run it, until it says that it is ready
//	node stop NAME            SIGTERM; it must exit 0
//	node kill9 NAME...        SIGKILL, to all before waiting for any
//	node restart NAME         stop and start with the same flags
//	node again NAME           start with the same flags
//	node pause NAME           SIGSTOP
//	node resume NAME          SIGCONT
//	node exited NAME CODE     wait for it to end by itself, with this code
func runNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: node start|stop|kill9|restart|again|pause|resume|exited NAME...")
	}
	f, name := ts.Value(fleetKey{}).(*fleet), args[1]
	switch args[0] {
	case "start":
		ts.Check(f.start(name, args[2:]))
	case "again":
		ts.Check(f.start(name, f.flags(name)))
	case "stop":
		ts.Check(f.stop(name))
	case "restart":
		ts.Check(f.stop(name))
		ts.Check(f.start(name, f.flags(name)))
	case "pause":
		ts.Check(f.signal(name, syscall.SIGSTOP))
	case "resume":
		ts.Check(f.signal(name, syscall.SIGCONT))
	case "kill9":
		for _, name := range args[1:] {
			ts.Check(f.signal(name, syscall.SIGKILL))
		}
		for _, name := range args[1:] {
			_, err := f.wait(name)
			ts.Check(err)
		}
	case "exited":
		code, err := f.wait(name)
		ts.Check(err)
		if len(args) != 3 || fmt.Sprint(code) != args[2] {
			ts.Fatalf("node %s exited with %d, want %v", name, code, args[2:])
		}
	default:
		ts.Fatalf("node %s: unknown", args[0])
	}
}

func (f *fleet) get(name string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[name]
}

func (f *fleet) flags(name string) []string {
	if p := f.get(name); p != nil {
		return p.flags
	}
	return nil
}

var readyLine = regexp.MustCompile(`^ready: node (\S+), cluster [0-9a-f-]{36}, 127\.0\.0\.1:[1-9]\d*\n$`)

// start runs a node until its first line on stdout, which must be the one that
// the contract promises.
func (f *fleet) start(name string, flags []string) error {
	path, err := exec.LookPath("cpctl")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(f.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p := &process{flags: flags, ended: make(chan struct{})}
	p.cmd = exec.Command(path, append([]string{"node", "--data-dir", name, "--name", name, "--listen", "127.0.0.1:0"}, flags...)...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = f.dir, f.vars, log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	f.mu.Lock()
	f.nodes[name] = p
	f.mu.Unlock()
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(stdout)
		line, _ := r.ReadString('\n') // an error leaves a line that is not the one
		first <- line
		io.Copy(io.Discard, r)
		p.cmd.Wait() // the code is in ProcessState
		close(p.ended)
	}()
	select {
	case line := <-first:
		if m := readyLine.FindStringSubmatch(line); m == nil || m[1] != name {
			return fmt.Errorf("node %s said %q in place of being ready", name, line)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("node %s was not ready after %s", name, patience)
	}
}

func (f *fleet) signal(name string, s os.Signal) error {
	p := f.get(name)
	if p == nil {
		return fmt.Errorf("there is no node %s", name)
	}
	if err := p.cmd.Process.Signal(s); err != nil || s != syscall.SIGSTOP {
		return err
	}
	for late := time.After(live.Patience); !live.Stopped(p.cmd.Process.Pid); {
		select {
		case <-late:
			return fmt.Errorf("node %s does not stand still", name)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// wait waits for a node to end; -1 is the code of one that was killed.
func (f *fleet) wait(name string) (int, error) {
	p := f.get(name)
	if p == nil {
		return 0, fmt.Errorf("there is no node %s", name)
	}
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("node %s did not end within %s", name, patience)
	}
}

func (f *fleet) stop(name string) error {
	if err := f.signal(name, syscall.SIGTERM); err != nil {
		return err
	}
	code, err := f.wait(name)
	if err == nil && code != 0 {
		err = fmt.Errorf("node %s exited with %d after SIGTERM, want 0", name, code)
	}
	return err
}

// end ends what still runs, and looks for what no node may ever write.
func (f *fleet) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.nodes {
		p.cmd.Process.Signal(syscall.SIGCONT) // an error: it has ended
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	for name, p := range f.nodes {
		select {
		case <-p.ended:
		case <-time.After(patience):
			f.t.Errorf("node %s did not end after SIGTERM", name)
			p.cmd.Process.Kill()
			<-p.ended
		}
		log, err := os.ReadFile(filepath.Join(f.dir, name+".log"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			f.t.Error(err)
		}
		for _, bad := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
			if bytes.Contains(log, []byte(bad)) {
				f.t.Errorf("the log of node %s has %q", name, bad)
			}
		}
		if f.t.Failed() {
			f.t.Logf("the end of %s.log:\n%s", name, log[max(0, len(log)-6000):])
		}
	}
}

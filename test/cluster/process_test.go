package cluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen. The machine may have
// other work: only a broken product makes anybody wait that long.
const patience = 60 * time.Second

// environ is what processes get: nothing of the caller's that cpctl reads.
func environ(home string, more ...string) []string {
	env := []string{runAsCpctl + "=1", "HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1",
		"GORACE=atexit_sleep_ms=0"} // the race detector would let each command wait a second for reports
	return append(env, more...)
}

// process is a `cpctl node` that runs.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended, by itself or not
	state  *os.ProcessState
}

// launch starts a process that dies with this one, also when a test panics.
func launch(c *exec.Cmd) (*process, error) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: c, exited: make(chan struct{})}
	started := make(chan error)
	launches() <- func() { started <- c.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	go func() {
		c.Wait() // the state says how it ended
		p.state = c.ProcessState
		close(p.exited)
	}()
	return p, nil
}

// launches runs what it gets in one thread that never ends: the kernel sends the
// signal of Pdeathsig when the thread ends that has started the process.
var launches = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// node is a member of a cluster: its directory, and the process while it runs.
type node struct {
	t     *testing.T
	name  string
	dir   string
	flags []string // of `cpctl node`, beyond directory, name and port
	*process
	stopping bool // the test has ended it
}

func (n *node) server() string { return "unix:" + filepath.Join(n.dir, "cpctl.sock") }
func (n *node) data() string   { return filepath.Join(n.dir, "data") }
func (n *node) logFile() string {
	return n.dir + ".log"
}

// start runs the node. It returns at once; cluster health --wait tells when it
// takes part.
func (n *node) start() {
	n.t.Helper()
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	args := append([]string{"node", "--data-dir", n.dir, "--name", n.name, "--listen", "127.0.0.1:0"}, n.flags...)
	c := exec.Command(self(), args...)
	c.Env = environ(filepath.Dir(n.dir))
	c.Stdout, c.Stderr = log, log
	n.stopping = false
	if n.process, err = launch(c); err != nil {
		n.t.Fatalf("start node %s: %v", n.name, err)
	}
}

// kill is kill -9.
func (n *node) kill() {
	n.t.Helper()
	n.stopping = true
	if err := n.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		n.t.Fatalf("kill node %s: %v; it was to run until now\n%s", n.name, err, n.logTail())
	}
	<-n.exited
}

// stop is what a unit file does; the node ends with exit 0.
func (n *node) stop() {
	n.t.Helper()
	n.stopping = true
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatalf("stop node %s: %v\n%s", n.name, err, n.logTail())
	}
	select {
	case <-n.exited:
	case <-time.After(patience):
		n.t.Fatalf("node %s does not stop\n%s", n.name, n.logTail())
	}
	if code := n.state.ExitCode(); code != 0 {
		n.t.Errorf("node %s: exit %d after SIGTERM\n%s", n.name, code, n.logTail())
	}
}

// close ends the node at the end of a test, and says if something was wrong
// with it: a node goes on whatever happens to it here, and races nowhere.
func (n *node) close() {
	if n.process == nil {
		return
	}
	if !n.running() && !n.stopping {
		n.t.Errorf("node %s ended by itself: %v", n.name, n.state)
	}
	if n.running() {
		n.stopping = true
		n.cmd.Process.Kill()
		<-n.exited
	}
	log, err := os.ReadFile(n.logFile())
	if err != nil {
		n.t.Error(err)
	}
	for _, bad := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
		if at := bytes.Index(log, []byte(bad)); at >= 0 {
			n.t.Errorf("node %s: %s", n.name, log[at:min(at+4000, len(log))])
		}
	}
	if n.t.Failed() {
		n.t.Logf("the log of node %s ends\n%s", n.name, n.logTail())
	}
}

// logTail is the end of the node's log, for the message of a failure.
func (n *node) logTail() string {
	b, err := os.ReadFile(n.logFile())
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b[max(0, len(b)-3000):])
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		if holds() {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// self is the test binary.
var self = sync.OnceValue(func() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
})

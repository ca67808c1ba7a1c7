package live

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// LogsKept is the environment variable that names a directory for the logs of
// failed tests' nodes. Without it they go with the test.
const LogsKept = "CPCTL_TEST_LOGS"

// Node is a member of a cluster: its directory, and the process while it runs.
// A test may change Dir, Flags, Env, Clock and Wrap while it does not run.
type Node struct {
	Name  string
	Dir   string   // its data directory, such as a mount point; a start makes it
	Log   string   // the file with all that it ever said
	Flags []string // of `cpctl node`, beyond directory, name and address
	Env   []string // beyond Environ

	// Clock is how far its wall clock is off.
	Clock time.Duration

	// Wrap is a command to put in front, nothing if it is empty. It has to end as
	// the node itself (`env`, `sh -c '...; exec "$0" "$@"'`, `strace -D`), so that
	// signals reach the node and its exit code is seen.
	Wrap []string

	t         testing.TB
	address   string   // where it listens
	advertise string   // where the others reach it, if that is elsewhere
	thread    thread   // starts it
	process   *process // the newest; nil before the first start
	ours      bool     // the test has ended it, or has waited for its end
	paused    bool
}

// Server is the node's socket, as --server takes it.
func (n *Node) Server() string { return "unix:" + filepath.Join(n.Dir, "cpctl.sock") }

// Data is where an authorization server beside the node reads.
func (n *Node) Data() string { return filepath.Join(n.Dir, "data") }

// Start runs the node. It returns at once; Cluster.Await waits until it takes
// part.
func (n *Node) Start() {
	n.t.Helper()
	log, err := os.OpenFile(n.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	args := append(append([]string{}, n.Wrap...), Self(), "node", "--data-dir", n.Dir, "--name", n.Name, "--listen", n.address)
	if n.advertise != "" {
		args = append(args, "--advertise", n.advertise)
	}
	args = append(args, n.Flags...)
	c := exec.Command(args[0], args[1:]...)
	c.Env = Environ(filepath.Dir(n.Log), n.Env...)
	if n.Clock != 0 {
		c.Env = append(c.Env, clockOff+"="+n.Clock.String())
	}
	c.Stdout, c.Stderr = log, log
	n.ours, n.paused = false, false
	if n.process, err = n.thread.launch(c); err != nil {
		n.t.Fatalf("start node %s: %v", n.Name, err)
	}
}

// Running says whether it was started and has not ended.
func (n *Node) Running() bool { return n.process != nil && n.process.running() }

// Deserted says whether it has ended by itself, and no test has waited for that.
func (n *Node) Deserted() bool { return n.process != nil && !n.process.running() && !n.ours }

// PID is the process id of a node that was started.
func (n *Node) PID() int { return n.process.cmd.Process.Pid }

// ExitCode is how the node ended: -1 after a signal, and while it runs.
func (n *Node) ExitCode() int {
	if n.process == nil || n.process.running() {
		return -1
	}
	return n.process.state.ExitCode()
}

// Kill is kill -9 of a node that has to be running.
func (n *Node) Kill() {
	n.t.Helper()
	if !n.Running() {
		n.t.Fatalf("node %s was to run until it is killed, and ended with exit %d\n%s", n.Name, n.ExitCode(), n.LogTail())
	}
	n.Off()
}

// Off is kill -9 of a node that may have ended by itself, with any exit code.
func (n *Node) Off() {
	n.ours = true
	if n.process != nil {
		n.process.cmd.Process.Kill()
		<-n.process.exited
	}
}

// Stop is what a unit file does; the node ends with exit 0.
func (n *Node) Stop() {
	n.t.Helper()
	if err := n.process.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatalf("stop node %s: %v\n%s", n.Name, err, n.LogTail())
	}
	n.Ends(0)
}

// Ends waits until the node has ended, by itself, with an exit code.
func (n *Node) Ends(code int) {
	n.t.Helper()
	n.ours = true
	select {
	case <-n.process.exited:
	case <-time.After(Patience):
		n.t.Fatalf("node %s does not end\n%s", n.Name, n.LogTail())
	}
	if got := n.ExitCode(); got != code {
		n.t.Errorf("node %s: exit %d, want %d\n%s", n.Name, got, code, n.LogTail())
	}
}

// close ends the node at the end of a test, and says if something was wrong
// with it: a node goes on whatever happens to it, unless the test waited for
// its end, and races nowhere.
func (n *Node) close() {
	if n.process == nil {
		return
	}
	if n.Deserted() {
		n.t.Errorf("node %s ended by itself: %v", n.Name, n.process.state)
	}
	if n.t.Failed() {
		n.confess()
	}
	n.Off()
	log, err := os.ReadFile(n.Log)
	if err != nil {
		n.t.Error(err)
	}
	for _, bad := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
		if at := bytes.Index(log, []byte(bad)); at >= 0 {
			n.t.Errorf("node %s: %s", n.Name, log[at:min(at+4000, len(log))])
		}
	}
	if n.t.Failed() {
		log := n.LogTail() // of each node little: what failed is to be seen beside it
		n.t.Logf("the log of node %s ends\n%s", n.Name, log[max(0, len(log)-800):])
	}
}

// confess keeps what a node of a failed test said and was doing, every goroutine
// of it, in the directory that LogsKept names, if it names one.
func (n *Node) confess() {
	dir := os.Getenv(LogsKept)
	if dir == "" {
		return
	}
	if n.Running() {
		n.ours = true
		n.process.cmd.Process.Signal(syscall.SIGCONT)
		n.process.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-n.process.exited:
		case <-time.After(Patience):
		}
	}
	log, err := os.ReadFile(n.Log)
	if err == nil {
		name := strings.NewReplacer("/", "-", " ", "-").Replace(n.t.Name())
		err = errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name+"-"+n.Name+".log"), log, 0o600))
	}
	if err != nil {
		n.t.Error(err)
	}
}

// LogTail is the end of the node's log, for the message of a failure.
func (n *Node) LogTail() string {
	b, err := os.ReadFile(n.Log)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b[max(0, len(b)-3000):])
}

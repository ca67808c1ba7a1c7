package live

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Pause stops the process as SIGSTOP does, between two instructions: it answers
// nobody, its connections stay open, and it does not know of it afterwards. It
// counts as running, and can be killed.
func (n *Node) Pause() {
	n.t.Helper()
	n.paused = true
	n.signal(syscall.SIGSTOP)
	Until(n.t, "node "+n.Name+" stands still", func() bool { return Stopped(n.PID()) })
}

// Stopped reports whether every thread of a process stands still, or it is gone. One that gets SIGSTOP
// hands it on when it runs next, which on a busy machine takes a while; until then the
// others go on.
func Stopped(pid int) bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if _, state, _ := strings.Cut(string(b), ") "); !strings.HasPrefix(state, "T") { // the name before may hold anything but this
			return false
		}
	}
	return true
}

// Resume ends a Pause.
func (n *Node) Resume() {
	n.t.Helper()
	n.signal(syscall.SIGCONT)
	n.paused = false
}

// Paused says whether it stands still.
func (n *Node) Paused() bool { return n.paused && n.Running() }

func (n *Node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.process.cmd.Process.Signal(s); err != nil {
		n.t.Fatalf("send %s to node %s: %v\n%s", s, n.Name, err, n.LogTail())
	}
}

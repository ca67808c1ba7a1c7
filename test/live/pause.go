package live

import "syscall"

// Pause stops the process as SIGSTOP does, between two instructions: it answers
// nobody, its connections stay open, and it does not know of it afterwards. It
// counts as running, and can be killed.
func (n *Node) Pause() {
	n.t.Helper()
	n.paused = true
	n.signal(syscall.SIGSTOP)
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

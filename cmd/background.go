package cmd

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// niceness of work that has time, see setpriority(2).
const niceness = 10

// background lets a command that has time give way to others on its machine, which
// may be a node that serves. It is best effort: on Linux each thread has a priority
// of its own, which those that it makes inherit.
func background() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if is, err := unix.Getpriority(unix.PRIO_PROCESS, id); err == nil && 20-is < niceness { // the system call says 20 minus it
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness)
		}
	}
}

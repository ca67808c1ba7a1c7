// Command once runs a command and prints how long it took, in nanoseconds, and
// how much memory it had at most, in KiB. It is a small process of its own because
// Linux counts what the parent has resident when it starts a process to that
// process: less than this can not be measured, and less than compare itself has
// should be.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

func main() {
	c := exec.Command(os.Args[1], os.Args[2:]...)
	c.Stderr = os.Stderr
	begun := time.Now()
	err := c.Run()
	took := time.Since(begun)
	if err != nil {
		fmt.Fprintln(os.Stderr, "once:", err)
		os.Exit(1)
	}
	fmt.Println(took.Nanoseconds(), c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
}

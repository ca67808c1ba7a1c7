// Command once runs a command and prints how long it took, in nanoseconds, and
// how much memory it had at most, in KiB. Linux counts what a parent has resident
// to the process that it starts, so the parent has to be small: compare itself is
// larger than what it measures.
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

package nodes

import (
	"fmt"
	"os/exec"
	"time"
)

// Save writes an archive of the state, as an operator does, and tells how long the
// whole process took.
func Save(binary, server, file string) (time.Duration, error) {
	return Timed(exec.Command(binary, "-s", server, "snapshot", "save", file, "--timeout", "0"))
}

// Verify reads an archive to its end, and tells how long the whole process took.
func Verify(binary, file string) (time.Duration, error) {
	return Timed(exec.Command(binary, "snapshot", "verify", file))
}

// Timed runs a command to its end.
func Timed(cmd *exec.Cmd) (time.Duration, error) {
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return time.Since(began), nil
}

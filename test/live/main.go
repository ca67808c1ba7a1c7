package live

import (
	"os"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/cmd"
)

// runAsCpctl in the environment makes the test binary cpctl.
const runAsCpctl = "CPCTL_TEST_PROCESS"

// Main runs the tests, or cpctl if that is what this process was started for.
// It does not return.
func Main(m *testing.M) {
	if AsCpctl() {
		os.Exit(cmd.Main(system(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// AsCpctl says whether this process was started to be cpctl, and not to test.
func AsCpctl() bool { return os.Getenv(runAsCpctl) != "" }

// Environ is what processes get: nothing of the caller's that cpctl reads. home
// is for what they would keep outside of their directories.
func Environ(home string, more ...string) []string {
	env := []string{runAsCpctl + "=1", "HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1",
		"GORACE=atexit_sleep_ms=0"} // the race detector would let each command wait a second for reports
	return append(env, more...)
}

// Self is the test binary.
var Self = sync.OnceValue(func() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
})

package cluster

import (
	"os"
	"testing"

	"github.com/cpctl/cpctl/cmd"
)

// runAsCpctl in the environment makes the test binary cpctl.
const runAsCpctl = "CPCTL_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(runAsCpctl) != "" {
		os.Exit(cmd.Main(cmd.System(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

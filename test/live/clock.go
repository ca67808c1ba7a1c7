package live

import (
	"os"
	"time"

	"github.com/cpctl/cpctl/cmd"
)

// clockOff in the environment of a process of cpctl is how far its wall clock is
// off. The product knows nothing of it.
const clockOff = "CPCTL_TEST_CLOCK"

// system is the world of a process of cpctl, with the clock that the test gave it.
func system() *cmd.Env {
	env := cmd.System()
	if off, err := time.ParseDuration(os.Getenv(clockOff)); err == nil {
		env.Now = func() time.Time { return time.Now().Add(off) }
	}
	return env
}

package faults

import (
	"flag"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

var (
	kills  = flag.Int("kills", 0, "how many times each test of kills kills; 0: as many as end soon")
	losses = flag.Int("losses", 0, "how many times each test of power losses cuts the power; 0: as many as end soon")
	flips  = flag.Int("flips", 0, "how many bits each test of bit rot flips; 0: as many as end soon")
	seed   = flag.Uint64("seed", 0, "decides moments, victims and writes; 0: another one each time")
)

func TestMain(m *testing.M) {
	if !live.AsCpctl() {
		unmounted()
	}
	live.Main(m)
}

// ownMounts in the environment says that nobody else sees what is mounted here.
const ownMounts = "CPCTL_TEST_MOUNTS"

// unmounted runs this process once more, if it can, where its mounts end with
// it, also when it is killed or has taken too long.
func unmounted() {
	unshare, err := exec.LookPath("unshare")
	if err != nil || os.Getenv(ownMounts) != "" || exec.Command(unshare, "--mount", "true").Run() != nil {
		return
	}
	args := append([]string{unshare, "--mount", live.Self()}, os.Args[1:]...)
	if err := syscall.Exec(unshare, args, append(os.Environ(), ownMounts+"=1")); err != nil {
		panic(err)
	}
}

// times is how often something is to be done: what the flag says, or so many.
func times(flag, soon int) int {
	if flag > 0 {
		return flag
	}
	return soon
}

// thisSeed is the seed of a run.
func thisSeed() uint64 {
	if *seed > 0 {
		return *seed
	}
	return uint64(time.Now().UnixNano())
}

package live

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A process is started with what it was to be given: Privately lives on that.
func TestAProcessGetsTheNamespaceItWasToHave(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a mount namespace needs root")
	}
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	c := exec.Command("readlink", "/proc/self/ns/mnt")
	c.Stdout = &out
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	p, err := launches().launch(c)
	if err != nil {
		t.Skipf("no mount namespace: %v", err)
	}
	<-p.exited
	if got := strings.TrimSpace(out.String()); p.state.ExitCode() != 0 || got == "" || got == ours {
		t.Errorf("it ended with %v in %q, this process is in %q", p.state, got, ours)
	}
}

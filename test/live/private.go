package live

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// inPrivate in the environment says that this is done already.
const inPrivate = "CPCTL_TEST_PRIVATE"

// Privately runs the tests in a mount namespace of their own if this process may
// make one: nobody else sees what they mount, and it goes with them however they
// end. It comes first in TestMain.
func Privately() {
	if os.Getenv(runAsCpctl) != "" || os.Getenv(inPrivate) != "" || os.Geteuid() != 0 {
		return
	}
	c := exec.Command(Self(), os.Args[1:]...)
	c.Env = append(os.Environ(), inPrivate+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	p, err := launches().launch(c)
	if errors.Is(err, syscall.EPERM) { // a container's root: the tests that mount will say so
		return
	}
	if err != nil {
		panic(err)
	}
	<-p.exited
	code := p.state.ExitCode()
	if code < 0 { // a signal
		code = 2
	}
	os.Exit(code)
}

// Mounts reports whether tests may mount something.
func Mounts() bool { return os.Getenv(inPrivate) != "" }

package live

import (
	"os"
	"os/exec"
	"syscall"
)

// process is a `cpctl node` that was started.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended, by itself or not
	state  *os.ProcessState
}

// launch starts a process that dies with this one, also when a test panics. It
// inherits what the thread has of its own, such as a network.
func (th thread) launch(c *exec.Cmd) (*process, error) {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &process{cmd: c, exited: make(chan struct{})}
	if err := th.do(c.Start); err != nil {
		return nil, err
	}
	go func() {
		c.Wait() // the state says how it ended
		p.state = c.ProcessState
		close(p.exited)
	}()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

package live

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// process is a `cpctl node` that was started.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended, by itself or not
	state  *os.ProcessState
}

// launch starts a process that dies with this one, also when a test panics.
func launch(c *exec.Cmd) (*process, error) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: c, exited: make(chan struct{})}
	started := make(chan error)
	launches() <- func() { started <- c.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	go func() {
		c.Wait() // the state says how it ended
		p.state = c.ProcessState
		close(p.exited)
	}()
	return p, nil
}

// launches runs what it gets in one thread that never ends: the kernel sends the
// signal of Pdeathsig when the thread ends that has started the process.
var launches = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

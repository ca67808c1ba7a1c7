package nodes

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Patience is how long a process may take to start or to end, and a cluster to
// become whole, before a measurement gives up.
const Patience = 2 * time.Minute

// Process is a server that is measured. It dies with the measurement.
type Process struct {
	Name  string
	cmd   *exec.Cmd
	ended chan struct{}
}

// Launch runs a command that logs to a file, which grows if it is there, and
// returns its output. It has the environment and more.
func Launch(name, log string, more []string, command ...string) (*Process, io.Reader, error) {
	p := &Process{Name: name, cmd: exec.Command(command[0], command[1:]...), ended: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Env = append(os.Environ(), more...)
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer stdout.Close()
	p.cmd.Stdout = stdout
	to, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer to.Close()
	p.cmd.Stderr = to
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	go func() { p.cmd.Wait(); close(p.ended) }() // how it ended is in its log
	return p, out, nil
}

// Stop ends the process with a signal and returns when it has ended.
func (p *Process) Stop(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(Patience):
		return fmt.Errorf("%s does not end", p.Name)
	}
}

// End makes sure that the process is gone.
func (p *Process) End() {
	p.cmd.Process.Kill()
	<-p.ended
}

// tick is the unit of times in /proc: 100 a second on Linux, whatever the kernel's own.
const tick = 10 * time.Millisecond

// CPU is the processor's time that the process has used, its own and the kernel's for it.
func (p *Process) CPU() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(b), ") ") // the name before may hold anything but this
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", p.cmd.Process.Pid, len(f))
	}
	user, err := strconv.ParseInt(f[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(f[12], 10, 64)
	if err != nil {
		return 0, err
	}
	return time.Duration(user+system) * tick, nil
}

// CPU is the sum of what processes have used.
func CPU(all ...*Process) (sum time.Duration, err error) {
	for _, p := range all {
		used, err := p.CPU()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// Memory is what a process has and had at most, resident, in bytes; Mapped is what of
// it are pages of files, which the system takes back when it needs them.
type Memory struct{ Now, Most, Mapped int64 }

// Memory reads it from /proc.
func (p *Process) Memory() (m Memory, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return m, err
	}
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmHWM:":
			m.Most = kib << 10
		case "VmRSS:":
			m.Now = kib << 10
		case "RssFile:":
			m.Mapped = kib << 10
		}
	}
	return m, nil
}

// readied waits for the line that a node prints when its socket answers.
func (p *Process) readied(out io.Reader) error {
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready: ") {
		return fmt.Errorf("node %s did not start: %q, %v", p.Name, line, err)
	}
	return nil
}

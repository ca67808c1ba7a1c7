package fulldisk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

// strace makes the system calls of a node fail that inject names, on one path or
// anywhere. It is a child of the node's that watches it, so that the node is
// ours to signal and to wait for. All other calls go past it (--seccomp-bpf),
// or a start would take many times as long.
func strace(path, inject string) []string {
	calls, _, _ := strings.Cut(inject, ":")
	wrap := []string{"strace", "-D", "--seccomp-bpf", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + inject}
	if path != "" {
		wrap = append(wrap, "-P", path)
	}
	return wrap
}

// needInjection skips where strace cannot do what the tests need.
func needInjection(t *testing.T) {
	t.Helper()
	needTool(t, "strace")
	out, err := exec.Command("strace", append(strace("", "fdatasync:error=EIO:when=1..2")[1:], "true")...).CombinedOutput()
	if err != nil {
		t.Skipf("needs strace that may trace and inject: %v: %s", err, out)
	}
}

// attach makes calls of a running node fail, until heal is called.
func attach(t *testing.T, n *live.Node, path, inject string) (heal func()) {
	t.Helper()
	args := append(strace(path, inject)[3:], "-p", strconv.Itoa(n.PID())) // without its name and what is of a start
	tracer := exec.Command("strace", args...)
	var said strings.Builder
	tracer.Stderr = &said
	tracer.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		tracer.Process.Signal(syscall.SIGTERM) // it lets go of the node
		tracer.Wait()
	})
	t.Cleanup(end)
	live.Until(t, "strace watches node "+n.Name, func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
		return err == nil && strings.Contains(string(b), fmt.Sprintf("TracerPid:\t%d\n", tracer.Process.Pid))
	})
	return end
}

// TestALogThatCannotBeWritten fails each call by which the log and its marker
// reach the disk, at the start and under load. The node ends with exit 13 and
// says why; started again, the cluster has all that it acknowledged.
func TestALogThatCannotBeWritten(t *testing.T) {
	needInjection(t)
	c := live.Found(t, 3)
	n := c.Nodes[0]
	makeTenant(c, n)
	c.Must(n.Server(), "tenant", "create", "padding")
	b := write(t, c, 3, steady, live.Patience)
	for _, tt := range []struct {
		file, inject string
		words        string
	}{
		{"raft.db", "ftruncate:error=ENOSPC:when=1", "no space left on device"},
		{"raft.db", "fsync:error=EIO:when=1", "input/output error"},
		{"raft.db", "fdatasync:error=EIO:when=1", "input/output error"},
		{"raft.db", "fdatasync:error=EIO:when=40", "input/output error"},
		{"raft.db", "fdatasync:error=ENOSPC:when=41", "no space left on device"},
		{"raft.db", "pwrite64:error=ENOSPC:when=1", "no space left on device"},
		{"raft.db", "pwrite64:error=ENOSPC:when=90", "no space left on device"},
		{"raft.db", "pwrite64:error=EIO:when=91", "input/output error"},
		{"raft.db", "pwrite64:error=EROFS:when=60", "read-only file system"},
		{"raft.db", "pwrite64:error=EDQUOT:when=61", "quota"},
		{"tail", "pwrite64:error=ENOSPC:when=1", "no space left on device"},
		{"tail", "pwrite64:error=EIO:when=20", "input/output error"},
		{"committed", "pwrite64:error=ENOSPC:when=1", "no space left on device"},
		{"committed", "pwrite64:error=EIO:when=15", "input/output error"},
		{"committed", "fdatasync:error=EIO:when=2", "input/output error"},
	} {
		ok := t.Run(tt.file+" "+tt.inject, func(t *testing.T) {
			c, n := c.As(t), n
			n.Stop()
			file := filepath.Join(n.Dir, "raft", tt.file)
			n.Wrap = strace(file, tt.inject)
			n.Start()
			if strings.HasPrefix(tt.inject, "ftruncate") || strings.HasPrefix(tt.inject, "fsync") {
				grow(t, c, n)
			}
			n.Ends(13)
			n.Wrap = nil
			saysWhatToDo(t, n, file, tt.words, "start the node again")
			b.more(t, 10)
			n.Start()
			c.Await(n)
			b.more(t, 5)
		})
		if !ok {
			return // the node is not as the next case expects it
		}
	}
	b.end(t, c, n)
	c.Identical()
	noLeftovers(t, n.Dir)
}

// grow makes large entries until raft.db had to become longer, and the node ended.
func grow(t *testing.T, c *live.Cluster, n *live.Node) {
	t.Helper()
	conn := rpc.NewClient(rpc.Options{Servers: []string{c.Nodes[1].Server(), c.Nodes[2].Server()}})
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	note := strings.Repeat("x", 50<<10)
	for i := 0; n.Running() && ctx.Err() == nil; i++ {
		req := &mutation.Request{Op: mutation.OpTenantUpdate, Name: "padding", Patch: fmt.Appendf(nil, `{"settings":{"note":"%d %s"}}`, i, note)}
		if _, err := conn.Write(ctx, req); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFilesThatCannotBeWritten fails the calls that only the publisher makes,
// for a while. The node is degraded and says why, another one leads, and it
// repairs itself when the calls succeed again.
func TestFilesThatCannotBeWritten(t *testing.T) {
	needInjection(t)
	c := live.Found(t, 3)
	n := c.Nodes[0]
	makeTenant(c, n)
	b := write(t, c, 2, steady, live.Patience)
	for i, tt := range []struct {
		path, inject string
		reason       string
	}{
		{"", "renameat,renameat2:error=EIO:when=1+", "io_error"},
		{"", "renameat,renameat2:error=EROFS:when=1+", "io_error"},
		{"", "mkdirat:error=ENOSPC:when=1+", "disk_full"},
		{"data/.applied", "pwrite64:error=EDQUOT:when=1+", "disk_full"},
		{"data/.applied", "pwrite64:error=EIO:when=1+", "io_error"},
	} {
		t.Run(tt.path+" "+tt.inject, func(t *testing.T) {
			c, n := c.As(t), n
			path := tt.path
			if path != "" {
				path = filepath.Join(n.Dir, path)
			}
			pid := n.PID()
			heal := attach(t, n, path, tt.inject)
			c.Must(c.Servers(i), "tenant", "create", fmt.Sprintf("d%d", i)) // a directory is made for it
			b.more(t, 10)
			degraded(t, c, n, tt.reason)
			live.Until(t, "another node leads", func() bool { return c.Leader() != n })
			served(t, c, n, fmt.Sprintf("t%d", i))
			heal()
			repaired(t, c, n, pid, b)
			b.more(t, 5)
		})
	}
	b.end(t, c, n)
	c.Identical()
	noLeftovers(t, n.Dir)
}

package live

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(runAsPeer) != "" {
		fmt.Fprintln(os.Stderr, peer(os.Args[2:]))
		os.Exit(1)
	}
	Main(m)
}

// A node runs where the test wants it, with an environment of its own, behind
// another command, and signals and exit codes are the node's.
func TestANodeRunsAsTheTestSays(t *testing.T) {
	elsewhere, err := os.MkdirTemp("", "cpctl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(elsewhere) })
	c := New(t)
	n := c.Add()
	n.Dir = filepath.Join(elsewhere, "d")
	n.Env = []string{"CPCTL_LOG_FORMAT=json"}
	n.Wrap = []string{"sh", "-c", `echo "in front of $3" >&2; exec "$0" "$@"`}
	c.Found()
	c.Must(n.Server(), "tenant", "create", "acme")
	if files := c.Identical(); files["tenants/acme/tenant.json"] == nil {
		t.Errorf("%d files, and no tenant", len(files))
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", n.PID()))
	if err != nil || !bytes.Contains(environ, []byte("CPCTL_LOG_FORMAT=json\x00")) {
		t.Errorf("the environment is %q, %v", environ, err)
	}
	if log := n.LogTail(); !strings.Contains(log, "in front of "+n.Dir) || !strings.Contains(log, `{"time":`) {
		t.Errorf("the log says\n%s", log)
	}

	// Another one on the same directory ends by itself.
	second := &Node{Name: n.Name, Dir: n.Dir, Log: filepath.Join(c.Dir, "second.log"), t: t, address: loopback(), thread: launches()}
	second.Start()
	second.Ends(1)
	second.close()

	n.Kill()
	n.Start()
	c.Await(n)
	n.Stop()
	if n.Running() || n.ExitCode() != 0 {
		t.Errorf("stopped with exit %d", n.ExitCode())
	}
}

// What is wrong with a node fails the test that it belongs to.
func TestWhatANodeDoesUnaskedIsAFailure(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap string // in place of the node
		do   func(*Node)
		want string
	}{
		{"it ends by itself", "exit 13", func(n *Node) { <-n.process.exited; n.close() }, "node n1 ended by itself: exit status 13"},
		{"it ends otherwise than expected", "exit 12", func(n *Node) { n.Ends(13) }, "node n1: exit 12, want 13"},
		{"it was to be killed and is gone", "exit 13", func(n *Node) { <-n.process.exited; n.Kill() }, "node n1 was to run until it is killed, and ended with exit 13"},
		{"it races", "echo WARNING: DATA RACE; exec sleep 60", func(n *Node) {
			Until(t, "it says so", func() bool { return n.LogTail() != "" })
			n.close()
		}, "node n1: WARNING: DATA RACE"},
		{"it ends as expected", "exit 13", func(n *Node) { n.Ends(13); n.close() }, ""},
		{"it is taken down however it is", "exit 13", func(n *Node) { n.Off(); n.close() }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			heard := &listener{TB: t}
			n := New(t).Add()
			n.t = heard
			n.Wrap = []string{"sh", "-c", tt.wrap}
			n.Start()
			tt.do(n)
			n.Off()
			if got := strings.Join(heard.said, "\n"); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("said %q, want %q", got, tt.want)
			}
		})
	}
}

// listener keeps the failures of a test instead of failing.
type listener struct {
	testing.TB
	said []string
}

func (l *listener) Errorf(format string, args ...any) {
	l.said = append(l.said, fmt.Sprintf(format, args...))
}
func (l *listener) Fatalf(format string, args ...any) { l.Errorf(format, args...) }

package readme_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cpctl/cpctl/cmd"
)

const (
	serveCommand = "go run . node"
	testCommand  = "go test ./..."
)

// patience bounds everything that is waited for, on a machine that is busy.
const patience = time.Minute

// The test's own binary is cpctl when it is called so.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "cpctl" {
		os.Exit(cmd.Main(cmd.System(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// terminal is the shell in which the README's commands are typed.
type terminal struct {
	t    *testing.T
	home string
	env  []string // of what is typed
	in   io.Writer
	out  *bufio.Scanner
}

// endOfCommand is printed after the output of a command.
const endOfCommand = "-- end of command --"

func open(t *testing.T) *terminal {
	t.Helper()
	home, err := os.MkdirTemp("", "readme") // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	bin, work := filepath.Join(home, "bin"), filepath.Join(home, "work")
	self, err := os.Executable()
	if err == nil {
		err = os.MkdirAll(work, 0o700)
	}
	if err == nil {
		err = os.Mkdir(bin, 0o700)
	}
	if err == nil {
		err = os.Symlink(self, filepath.Join(bin, "cpctl"))
	}
	if err != nil {
		t.Fatal(err)
	}
	sh := exec.Command("sh")
	sh.Dir = work
	sh.Env = []string{"HOME=" + home, "PATH=" + bin + ":" + os.Getenv("PATH"), "TMPDIR=" + work,
		"CPCTL_DATA_DIR=" + dataDir(home), // the default, but for root
		"CPCTL_TIMEOUT=" + patience.String()}
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	sh.Stdout, sh.Stderr = pw, pw
	in, err := sh.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, sh)
	pw.Close()
	t.Cleanup(func() { pr.Close() })
	return &terminal{t: t, home: home, env: sh.Env, in: in, out: bufio.NewScanner(pr)}
}

func dataDir(home string) string { return filepath.Join(home, ".local", "state", "cpctl") }

// start starts a process in a group of its own and ends the whole group with the test.
func start(t *testing.T, c *exec.Cmd) {
	t.Helper()
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.WaitDelay = time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		c.Wait() // killed
	})
}

// run types a command and returns what it printed, on both streams. The next
// command sees its exit code in $?.
func (w *terminal) run(command string) ([]string, error) {
	fmt.Fprintf(w.in, "{ %s\n} </dev/null; rc=$?; printf '\\n%s\\n'; (exit $rc)\n", command, endOfCommand)
	var lines []string
	for w.out.Scan() {
		if w.out.Text() == endOfCommand {
			return lines, nil
		}
		lines = append(lines, w.out.Text())
	}
	return lines, fmt.Errorf("the shell ended in %q: %w", command, w.out.Err())
}

// look says whether a command only looks at what happens beside it: a person
// who sees less than expected looks again.
func look(command string) bool {
	return strings.HasPrefix(command, "cpctl cluster status") || strings.HasPrefix(command, "diff ")
}

// check types a command of the README and compares what it prints.
func (w *terminal) check(line int, command string, want []string) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got, err := w.run(command)
		if err != nil {
			w.t.Fatal(err)
		}
		if scrub(got) == scrub(want) {
			return
		}
		if !look(command) || time.Now().After(deadline) {
			w.t.Fatalf("README.md:%d: $ %s\nprinted:\n%s\nthe README says:\n%s", line, command, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// block types all commands of a block.
func (w *terminal) block(b block) {
	w.t.Helper()
	for i := 0; i < len(b.lines); {
		command, ok := strings.CutPrefix(b.lines[i], "$ ")
		if !ok {
			w.t.Fatalf("README.md:%d: not a command: %q", b.line+i, b.lines[i])
		}
		end := i + 1
		for end < len(b.lines) && !strings.HasPrefix(b.lines[end], "$ ") {
			end++
		}
		w.check(b.line+i, command, b.lines[i+1:end])
		i = end
	}
}

// serve runs the README's first command in the clone, and waits for its line.
func (w *terminal) serve() {
	t := w.t
	t.Helper()
	words := strings.Fields(serveCommand)
	server := exec.Command(words[0], words[1:]...)
	server.Dir = root
	server.Env = append(os.Environ(), "CPCTL_DATA_DIR="+dataDir(w.home), "CPCTL_NAME=laptop", "CPCTL_LISTEN=127.0.0.1:0")
	var log bytes.Buffer
	server.Stderr = &log
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, server)
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		said <- line
	}()
	select {
	case line := <-said:
		if !regexp.MustCompile(`^ready: node laptop, cluster [0-9a-f-]{36}, 127\.0\.0\.1:\d+\n$`).MatchString(line) {
			syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
			server.Wait() // killed; log is complete
			t.Fatalf("%s printed %q\n%s", serveCommand, line, log.Bytes())
		}
	case <-time.After(5 * time.Minute): // it compiles first
		t.Fatalf("%s does not answer", serveCommand)
	}
}

// Every console block of the README is typed, in its order, into one shell.
func TestTheTour(t *testing.T) {
	w := open(t)
	w.serve()
	for _, b := range blocks(t, "README.md", "console") {
		w.block(b)
	}
	file := filepath.Join(w.home, "work", "batch.secret")
	secret, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(file)
	if err != nil || st.Mode().Perm() != 0o600 || !bytes.HasPrefix(secret, []byte("cps_")) {
		t.Errorf("batch.secret has mode %v and %d bytes, %v", st.Mode(), len(secret), err)
	}
	dir := dataDir(w.home)
	wantSecret(t, filepath.Join(dir, "data", "tenants", "acme", "clients", "batch.json"), strings.TrimSpace(string(secret)))
	wantKeyPair(t, dir, "acme")
}

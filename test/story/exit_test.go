package story_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// status is
//
//	status CODE program args...
//
// The program must exit with exactly this code; stdout and stderr are checked
// by the lines that follow.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	if got := exitCode(ts, err); got != want {
		ts.Fatalf("exit %d, want %d", got, want)
	}
}

func exitCode(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	ts.Fatalf("%v", err)
	return -1
}

// plainError is what stderr has when something was refused: a line that names
// what is wrong, in lower case and without a period, then lines that are
// indented or an excerpt of the user's file.
var plainError = regexp.MustCompile(`^cpctl: [^\n]*[^\n.]\n((  |> )[^\n]+\n)*$`)

// refused is
//
//	refused CODE cpctl args...
//
// It is status, and what the contract says of every error: nothing on stdout,
// and stderr has the form of one error, never the usage text.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	status(ts, neg, args)
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("an error came with %d bytes on stdout", len(out))
	}
	text := ts.ReadFile("stderr")
	if !plainError.MatchString(text) {
		ts.Fatalf("stderr is not one error with its hints")
	}
	for _, word := range []string{"Usage:", "Error:", "goroutine ", "rpc error"} {
		if strings.Contains(text, word) {
			ts.Fatalf("stderr has %q", word)
		}
	}
}

// interrupted is
//
//	interrupted CODE cpctl args...
//
// The command, which must write to stderr before it is done (-v helps), gets a
// SIGINT after its first line there. It must exit with CODE; a command that was
// interrupted says so, and a node that was stopped does not.
func interrupted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupted CODE program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := command(ts, args[1:])
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	hung := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer hung.Stop()
	var text strings.Builder
	lines := bufio.NewScanner(stderr)
	for first := true; lines.Scan(); first = false {
		text.WriteString(lines.Text() + "\n")
		if first {
			ts.Check(cmd.Process.Signal(syscall.SIGINT))
		}
	}
	code := exitCode(ts, cmd.Wait())
	ts.Stderr().Write([]byte(text.String()))
	if said := strings.Contains(text.String(), "cpctl: "); code != want || said != (want != 0) {
		ts.Fatalf("exit %d, want %d:\n%s", code, want, text.String())
	}
	if want == 130 && !strings.HasSuffix(text.String(), "cpctl: interrupted\n") {
		ts.Fatalf("it did not say so:\n%s", text.String())
	}
}

// closedPipe is
//
//	closedpipe cpctl args...
//
// Nobody reads the stdout of the command: that is no error, and nothing is said.
func closedPipe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: closedpipe program args...")
	}
	r, w, err := os.Pipe()
	ts.Check(err)
	ts.Check(r.Close())
	defer w.Close()
	var stderr strings.Builder
	cmd := command(ts, args)
	cmd.Stdout, cmd.Stderr = w, &stderr
	if code := exitCode(ts, cmd.Run()); code != 0 || stderr.Len() > 0 {
		ts.Fatalf("exit %d, stderr %q; want 0 and silence", code, stderr.String())
	}
}

// command is a command with the environment and directory of the script.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), append([]string{}, ts.Value(fleetKey{}).(*fleet).vars...)
	for _, name := range []string{"CPCTL_DATA_DIR", "CPCTL_SERVER", "CPCTL_TENANT", "CPCTL_TIMEOUT", "NO_COLOR", "CI", "TERM"} { // what scripts change
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd
}

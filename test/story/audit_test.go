package story_test

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// follows is
//
//	follows PATTERN cpctl args...
//
// The command goes on until it is interrupted, which it is once a line of its
// stdout matches. It must exit with 130. What it printed is stdout.
func follows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: follows PATTERN program args...")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	cmd := command(ts, args[1:])
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	hung := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer hung.Stop()
	seen := false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		ts.Stdout().Write([]byte(lines.Text() + "\n"))
		if !seen && want.MatchString(lines.Text()) {
			seen = true
			ts.Check(cmd.Process.Signal(syscall.SIGINT))
		}
	}
	if code := exitCode(ts, cmd.Wait()); code != 130 || !seen {
		ts.Fatalf("exit %d, want 130; a line that matches: %v", code, seen)
	}
}

// edit is
//
//	edit FILE OLD NEW
//
// Hands replace a text that is in a file; an empty one is the file's end.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	path, text := ts.MkAbs(args[0]), ts.ReadFile(args[0])
	if args[1] == "" {
		text += args[2]
	} else if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s holds no %q", args[0], args[1])
	}
	if args[1] != "" {
		text = strings.Replace(text, args[1], args[2], 1)
	}
	ts.Check(os.WriteFile(path, []byte(text), 0o600))
}

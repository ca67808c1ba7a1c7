package story_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// listed is a command in the help of the one above it.
var listed = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}\S`)

// helps is
//
//	helps LEAST cpctl
//
// The program and every command that its help lists, down to the last, print
// their help on stdout, silently otherwise, and exit 0. There are LEAST or more.
func helps(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: helps LEAST program")
	}
	least, err := strconv.Atoi(args[0])
	ts.Check(err)
	seen := 0
	var walk func(path []string)
	walk = func(path []string) {
		seen++
		if err := ts.Exec(path[0], append(path[1:], "--help")...); err != nil {
			ts.Fatalf("%s --help: %v", strings.Join(path, " "), err)
		}
		text := ts.ReadFile("stdout")
		if !strings.Contains(text, strings.Join(path, " ")) || ts.ReadFile("stderr") != "" {
			ts.Fatalf("%s --help does not show itself on stdout alone", strings.Join(path, " "))
		}
		if !strings.Contains(text, "\n  "+strings.Join(path, " ")+" [command]\n") {
			return // it holds no others
		}
		commands, _, _ := strings.Cut(text, "\nFlags:")
		for _, m := range listed.FindAllStringSubmatch(commands, -1) {
			walk(append(append([]string{}, path...), m[1]))
		}
	}
	walk(args[1:])
	if seen < least {
		ts.Fatalf("%d commands, want %d or more", seen, least)
	}
}

// completes is
//
//	completes WORDS args...
//
// Pressing Tab behind `cpctl args...` offers these words, separated by spaces.
// The server is given 400 ms to answer, which a busy machine may take longer
// for, so that it is asked until it does.
func completes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: completes WORDS args...")
	}
	until(ts, func() error {
		if err := ts.Exec("cpctl", append([]string{"__complete"}, args[1:]...)...); err != nil {
			return err
		}
		var words []string
		for line := range strings.Lines(ts.ReadFile("stdout")) {
			if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(word, ":") {
				words = append(words, word)
			}
		}
		if got := strings.Join(words, " "); got != args[0] {
			return fmt.Errorf("it offers %q, want %q", got, args[0])
		}
		return nil
	})
}

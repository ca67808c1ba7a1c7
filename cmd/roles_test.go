package cmd

import (
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/access"
)

func TestHelpShowsWhatEachRoleMayDo(t *testing.T) {
	r := newWorld().run("help", "roles")
	if r.code != 0 || r.err != "" {
		t.Fatalf("exit %d, %s", r.code, r.err)
	}
	for _, row := range access.Table() {
		want := row.Words
		for _, role := range people {
			if row.Allows(role) {
				want += " yes"
			} else {
				want += " -"
			}
		}
		if row.Bound {
			want += " in that tenant"
		} else {
			want += " -"
		}
		var lines []string
		for line := range strings.Lines(r.out) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		if all := "\n" + strings.Join(lines, "\n") + "\n"; !strings.Contains(all, "\n"+want+"\n") {
			t.Errorf("it does not say %q:\n%s", want, r.out)
		}
		if !strings.Contains(manual(), roff(row.Words)) {
			t.Errorf("the manual does not say %q", row.Words)
		}
	}
	newWorld().run("help", "rolls").want(t, 2, "", "cpctl: no help about \"rolls\"\n  did you mean \"roles\"? see: cpctl help roles\n")
	newWorld().run("__complete", "help", "ro").want(t, 0, "roles\tWhat each role may do\n:4\n", "Completion ended with directive: ShellCompDirectiveNoFileComp\n")
}

package cmd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newDocs is the hidden generator of completions/ and man/. cobra/doc costs the
// binary 0.3 MB, less than a second program would cost its readers.
func newDocs() *cobra.Command {
	return &cobra.Command{
		Use: "docs DIR", Short: "Write completions/ and man/ below a directory", Hidden: true, Args: named("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := generated()
			if err != nil {
				return err
			}
			for _, f := range files {
				path := filepath.Join(args[0], f.name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					return err
				}
				if err := os.WriteFile(path, f.text, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// generatedFile is a file that is made from the commands.
type generatedFile struct {
	name string // below the repository
	text []byte
}

// manDate stands on every page: a date of the day would make each build differ.
var manDate = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// generated makes all files of completions/ and man/, the same each time. The
// tree is one of its own, with no environment, so that defaults are the
// documented ones.
func generated() ([]generatedFile, error) {
	var files []generatedFile
	for _, f := range []struct{ shell, name string }{
		{"bash", "cpctl.bash"}, {"zsh", "_cpctl"}, {"fish", "cpctl.fish"}, {"powershell", "cpctl.ps1"},
	} {
		var b bytes.Buffer
		env := &Env{Out: &b}
		if err := writeCompletion(newRoot(env), f.shell, env); err != nil {
			return nil, err
		}
		files = append(files, generatedFile{"completions/" + f.name, b.Bytes()})
	}
	root := newRoot(new(Env))
	root.DisableAutoGenTag = true
	root.InitDefaultHelpCmd()
	pages, err := manPages(root)
	return append(files, pages...), err
}

func manPages(cmd *cobra.Command) ([]generatedFile, error) {
	var b bytes.Buffer
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	header := &doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Source: "cpctl", Manual: "cpctl manual", Date: &manDate}
	if err := doc.GenMan(cmd, header, &b); err != nil {
		return nil, err
	}
	if !cmd.HasParent() {
		b.WriteString(manual())
	}
	files := []generatedFile{{"man/" + name + ".1", b.Bytes()}}
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "help" {
			continue
		}
		more, err := manPages(c)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return files, nil
}

// manual is what cpctl.1 says beyond its flags.
func manual() string {
	var b strings.Builder
	b.WriteString(".SH EXIT CODES\n")
	for _, e := range exits {
		if e.meaning != "" {
			fmt.Fprintf(&b, ".TP\n\\fB%d\\fP\n%s\n", e.exit, roff(e.meaning))
		}
	}
	b.WriteString(".PP\nWith several names it is the code of the first that failed, after all were tried.\n")
	b.WriteString(".SH ENVIRONMENT\nA flag goes before its variable.\n")
	for _, v := range variables() {
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fP\n%s\n", v.name, roff(v.meaning))
	}
	b.WriteString(".SH FILES\n.TP\n\\fI<data-dir>/cpctl.sock\\fP\n" +
		roff("The socket of the local node. The data directory is --data-dir, CPCTL_DATA_DIR, else /var/lib/cpctl for root "+
			"and $XDG_STATE_HOME/cpctl (~/.local/state/cpctl) for others.") + "\n")
	b.WriteString(".TP\n\\fI$XDG_CONFIG_HOME/cpctl/config.yaml\\fP\n" +
		roff("The contexts (default ~/.config/cpctl/config.yaml, else --config or CPCTL_CONFIG), with their keys: mode 0600, or it is refused. "+
			"Commands that write it wait for each other at config.yaml.lock. What a login keeps until it is done is beside it, in config.yaml.login-ID.") + "\n")
	b.WriteString(rolesManual())
	b.WriteString(".SH REQUEST IDS\n" + roff("Every change has a request id: the one of --request-id, or one made for it. The same id with the "+
		"same change within ten minutes takes effect once and gives the first answer; with another change it is refused. "+
		"An id in the form of a UUIDv7 tells when it was made, and is refused once the cluster no longer remembers so far back. "+
		"Other ids tell nothing of their time: once forgotten they count as new.") + "\n")
	return b.String()
}

type variableDoc struct{ name, meaning string }

func variables() []variableDoc {
	vars := []variableDoc{
		{"NO_COLOR", "no colour, if it is not empty and neither --color nor CPCTL_COLOR is given"},
		{"CLICOLOR_FORCE", "colour in a pipe too, never in JSON or YAML"},
	}
	for _, flag := range environment {
		vars = append(vars, variableDoc{variable(flag), "as --" + flag})
	}
	vars = append(vars, variableDoc{"CPCTL_*", "for cpctl node: every flag, in upper case with _ for -"})
	slices.SortFunc(vars, func(a, b variableDoc) int { return strings.Compare(a.name, b.name) })
	return vars
}

// roffLines escapes text whose lines stay as they are.
func roffLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(roff(line))
	}
	return b.String()
}

// roff escapes text for a page of the manual.
func roff(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

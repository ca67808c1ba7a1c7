// Package readme_test holds the README to its word: what it shows is run, and
// what it says of other files is compared with them.
package readme_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var root = filepath.Join("..", "..")

// block is one fenced block of a page.
type block struct {
	language string
	line     int // of its first line of text
	lines    []string
}

func (b block) text() string { return strings.Join(b.lines, "\n") + "\n" }

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// blocks returns the fenced blocks of a page that are in one language.
func blocks(t *testing.T, name, language string) (out []block) {
	t.Helper()
	var in *block
	for i, line := range strings.Split(read(t, name), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && in == nil:
			in = &block{language: fence, line: i + 2}
		case isFence:
			if in.language == language {
				out = append(out, *in)
			}
			in = nil
		case in != nil:
			in.lines = append(in.lines, line)
		}
	}
	if in != nil {
		t.Fatalf("%s:%d: a block without an end", name, in.line)
	}
	if len(out) == 0 {
		t.Fatalf("%s has no block of %s", name, language)
	}
	return out
}

// The commands that a newcomer is given first are the ones that CI runs.
func TestServeAndTestAreOneCommandEach(t *testing.T) {
	var given []string
	for _, b := range blocks(t, "README.md", "sh") {
		given = append(given, b.text())
	}
	ci := read(t, ".ci/run")
	for i, want := range []string{serveCommand, testCommand} {
		if given[i] != want+"\n" {
			t.Errorf("block %d is %q, want %q", i, given[i], want)
		}
	}
	if !strings.Contains(ci, testCommand) {
		t.Errorf(".ci/run does not run %q", testCommand)
	}
}

func TestTheReadersAreThoseThatAreTested(t *testing.T) {
	for page, tested := range map[string]string{"README.md": "test/readme/reader_test.go", "docs/files.md": "test/readme/files_test.go"} {
		source := read(t, tested)
		for _, b := range blocks(t, page, "go") {
			if !strings.Contains(source, b.text()) {
				t.Errorf("%s:%d is not what %s has", page, b.line, tested)
			}
		}
	}
}

// The manual is made from the program's own table.
func TestExitCodesAreThoseOfTheManual(t *testing.T) {
	_, section, found := strings.Cut(read(t, "man/cpctl.1"), ".SH EXIT CODES\n")
	if !found {
		t.Fatal("the manual has no exit codes")
	}
	section, _, _ = strings.Cut(section, ".PP\n")
	want := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\\fB(\d+)\\fP\n(.*)$`).FindAllStringSubmatch(section, -1) {
		want[m[1]] = strings.ReplaceAll(m[2], `\-`, "-")
	}
	got := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`).FindAllStringSubmatch(read(t, "README.md"), -1) {
		got[m[1]] = m[2]
	}
	if len(want) < 10 {
		t.Fatalf("only %d codes were found in the manual", len(want))
	}
	for code, meaning := range want {
		if got[code] != meaning {
			t.Errorf("code %s: %q in the README, %q in the manual", code, got[code], meaning)
		}
	}
	for code := range got {
		if want[code] == "" {
			t.Errorf("code %s is not in the manual", code)
		}
	}
}

// fileName is a path of this repository in a page: `docs/architecture.md`.
var fileName = regexp.MustCompile("`((?:docs|examples|pkg|cmd|test|tools|man|completions|\\.ci)/[A-Za-z0-9_./-]*|[A-Z]+(?:\\.md)?)`")

func TestFilesThatArePointedToExist(t *testing.T) {
	for _, page := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/files.md"} {
		t.Run(page, func(t *testing.T) {
			for _, m := range fileName.FindAllStringSubmatch(read(t, page), -1) {
				if m[1] == strings.ToUpper(m[1]) && m[1] != "LICENSE" {
					continue // GROUP and the like
				}
				if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
					t.Errorf("%s: %v", page, err)
				}
			}
		})
	}
}

// testName is a test in a page: `TestAKillAtEveryStep`.
var testName = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")

// The tests that the architecture names as the ones that carry an invariant exist.
func TestTestsThatAreNamedExist(t *testing.T) {
	var defined strings.Builder
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			b, err := os.ReadFile(path)
			defined.Write(b)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := testName.FindAllStringSubmatch(read(t, "docs/architecture.md"), -1)
	if len(named) == 0 {
		t.Fatal("no test is named")
	}
	for _, m := range named {
		if !strings.Contains(defined.String(), "\nfunc "+m[1]+"(t *testing.T)") {
			t.Errorf("docs/architecture.md names %s, which is nowhere", m[1])
		}
	}
}

// The table of dependencies is what go.mod requires directly.
func TestDependenciesAreThoseOfTheModule(t *testing.T) {
	_, direct, _ := strings.Cut(read(t, "go.mod"), "require (\n")
	direct, _, _ = strings.Cut(direct, ")")
	want := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) \S+$`).FindAllStringSubmatch(direct, -1) {
		want[m[1]] = true
	}
	_, table, _ := strings.Cut(read(t, "docs/architecture.md"), "## Dependencies")
	got := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+\.\S+) \| .+ \|$`).FindAllStringSubmatch(table, -1) {
		got[m[1]] = true
	}
	if len(want) < 10 {
		t.Fatalf("only %d modules were found in go.mod", len(want))
	}
	for path := range want {
		if !got[path] {
			t.Errorf("docs/architecture.md does not say why there is %s", path)
		}
	}
	for path := range got {
		if !want[path] {
			t.Errorf("docs/architecture.md gives a reason for %s, which go.mod does not require directly", path)
		}
	}
}

package layers_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// owners says where alone a library is known, so that it can be replaced there.
// A place is a package or one file; a library is a module or a package with all
// below it.
var owners = []struct {
	library string
	places  []string
}{
	{"github.com/charmbracelet/lipgloss", []string{"cmd/ui.go"}},
	{"github.com/muesli/termenv", []string{"cmd/ui.go"}},
	{"github.com/olekukonko/tablewriter", []string{"cmd/table.go"}},
	{"github.com/spf13/cobra", []string{"cmd"}},
	{"github.com/goccy/go-yaml", []string{"cmd", "pkg/config"}},
	{"golang.org/x/term", []string{"cmd"}},
	{"github.com/hashicorp/raft-boltdb", []string{"pkg/node"}},
	{"go.etcd.io/bbolt", []string{"pkg/node"}},
	{"github.com/hashicorp/go-hclog", []string{"pkg/node"}},
	{"github.com/hashicorp/raft", []string{"pkg/fsm", "pkg/node"}},
	{"net/rpc", []string{"pkg/rpc"}},
	{"github.com/klauspost/compress", []string{"pkg/snapshot"}},
	{"github.com/tidwall/btree", []string{"pkg/store"}},
	{"golang.org/x/crypto", []string{"pkg/pki", "pkg/reader"}},
}

// ownersOfTests says the same of libraries that only tests know: the packages of
// the product have none of them, and neither have the other tests.
var ownersOfTests = []struct {
	library string
	places  []string
}{
	{"github.com/anishathalye/porcupine", []string{"test/histories"}},
	{"github.com/rogpeppe/go-internal", []string{"test/story"}},
}

// trespass says what is wrong with an import by a file, "" if nothing is.
func trespass(file, path string) string {
	pkg := file[:strings.LastIndex(file, "/")]
	for _, o := range slices.Concat(owners, ownersOfTests) {
		if path != o.library && !strings.HasPrefix(path, o.library+"/") {
			continue
		}
		if !slices.Contains(o.places, file) && !slices.Contains(o.places, pkg) {
			return fmt.Sprintf("%s imports %s, which only %s may", file, path, strings.Join(o.places, " and "))
		}
	}
	return ""
}

func TestLibrariesStayWhereTheyAreKnown(t *testing.T) {
	used := map[string]bool{}
	for _, p := range product(t) {
		s := sourceOf(t, p)
		for _, f := range s.files {
			for _, spec := range f.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				file, _, _ := strings.Cut(s.at(f), ":")
				if fault := trespass(file, path); fault != "" {
					t.Error(fault)
				}
				for _, o := range owners {
					if path == o.library || strings.HasPrefix(path, o.library+"/") {
						used[o.library] = true
					}
				}
			}
		}
	}
	for _, o := range owners {
		if !used[o.library] {
			t.Errorf("%s is in the list of libraries and nobody imports it", o.library)
		}
	}
}

// Of a test only the package is looked at: with its tests it is one place.
func TestLibrariesOfTestsStayWhereTheyAreKnown(t *testing.T) {
	all, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, p := range all {
		if p.DepOnly {
			continue
		}
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for _, o := range ownersOfTests {
				if path != o.library && !strings.HasPrefix(path, o.library+"/") {
					continue
				}
				used[o.library] = true
				if fault := trespass(p.local()+"/*.go", path); fault != "" {
					t.Error(fault)
				}
			}
		}
	}
	for _, o := range ownersOfTests {
		if !used[o.library] {
			t.Errorf("%s is in the list of the tests' libraries and nobody imports it", o.library)
		}
	}
}

func TestALibraryElsewhereIsFound(t *testing.T) {
	for _, c := range []struct {
		fact       string
		file, path string
		want       string
	}{
		{"colours in another file of cmd", "cmd/table.go", "github.com/charmbracelet/lipgloss",
			"cmd/table.go imports github.com/charmbracelet/lipgloss, which only cmd/ui.go may"},
		{"a package of tablewriter", "cmd/ui.go", "github.com/olekukonko/tablewriter/tw",
			"cmd/ui.go imports github.com/olekukonko/tablewriter/tw, which only cmd/table.go may"},
		{"the log store outside the node", "pkg/fsm/fsm.go", "github.com/hashicorp/raft-boltdb/v2",
			"pkg/fsm/fsm.go imports github.com/hashicorp/raft-boltdb/v2, which only pkg/node may"},
		{"raft below the state machine", "pkg/applier/applier.go", "github.com/hashicorp/raft",
			"pkg/applier/applier.go imports github.com/hashicorp/raft, which only pkg/fsm and pkg/node may"},
		{"raft in the state machine is at home", "pkg/fsm/fsm.go", "github.com/hashicorp/raft", ""},
		{"a library of tests in the product", "pkg/node/lead.go", "github.com/anishathalye/porcupine",
			"pkg/node/lead.go imports github.com/anishathalye/porcupine, which only test/histories may"},
		{"a longer name is another library", "pkg/store/uri.go", "net/rpcx", ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			if got := trespass(c.file, c.path); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

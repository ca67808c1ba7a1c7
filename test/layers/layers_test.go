package layers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// layers, the lowest first. A package imports only those of lower lines:
// neighbours do not know each other.
var layers = [][]string{
	{"pkg/disk"},
	{"pkg/store", "pkg/reader"},
	{"pkg/mutation"},
	{"pkg/access"},
	{"pkg/publish", "pkg/snapshot", "pkg/applier", "pkg/pki", "pkg/config", "pkg/audit"},
	{"pkg/fsm"},
	{"pkg/rpc", "pkg/node"},
	{"cmd"},
	{"."},
}

func layerOf(local string) int {
	return slices.IndexFunc(layers, func(line []string) bool { return slices.Contains(line, local) })
}

// breaches lists the imports of a package that do not point down.
func breaches(p *goPackage) (out []string) {
	own := layerOf(p.local())
	if own < 0 {
		return []string{fmt.Sprintf("%s has no layer; give it one here and in docs/architecture.md", p.local())}
	}
	for _, path := range p.Imports {
		to := (&goPackage{ImportPath: path}).local()
		if path != module && !strings.HasPrefix(path, module+"/") {
			continue
		}
		switch at := layerOf(to); {
		case at < 0:
			out = append(out, fmt.Sprintf("%s imports %s, which is no package of the product", p.local(), to))
		case at > own:
			out = append(out, fmt.Sprintf("%s imports %s, which is above it", p.local(), to))
		case at == own:
			out = append(out, fmt.Sprintf("%s imports %s, which is beside it", p.local(), to))
		}
	}
	return out
}

func TestImportsPointDown(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range product(t) {
		seen[p.local()] = true
		for _, b := range breaches(p) {
			t.Error(b)
		}
	}
	for _, line := range layers {
		for _, name := range line {
			if !seen[name] {
				t.Errorf("%s is in the list of layers and not in the module", name)
			}
		}
	}
}

func TestAnImportThatDoesNotPointDownIsFound(t *testing.T) {
	for _, c := range []struct {
		fact     string
		of, what string
		want     string
	}{
		{"up", "pkg/store", "pkg/mutation", "pkg/store imports pkg/mutation, which is above it"},
		{"far up", "pkg/applier", "cmd", "pkg/applier imports cmd, which is above it"},
		{"the wire and the node do not know each other", "pkg/rpc", "pkg/node", "pkg/rpc imports pkg/node, which is beside it"},
		{"nor the other way round", "pkg/node", "pkg/rpc", "pkg/node imports pkg/rpc, which is beside it"},
		{"neighbours below do not either", "pkg/snapshot", "pkg/applier", "pkg/snapshot imports pkg/applier, which is beside it"},
		{"tests are no part of the product", "cmd", "test/dataset", "cmd imports test/dataset, which is no package of the product"},
		{"a new package needs a place", "pkg/helper", "pkg/store", "pkg/helper has no layer; give it one here and in docs/architecture.md"},
		{"down is allowed", "cmd", "pkg/store", ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			got := strings.Join(breaches(&goPackage{ImportPath: module + "/" + c.of, Imports: []string{"fmt", module + "/" + c.what}}), "; ")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

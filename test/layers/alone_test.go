package layers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// alone are packages that others import into programs of their own: with what
// they may bring along beside the standard library.
var alone = map[string][]string{
	"pkg/reader":          {"golang.org/x/crypto/argon2"},
	"examples/authserver": {module + "/pkg/reader"},
}

// burdens lists the imports of such a package that it may not have.
func burdens(p *goPackage) (out []string) {
	for _, path := range p.Imports {
		first, _, _ := strings.Cut(path, "/")
		if strings.Contains(first, ".") && !slices.Contains(alone[p.local()], path) {
			out = append(out, fmt.Sprintf("%s imports %s; it may have the standard library and %s", p.local(), path, strings.Join(alone[p.local()], ", ")))
		}
	}
	return out
}

func TestWhatOthersImportStandsAlone(t *testing.T) {
	standing := own(t, func(p *goPackage) bool { return alone[p.local()] != nil })
	if len(standing) != len(alone) {
		t.Fatalf("%d packages of %d were found", len(standing), len(alone))
	}
	for _, p := range standing {
		for _, b := range burdens(p) {
			t.Error(b)
		}
	}
}

func TestABurdenIsFound(t *testing.T) {
	for _, c := range []struct {
		fact     string
		of, what string
		found    bool
	}{
		{"another package of the module", "pkg/reader", module + "/pkg/store", true},
		{"more of a library", "pkg/reader", "golang.org/x/crypto/bcrypt", true},
		{"another library", "pkg/reader", "golang.org/x/sys/unix", true},
		{"the library that is allowed", "pkg/reader", "golang.org/x/crypto/argon2", false},
		{"the standard library", "pkg/reader", "encoding/json", false},
		{"an example that reaches into the product", "examples/authserver", module + "/pkg/pki", true},
		{"an example that reads", "examples/authserver", module + "/pkg/reader", false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			got := burdens(&goPackage{ImportPath: module + "/" + c.of, Imports: []string{"fmt", c.what}})
			if (len(got) > 0) != c.found {
				t.Errorf("got %q", got)
			}
		})
	}
}

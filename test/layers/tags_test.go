package layers_test

import (
	"bufio"
	"fmt"
	"go/build/constraint"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// measuring are the build tags with which test/bench/compare builds nodes that
// are for measurements alone, and the files that each adds.
var measuring = map[string][]string{
	"profile":     {"profile.go"},
	"unpublished": {"pkg/publish/unpublished.go", "unpublished.go"},
}

// needs lists the tags among measuring without which a file is not built,
// whether all other tags are set or none.
func needs(x constraint.Expr) (tags []string) {
	for _, tag := range slices.Sorted(maps.Keys(measuring)) {
		built := func(with, others bool) bool {
			return x.Eval(func(one string) bool { return one == tag && with || one != tag && others })
		}
		if !built(false, false) && !built(false, true) && (built(true, false) || built(true, true)) {
			tags = append(tags, tag)
		}
	}
	return tags
}

// condition is the build constraint of a file, nil if it has none.
func condition(t *testing.T, file string) constraint.Expr {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan() && !strings.HasPrefix(lines.Text(), "package "); {
		if constraint.IsGoBuild(lines.Text()) {
			x, err := constraint.Parse(lines.Text())
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			return x
		}
	}
	return nil
}

func TestAReleaseHasNothingThatIsForMeasurementsAlone(t *testing.T) {
	found := map[string][]string{}
	for _, p := range product(t) {
		for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
			x := condition(t, filepath.Join(p.Dir, name))
			if x == nil {
				continue
			}
			local := filepath.ToSlash(filepath.Join(p.local(), name))
			for _, tag := range needs(x) {
				found[tag] = append(found[tag], local)
				if slices.Contains(p.GoFiles, name) {
					t.Errorf("%s is in a release, and it is for builds with the tag %q", local, tag)
				}
			}
		}
	}
	// A file that lost its constraint is missing here.
	for tag, files := range measuring {
		if got := slices.Sorted(slices.Values(found[tag])); !slices.Equal(got, files) {
			t.Errorf("builds with the tag %q alone have %q, want %q", tag, got, files)
		}
	}
}

func TestAFileForMeasurementsIsKnownByItsConstraint(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"//go:build unpublished", "[unpublished]"},
		{"//go:build linux && unpublished", "[unpublished]"},
		{"//go:build unpublished && profile", "[profile unpublished]"},
		{"//go:build unpublished && !race", "[unpublished]"},
		{"//go:build !unpublished", "[]"},
		{"//go:build linux || unpublished", "[]"},
		{"//go:build !race", "[]"},
	} {
		t.Run(c.line, func(t *testing.T) {
			x, err := constraint.Parse(c.line)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(needs(x)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

package mistakes

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// classic are the mistakes that must be among those that are tried.
var classic = []string{
	"marker-after-image", "no-directory-sync", "snapshot-of-live-state", "two-renames", "unknown-entry-ignored", "clock-in-the-applier",
	"response-dropped", "remove-before-rename", "modes-of-the-archive", "replay-past-the-marker", "refusal-leaves-a-trace", "update-of-an-old-image",
}

// TestEveryMistakeIsCaught makes every mistake and runs its test. With -short it
// only sees that each patch still applies and that its test is there.
func TestEveryMistakeIsCaught(t *testing.T) {
	needs(t)
	all := map[string]*mistake{}
	paths, err := filepath.Glob("testdata/*.patch")
	if err != nil {
		t.Fatal(err)
	}
	catchers := map[string][]string{} // by package
	for _, path := range paths {
		m, err := parse(path)
		if err != nil {
			t.Error(err)
			continue
		}
		all[strings.TrimSuffix(filepath.Base(path), ".patch")] = m
		if !slices.Contains(catchers[m.pkg], m.test) {
			catchers[m.pkg] = append(catchers[m.pkg], m.test)
		}
	}
	for _, name := range classic {
		if all[name] == nil {
			t.Errorf("there is no testdata/%s.patch", name)
		}
	}
	healthy := map[string]*healthyPackage{}
	for pkg, tests := range catchers {
		healthy[pkg] = &healthyPackage{pkg: pkg, tests: tests}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				if _, err := m.apply(root(t), t.TempDir()); err != nil {
					t.Error(err)
				}
				wantTest(t, m)
				return
			}
			if why := healthy[m.pkg].check(t, m.test); why != "" {
				t.Skip(why)
			}
			if err := caught(t, m); err != nil {
				t.Error(err)
			}
		})
	}
}

// wantTest looks for the test in the source, for want of a build.
func wantTest(t *testing.T, m *mistake) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), m.pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), fmt.Sprintf("\nfunc %s(", m.test)) {
			return
		}
	}
	t.Errorf("%s has no %s", m.pkg, m.test)
}

// TestWhatIsNoMistakeIsNotCaught: the suite itself can fail. A change that does
// no harm, a test that is not there, a patch that does not build or no longer
// applies are all told.
func TestWhatIsNoMistakeIsNotCaught(t *testing.T) {
	needs(t)
	if testing.Short() {
		t.Skip("builds a package several times; run without -short")
	}
	const (
		harmless = "--- a/pkg/disk/save.go\n+++ b/pkg/disk/save.go\n@@ -14,2 +14,3 @@\n // Unsaved is how the name of a file begins that Save has not put in its place yet.\n+// No more than that.\n const Unsaved = \".save-\"\n"
		broken   = "--- a/pkg/disk/save.go\n+++ b/pkg/disk/save.go\n@@ -14,3 +14,3 @@\n // Unsaved is how the name of a file begins that Save has not put in its place yet.\n-const Unsaved = \".save-\"\n+const Saved = \".save-\"\n \n"
		foreign  = "--- a/pkg/disk/save.go\n+++ b/pkg/disk/save.go\n@@ -14,3 +14,3 @@\n // There is no such line.\n-const Unsaved = \".save-\"\n+const Saved = \".save-\"\n \n"
		test     = "TestASavedFileIsOnTheDiskBeforeItsNameIs"
	)
	for _, c := range []struct{ fact, test, diff, says string }{
		{"a change that does no harm", test, harmless, "does not catch"},
		{"a test that is not there", "TestThatIsNotThere", harmless, "did not run"},
		{"a change that does not build", test, broken, "does not build"},
		{"a patch that no longer applies", test, foreign, "no longer applies"},
	} {
		path := filepath.Join(t.TempDir(), "x.patch")
		if err := os.WriteFile(path, []byte("What.\nCaught-by: ./pkg/disk "+c.test+"\n\n"+c.diff), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := parse(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := caught(t, m); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: err = %v, want it to say %q", c.fact, err, c.says)
		}
	}
}

package mistakes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mistake is one patch of testdata, taken apart.
type mistake struct {
	path  string // of the patch
	pkg   string // whose test catches it: ./pkg/fsm
	test  string
	files []string // that it changes, relative to the root of the tree
}

var (
	caughtBy = regexp.MustCompile(`(?m)^Caught-by: (\./\S+) ((?:Test|Fuzz)\w+)$`)
	changes  = regexp.MustCompile(`(?m)^--- a/(\S+)\n\+\+\+ b/(\S+)$`)
)

// parse reads a patch. It may change no test: that would be another mistake.
func parse(path string) (*mistake, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	what, _, _ := strings.Cut(string(b), "\n")
	by := caughtBy.FindSubmatch(b)
	if by == nil || what == "" || strings.HasPrefix(what, "Caught-by:") {
		return nil, fmt.Errorf("%s does not begin with what the mistake is and \"Caught-by: ./pkg/x TestY\"", path)
	}
	m := &mistake{path: path, pkg: string(by[1]), test: string(by[2])}
	for _, c := range changes.FindAllStringSubmatch(string(b), -1) {
		if c[1] != c[2] || !strings.HasSuffix(c[1], ".go") || strings.HasSuffix(c[1], "_test.go") {
			return nil, fmt.Errorf("%s changes %s: only Go files that are no tests, and each in its place", path, c[1])
		}
		m.files = append(m.files, c[1])
	}
	if len(m.files) == 0 {
		return nil, fmt.Errorf("%s changes nothing", path)
	}
	return m, nil
}

// apply makes the mistake in copies below dir, and returns the file that tells
// Go to build with them.
func (m *mistake) apply(root, dir string) (overlay string, err error) {
	replace := map[string]string{}
	for _, name := range m.files {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return "", m.stale(err.Error())
		}
		copied := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(copied, b, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = copied
	}
	patch, err := filepath.Abs(m.path)
	if err != nil {
		return "", err
	}
	git := exec.Command("git", "apply", "--whitespace=nowarn", patch)
	git.Dir = dir // no repository: git only patches
	git.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "GIT_DIR=", "LC_ALL=C")
	if out, err := git.CombinedOutput(); err != nil {
		return "", m.stale(string(bytes.TrimSpace(out)))
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// stale is the error of a patch that the code has moved away from.
func (m *mistake) stale(why string) error {
	return fmt.Errorf("%s no longer applies: %s\nmake the mistake by hand in %s, see %s fail, then put the output of \"git diff -U2\" below the header of the patch and take the mistake back",
		m.path, why, strings.Join(m.files, ", "), m.test)
}

func TestAPatchSaysWhatItIs(t *testing.T) {
	const diff = "--- a/pkg/store/name.go\n+++ b/pkg/store/name.go\n"
	for _, c := range []struct {
		fact, text string
		ok         bool
	}{
		{"a whole one", "What.\nCaught-by: ./pkg/store TestX\n\n" + diff, true},
		{"no test", "What.\n\n" + diff, false},
		{"a benchmark", "What.\nCaught-by: ./pkg/store BenchmarkX\n\n" + diff, false},
		{"no word of what it is", "Caught-by: ./pkg/store TestX\n\n" + diff, false},
		{"no change", "What.\nCaught-by: ./pkg/store TestX\n", false},
		{"the change of a test", "What.\nCaught-by: ./pkg/store TestX\n\n" + strings.ReplaceAll(diff, "name.go", "name_test.go"), false},
		{"a file that moves", "What.\nCaught-by: ./pkg/store TestX\n\n" + strings.Replace(diff, "name.go", "other.go", 1), false},
	} {
		path := filepath.Join(t.TempDir(), "x.patch")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := parse(path); (err == nil) != c.ok {
			t.Errorf("%s: err = %v", c.fact, err)
		}
	}
}

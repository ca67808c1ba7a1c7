package mistakes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds one build, and one run of tests.
const patience = 5 * time.Minute

// builders bounds how many packages are built and tried at once.
var builders = make(chan struct{}, 2)

// needs skips where the tools are missing that make a mistake.
func needs(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"git", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s in PATH", tool)
		}
	}
}

// root is the directory of go.mod, as the compiler names its files.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// build makes the test binary of a package, without the race detector, which
// these tests do not need and which takes several times as long.
func build(t *testing.T, pkg, dir, overlay string) (binary, output string, err error) {
	t.Helper()
	binary = filepath.Join(dir, "test.bin")
	args := []string{"test", "-c", "-vet=off", "-ldflags=-w", "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "go", append(args, pkg)...)
	c.Dir = root(t)
	var flags []string
	for _, flag := range strings.Fields(os.Getenv("GOFLAGS")) {
		if strings.TrimLeft(flag, "-") != "race" {
			flags = append(flags, flag)
		}
	}
	c.Env = append(os.Environ(), "GOFLAGS="+strings.Join(flags, " "))
	out, err := c.CombinedOutput()
	return binary, string(out), err
}

// run runs tests of a binary where "go test" would: in the directory of the package.
func run(t *testing.T, binary, pkg, tests string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience+10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, binary, "-test.run", tests, "-test.v", "-test.timeout", patience.String())
	c.Dir = filepath.Join(root(t), pkg)
	tmp, err := os.MkdirTemp("", "cpctl-") // short: tests make sockets in it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	c.Env = append(os.Environ(), "TMPDIR="+tmp, "CPCTL_TEST_LOGS=") // what mistakes leave behind is nobody's finding
	out, err := c.CombinedOutput()
	return string(out), err
}

// caught makes a mistake and returns nil if its test fails, as it must.
func caught(t *testing.T, m *mistake) error {
	t.Helper()
	builders <- struct{}{}
	defer func() { <-builders }()
	dir := t.TempDir()
	overlay, err := m.apply(root(t), dir)
	if err != nil {
		return err
	}
	binary, out, err := build(t, m.pkg, dir, overlay)
	if err != nil {
		return fmt.Errorf("with %s %s does not build: %v\n%s", m.path, m.pkg, err, out)
	}
	switch out, err := run(t, binary, m.pkg, "^"+m.test+"$"); {
	case !strings.Contains(out, "=== RUN   "+m.test+"\n"):
		return fmt.Errorf("%s of %s did not run: %v\n%s", m.test, m.pkg, err, out)
	case err == nil:
		return fmt.Errorf("%s of %s passes with %s: it does not catch the mistake", m.test, m.pkg, m.path)
	case !strings.Contains(out, "--- FAIL: "+m.test+" "):
		return fmt.Errorf("%s of %s ended otherwise than by failing: %v\n%s", m.test, m.pkg, err, out)
	}
	return nil
}

// healthyPackage is a package as it is, whose tests are run once for all mistakes.
type healthyPackage struct {
	pkg   string
	tests []string
	once  sync.Once
	out   string
}

// check wants the test to pass without a mistake. It returns why it was skipped, if it was.
func (h *healthyPackage) check(t *testing.T, test string) (skipped string) {
	t.Helper()
	h.once.Do(func() {
		builders <- struct{}{}
		defer func() { <-builders }()
		binary, out, err := build(t, h.pkg, t.TempDir(), "")
		if err == nil {
			out, err = run(t, binary, h.pkg, "^("+strings.Join(h.tests, "|")+")$")
		}
		h.out = out
		if err != nil {
			h.out += fmt.Sprintf("\n%v", err)
		}
	})
	switch {
	case strings.Contains(h.out, "--- PASS: "+test+" "):
		return ""
	case strings.Contains(h.out, "--- SKIP: "+test+" "):
		return test + " of " + h.pkg + " is skipped here, so that nothing can be said of the mistake"
	}
	t.Fatalf("without any mistake %s of %s does not pass:\n%s", test, h.pkg, h.out)
	return ""
}

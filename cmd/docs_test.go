package cmd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completions/ and man/ are what the commands say. go generate ./cmd makes them anew.
func TestGeneratedFilesAreFresh(t *testing.T) {
	files, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.name)
		have, err := os.ReadFile(filepath.Join("..", f.name))
		if err != nil || !bytes.Equal(have, f.text) {
			t.Errorf("%s is stale (%v); run: go generate ./cmd", f.name, err)
		}
	}
	for _, dir := range []string{"completions", "man"} {
		entries, err := os.ReadDir(filepath.Join("..", dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if name := dir + "/" + e.Name(); !slices.Contains(names, name) {
				t.Errorf("%s is of no command; remove it", name)
			}
		}
	}
}

func TestGeneratorIsDeterministic(t *testing.T) {
	one, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	two, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range one {
		if f.name != two[i].name || !bytes.Equal(f.text, two[i].text) {
			t.Errorf("%s differs from one time to the next", f.name)
		}
	}
}

func TestGeneratorWritesBelowItsDirectory(t *testing.T) {
	dir := t.TempDir()
	newWorld().run("docs", dir).want(t, 0, "", "")
	for _, name := range []string{"completions/cpctl.bash", "completions/_cpctl", "man/cpctl.1", "man/cpctl-client-secret-rotate.1"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The manual has every exit code and every variable.
func TestManualIsComplete(t *testing.T) {
	text := manual()
	for _, e := range exits {
		if !strings.Contains(text, fmt.Sprintf("\\fB%d\\fP\n", e.exit)) {
			t.Errorf("exit code %d is not in the manual", e.exit)
		}
	}
	for _, flag := range environment {
		if !strings.Contains(text, "\\fB"+variable(flag)+"\\fP\n") {
			t.Errorf("%s is not in the manual", variable(flag))
		}
	}
}

package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhereNoNodeCanBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for at, says := range map[string]string{
		file:                      file + " is not a directory",
		filepath.Join(file, "n1"): file + " is not a directory",
		filepath.Join(dir, strings.Repeat("d", 100)): "is too long: the path of a socket has at most 107 bytes",
	} {
		if r := newWorld().run("node", "--name", "n1", "--listen", "127.0.0.1:0", "--data-dir", at); r.code != 2 || !strings.Contains(r.err, says) {
			t.Errorf("%s: exit %d, %s; want 2, %q", at, r.code, r.err, says)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("what was refused leaves %v, %v", left, err)
	}
}

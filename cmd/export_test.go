package cmd

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// inherit gives a descriptor that is as one of the caller's.
func inherit(t *testing.T, f *os.File) string {
	t.Helper()
	fd, err := unix.Dup(int(f.Fd())) // without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) }) // is closed already where it was written to
	return strconv.Itoa(fd)
}

func TestAKeyIsExportedIntoAFileOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "acme.jwk")
	if err := os.WriteFile(file, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	w.run("key", "export", "-t", "acme", "--out", file).want(t, 0, "key/acme/k1 exported\n", "")
	b, err := os.ReadFile(file)
	st, statErr := os.Stat(file)
	if err != nil || statErr != nil || string(b) != privateKey || st.Mode().Perm() != 0o600 {
		t.Errorf("%q with mode %v; %v, %v", b, st.Mode(), err, statErr)
	}
	w.run("key", "export", "--global", "--out", file, "--kid", "k2", "-o", "json").want(t, 0,
		"{\n  \"format_version\": \"1.0\",\n  \"kind\": \"key_export\",\n  \"tenant\": \"global\",\n  \"kid\": \"k2\",\n  \"index\": 12,\n  \"out\": \""+file+"\"\n}\n", "")
	w.fail = store.Errorf(store.CodeRefused, "no")
	if r := w.run("key", "export", "-t", "acme", "--out", file); r.code != 8 {
		t.Errorf("exit %d", r.code)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestAKeyIsExportedIntoADescriptor(t *testing.T) {
	r, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd := inherit(t, pw)
	pw.Close()
	newWorld().run("key", "export", "-t", "acme", "--fd", fd).want(t, 0, "key/acme/k1 exported\n", "")
	if b, err := io.ReadAll(r); err != nil || string(b) != privateKey { // ends: the descriptor was closed
		t.Errorf("%q, %v", b, err)
	}
}

// Nothing is asked for, so nothing is recorded, when the key cannot be put
// where only the one who asks gets to see it.
func TestAKeyIsNotExportedWhereOthersSeeIt(t *testing.T) {
	dir := t.TempDir()
	open := func(name string, flags int, mode os.FileMode) string {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(dir, name), flags|os.O_CREATE, mode)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Chmod(mode); err != nil {
			t.Fatal(err)
		}
		return inherit(t, f)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := os.OpenFile("/dev/null", os.O_WRONLY, 0) // as all files of the program: close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for _, c := range []struct {
		fact string
		to   []string
		code int
		says string
	}{
		{"nowhere", nil, 2, "where to?"},
		{"two places", []string{"--out", "x", "--fd", "3"}, 2, ""},
		{"stdout as a file", []string{"--out", "-"}, 8, "is not written to stdout"},
		{"a link, even to nothing", []string{"--out", link}, 8, "is a link"},
		{"stdout by its name", []string{"--out", "/dev/stdout"}, 8, "is a link"},
		{"a pipe by its name", []string{"--out", pipe}, 8, "is no regular file"},
		{"a device", []string{"--out", "/dev/null"}, 8, "is no regular file"},
		{"a directory", []string{"--out", dir}, 2, "is a directory"},
		{"a directory that is not there", []string{"--out", dir + "/no/file"}, 2, "cannot write in"},
		{"a file below a file", []string{"--out", "/dev/null/x"}, 2, ""},
		{"stdin", []string{"--fd", "0"}, 8, "is not written to stdin"},
		{"stdout", []string{"--fd", "1"}, 8, "is not written to stdin, stdout or stderr"},
		{"stderr", []string{"--fd", "2"}, 8, "is not written to stdin, stdout or stderr"},
		{"no number", []string{"--fd", "three"}, 2, "is no descriptor"},
		{"a negative number", []string{"--fd=-1"}, 2, "is no descriptor"},
		{"a closed one", []string{"--fd", "987"}, 2, "is not open"},
		{"one of the program's own", []string{"--fd", strconv.Itoa(int(own.Fd()))}, 2, "is not open\n"},
		{"one to read from", []string{"--fd", open("r", os.O_RDONLY, 0o600)}, 2, "not open for writing"},
		{"a file that others may read", []string{"--fd", open("w", os.O_WRONLY, 0o640)}, 8, "mode 0640"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			w := newWorld()
			r := w.run(append([]string{"key", "export", "-t", "acme"}, c.to...)...)
			if r.code != c.code || r.out != "" || !strings.Contains(r.err, c.says) || len(w.exports) > 0 {
				t.Errorf("exit %d, %d exports\n%s%s", r.code, len(w.exports), r.out, r.err)
			}
		})
	}
	if _, err := os.Lstat(filepath.Join(dir, "target")); err == nil {
		t.Error("the link was followed")
	}
}

func TestAnExportThatCannotBeWrittenIsStillOnRecord(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs /dev/full")
	}
	defer full.Close()
	fd := inherit(t, full)
	newWorld().run("key", "export", "-t", "acme", "--fd", fd).want(t, 1, "",
		"cpctl: key/acme/k1 is on record as exported (index 12), but was not: write descriptor "+fd+": no space left on device\n")
}

package crash_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/test/crash"
)

// replay does calls through a recorder and returns what they leave.
func replay(t *testing.T, calls func(fs disk.FS, dir int, path string)) *crash.State {
	t.Helper()
	path := t.TempDir()
	r, err := crash.NewRecorder(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	calls(r, dir, path)
	ops, err := r.Ops()
	if err != nil {
		t.Fatal(err)
	}
	s := crash.NewState()
	for _, o := range ops {
		s.Apply(o)
	}
	return s
}

// content is "-" for what is not there.
func content(t *crash.Tree, path string) string {
	if t = t.At(path); t == nil {
		return "-"
	}
	return string(t.Bytes)
}

func TestOnlyWhatWasSyncedOutlivesAPowerCut(t *testing.T) {
	make := func(fs disk.FS, dir int, name, bytes string, sync bool) {
		fd, err := fs.Create(dir, name, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := fs.Write(fd, []byte(bytes)); err != nil {
			t.Fatal(err)
		}
		if sync {
			fs.Sync(fd)
		}
	}
	for _, c := range []struct {
		fact       string
		calls      func(fs disk.FS, dir int, path string)
		file       string
		kept, lost string
	}{
		{"a file that was not synced", func(fs disk.FS, dir int, _ string) { make(fs, dir, "f", "x", false) }, "f", "x", "-"},
		{"the sync of a file does not save its name", func(fs disk.FS, dir int, _ string) { make(fs, dir, "f", "x", true) }, "f", "x", "-"},
		{"the sync of a directory does not save bytes", func(fs disk.FS, dir int, _ string) { make(fs, dir, "f", "x", false); fs.Sync(dir) }, "f", "x", ""},
		{"both save it", func(fs disk.FS, dir int, _ string) { make(fs, dir, "f", "x", true); fs.Sync(dir) }, "f", "x", "x"},
		{"a rename without a sync leaves the old file", func(fs disk.FS, dir int, _ string) {
			make(fs, dir, "f", "old", true)
			fs.Sync(dir)
			make(fs, dir, "g", "new", true)
			fs.Rename(dir, "g", dir, "f")
		}, "f", "new", "old"},
		{"a saved file is the new one", func(fs disk.FS, _ int, path string) { disk.Save(fs, filepath.Join(path, "f"), []byte("new")) }, "f", "new", "new"},
		{"a removal may not have been", func(fs disk.FS, dir int, _ string) {
			make(fs, dir, "f", "x", true)
			fs.Sync(dir)
			fs.Unlink(dir, "f")
		}, "f", "-", "x"},
		{"an exchange is there whole or not", func(fs disk.FS, dir int, _ string) {
			make(fs, dir, "f", "f", true)
			make(fs, dir, "g", "g", true)
			fs.Sync(dir)
			fs.Exchange(dir, "f", dir, "g")
		}, "f", "g", "f"},
	} {
		s := replay(t, c.calls)
		if got := content(s.Kept(), c.file); got != c.kept {
			t.Errorf("%s: with everything kept %q, want %q", c.fact, got, c.kept)
		}
		if got := content(s.Lost(), c.file); got != c.lost {
			t.Errorf("%s: with the rest lost %q, want %q", c.fact, got, c.lost)
		}
	}
}

// Among the parts there are the old bytes, the new ones, and torn ones, and no
// others than sectors of the two and holes.
func TestAPartIsTornAtSectors(t *testing.T) {
	old, now := strings.Repeat("o", 2048), strings.Repeat("n", 2048)
	s := replay(t, func(fs disk.FS, dir int, path string) {
		if err := disk.Save(fs, filepath.Join(path, "f"), []byte(old)); err != nil {
			t.Fatal(err)
		}
		fd, err := disk.OpenFile(dir, "f", os.O_RDWR)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := fs.Pwrite(fd, []byte(now), 0); err != nil {
			t.Fatal(err)
		}
	})
	seen := map[string]bool{}
	for seed := range uint64(200) {
		got := content(s.Part(rand.New(rand.NewPCG(0, seed))), "f")
		if len(got) != 2048 {
			t.Fatalf("seed %d: %d bytes", seed, len(got))
		}
		for at := 0; at < len(got); at += 512 {
			if part := got[at : at+512]; part != old[:512] && part != now[:512] {
				t.Fatalf("seed %d: bytes at %d are of neither: %.20q", seed, at, part)
			}
		}
		seen[got] = true
	}
	if !seen[old] || !seen[now] || len(seen) < 10 {
		t.Errorf("%d different parts, the old bytes among them: %v, the new ones: %v", len(seen), seen[old], seen[now])
	}
}

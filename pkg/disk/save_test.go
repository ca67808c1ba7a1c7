package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/test/faultdisk"
)

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestASavedFileIsTheOldOneOrTheNewOneWhateverFails(t *testing.T) {
	for n, failed := 1, true; failed; n++ {
		path := filepath.Join(t.TempDir(), "node.json")
		if err := disk.Save(disk.Real{}, path, []byte("old")); err != nil {
			t.Fatal(err)
		}
		var f faultdisk.Disk
		was := f.FailOnce(n, unix.EIO)
		err := disk.Save(&f, path, []byte("new, and longer"))
		failed = was()
		if failed != (err != nil) || failed && !errors.Is(err, unix.EIO) {
			t.Errorf("call %d failed: %v, err = %v", n, failed, err)
		}
		got := content(t, path)
		if got != "new, and longer" && (got != "old" || !failed) {
			t.Errorf("call %d failed: %v, the file holds %q", n, failed, got)
		}
		if left := names(t, filepath.Dir(path)); len(left) != 1 {
			t.Errorf("call %d failed: the directory holds %v", n, left)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v, want 0600", st.Mode(), err)
		}
	}
}

// What makes a saved file outlive a power cut is the order of these calls.
func TestASavedFileIsOnTheDiskBeforeItsNameIs(t *testing.T) {
	var calls []string
	f := faultdisk.New(func(call, name string) error { calls = append(calls, call); return nil })
	if err := disk.Save(f, filepath.Join(t.TempDir(), "x"), []byte("b")); err != nil {
		t.Fatal(err)
	}
	want := []string{"create", "write", "sync", "rename", "sync"}
	if !slices.Equal(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
}

func TestDirectoriesAreMadeAndSyncedFromTheTop(t *testing.T) {
	var calls []string
	f := faultdisk.New(func(call, name string) error { calls = append(calls, call+" "+name); return nil })
	path := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := disk.MakeAll(f, path); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"mkdir a", "sync ", "mkdir b", "sync "}
	if !slices.Equal(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want mode 0700", st, err)
	}
	if err := os.WriteFile(path+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.MakeAll(f, path+"/file"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file in the way: %v, want ENOTDIR", err)
	}
}

func TestRemoveTakesATreeAndNotWhatItsLinksPointAt(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept")
	tree := filepath.Join(dir, "tree")
	if err := errors.Join(os.MkdirAll(tree+"/a/b", 0o700), os.WriteFile(kept, nil, 0o600), os.WriteFile(tree+"/a/b/c", nil, 0o600),
		os.Symlink(kept, tree+"/link"), os.Symlink(dir, tree+"/up")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := disk.Remove(disk.Real{}, tree); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("the directory holds %v, want kept", got)
	}
	if err := disk.Remove(disk.Real{}, filepath.Join(dir, "none", "x")); err != nil {
		t.Errorf("below nothing: %v", err)
	}
}

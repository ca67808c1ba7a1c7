package fulldisk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/test/live"
)

func needMounts(t *testing.T) {
	t.Helper()
	if !live.Mounts() {
		t.Skip("needs root and a mount namespace: it mounts small file systems")
	}
}

func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s: %v", name, err)
	}
}

// mountTmpfs makes dir if it is not there and mounts a tmpfs on it: size=32m,nr_inodes=400.
func mountTmpfs(t *testing.T, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("cpctl-test", dir, "tmpfs", 0, "mode=700,"+options); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unmount(t, dir) })
}

// remount makes a tmpfs read-only, or no longer so.
func remount(t *testing.T, dir string, readOnly bool) {
	t.Helper()
	flags := uintptr(unix.MS_REMOUNT)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("cpctl-test", dir, "tmpfs", flags, ""); err != nil {
		t.Fatalf("remount %s: %v", dir, err)
	}
}

// bind makes a directory be seen at another place, too.
func bind(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("needs a bind mount: %v", err)
	}
	t.Cleanup(func() { unmount(t, to) })
}

// unmount lets go of a mount point, if it is one still; nobody waits for who has
// a file open there.
func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		t.Errorf("unmount %s: %v", dir, err)
	}
}

// mountExt4 mounts a new ext4 file system that becomes read-only at the first
// error, and returns the name of its loop device.
func mountExt4(t *testing.T, image, dir string) (device string) {
	t.Helper()
	needTool(t, "mkfs.ext4")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(48<<20), f.Close(), os.MkdirAll(dir, 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	return loopMount(t, image, dir)
}

func loopMount(t *testing.T, image, dir string) (device string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", image, dir).CombinedOutput(); err != nil {
		t.Skipf("needs to mount a loop device: %v: %s", err, out)
	}
	t.Cleanup(func() { unmount(t, dir) })
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[1] == dir {
			device = filepath.Base(f[0])
		}
	}
	// The directory of the file system itself, and a lost+found that is none of ours.
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "lost+found")), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	return device
}

// breakExt4 is what the kernel does when it finds the file system damaged.
func breakExt4(t *testing.T, device string) {
	t.Helper()
	trigger := "/sys/fs/ext4/" + device + "/trigger_fs_error"
	if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
		t.Skipf("needs %s: %v", trigger, err)
	}
}

// repairExt4 is what has to come between two mounts. The kernel lets go of a loop
// device when nobody uses the file system any more.
func repairExt4(t *testing.T, image, device, dir string) {
	t.Helper()
	live.Until(t, dir+" is unmounted", func() bool { return unix.Unmount(dir, 0) != unix.EBUSY })
	live.Until(t, device+" lets go of "+image, func() bool { // another one may have it at once
		b, err := os.ReadFile("/sys/block/" + device + "/loop/backing_file")
		return err != nil || !strings.Contains(string(b), image)
	})
	out, err := exec.Command("e2fsck", "-fy", image).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 1) { // 1: put right
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}

// A disk is filled up to the last of what it has, by a file or by many.
type exhaustion struct {
	name    string
	options string // of the tmpfs
	fill    func(t *testing.T, dir string)
	free    func(t *testing.T, dir string)
}

var exhaustions = []exhaustion{
	{"no space", "size=24m", fill, unfill},
	{"no inodes", "size=64m,nr_inodes=900", fillInodes, unfillInodes},
}

const ballastName = "ballast"

// fill leaves no block free.
func fill(t *testing.T, dir string) { fillBut(t, dir, 0) }

// fillBut leaves so many bytes free.
func fillBut(t *testing.T, dir string, leave uint64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, ballastName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := bytes.Repeat([]byte{1}, 256<<10); ; {
		left := room(t, dir)
		if left <= leave {
			return
		}
		if _, err := f.Write(chunk[:min(uint64(len(chunk)), left-leave)]); err != nil {
			if errors.Is(err, unix.ENOSPC) {
				return
			}
			t.Fatal(err)
		}
	}
}

func unfill(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, ballastName)); err != nil {
		t.Fatal(err)
	}
}

// room is how many bytes are free.
func room(t *testing.T, dir string) uint64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return s.Bavail * uint64(s.Bsize)
}

func fillInodes(t *testing.T, dir string) {
	t.Helper()
	many := filepath.Join(dir, ballastName)
	if err := os.MkdirAll(many, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		err := os.WriteFile(filepath.Join(many, fmt.Sprint(i)), nil, 0o600)
		if errors.Is(err, unix.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unfillInodes(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, ballastName)); err != nil {
		t.Fatal(err)
	}
}

// taken is how many bytes of a file system are in use.
func taken(t *testing.T, dir string) uint64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return (s.Blocks - s.Bfree) * uint64(s.Bsize)
}

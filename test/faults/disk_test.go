package faults

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/test/live"
)

// disk is an ext4 of its own, in a file behind a loop device, whose power can be
// cut: all that was not on it is lost. Whoever sees it also sees the id of a
// boot, which is another one after each loss.
type disk struct {
	t     *testing.T
	image string
	mount string // where it is mounted
	boot  string // file with the id of the boot
}

const diskSize = 256 << 20 // bytes; the image takes only what was written

// newDisk makes a disk beside a path and mounts it there. An error means that
// this machine cannot.
func newDisk(t *testing.T, path string) (*disk, error) {
	d := &disk{t: t, image: path + ".img", mount: path, boot: path + ".boot"}
	d.reboot()
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close(), os.Mkdir(d.mount, 0o700), run("mkfs.ext4", "-q", "-F", d.image)); err != nil {
		return nil, err
	}
	if err := d.attach(); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if d.attached() {
			d.detach()
		}
	})
	return d, nil
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return errors.New(name + " " + strings.Join(args, " ") + ": " + err.Error() + ": " + string(out))
	}
	return nil
}

// attach mounts it, which replays its journal. The loop device goes with the
// mount.
func (d *disk) attach() error { return run("mount", "-t", "ext4", "-o", "loop", d.image, d.mount) }

func (d *disk) attached() bool {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		d.t.Error(err)
	}
	return strings.Contains(string(mounts), " "+d.mount+" ")
}

// detach unmounts it, and returns when the kernel has let go of it: what is in
// memory must be gone before it is mounted again.
func (d *disk) detach() {
	d.t.Helper()
	if err := run("umount", d.mount); err != nil {
		d.t.Error(err)
		return
	}
	live.Until(d.t, d.image+" is free", func() bool {
		out, err := exec.Command("losetup", "--associated", d.image).Output()
		return err == nil && len(out) == 0
	})
}

// Of linux/fs/ext4/ext4.h.
const (
	ext4Shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)
	withoutJournal = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
)

// cut cuts the power: from now on nothing reaches the disk, nor what was written
// and not flushed.
func (d *disk) cut() error {
	f, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, withoutJournal), f.Close())
}

// reboot makes the boot another one.
func (d *disk) reboot() {
	if err := os.WriteFile(d.boot, []byte(uuid.NewString()+"\n"), 0o444); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) bootID() string {
	b, err := os.ReadFile(d.boot)
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// inItsBoot is the command in front of a node that lets it see the boot of its
// disk, and none of the other disks: they would stay in use as long as it runs.
func (d *disk) inItsBoot(others []*disk) []string {
	script := `mount --bind "$1" /proc/sys/kernel/random/boot_id || exit
shift
while [ "$1" != -- ]; do
	if grep -q " $1 " /proc/self/mounts; then umount "$1" || exit; fi
	shift
done
shift
exec "$@"`
	wrap := []string{"unshare", "--mount", "sh", "-c", script, "sh", d.boot}
	for _, o := range others {
		if o != d {
			wrap = append(wrap, o.mount)
		}
	}
	return append(wrap, "--")
}

// needsPower skips a test where the power of a disk cannot be cut.
func needsPower(t *testing.T) {
	t.Helper()
	const needs = "needs root, mkfs.ext4, losetup, mount, unshare and an ext4 that can be shut down: "
	if os.Geteuid() != 0 {
		t.Skip(needs + "this is an ordinary user")
	}
	if os.Getenv(ownMounts) == "" {
		t.Skip(needs + "unshare --mount does not work here")
	}
	for _, tool := range []string{"mkfs.ext4", "losetup", "mount", "umount", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(needs + err.Error())
		}
	}
	dir, err := os.MkdirTemp("", "cpctl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d, err := newDisk(t, filepath.Join(dir, "probe"))
	if err != nil {
		t.Skip(needs + err.Error())
	}
	seen, err := exec.Command("unshare", append(d.inItsBoot(nil), "cat", "/proc/sys/kernel/random/boot_id")[1:]...).CombinedOutput()
	if err != nil || strings.TrimSpace(string(seen)) != d.bootID() {
		t.Skipf("%sanother boot id cannot be shown: %v: %s", needs, err, seen)
	}
	if err := d.cut(); err != nil {
		t.Skipf("%s%v", needs, err)
	}
}

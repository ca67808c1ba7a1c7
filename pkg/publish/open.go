package publish

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

const dataName = "data"

// bootID returns the id that the kernel made at boot.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// openData makes Dir ready: no leftovers, a data/ that can be exchanged, its
// marker read. What cannot be removed or tried for want of a disk is let pass:
// what is there may be good, and everything else fails later in its own place.
func (p *Publisher) openData() error {
	if p.own.gid >= 0 { // members of the group pass through, and see no other name
		if err := (owner{gid: p.own.gid}).fix(p.sys, p.dir, 0o710); err != nil {
			return fmt.Errorf("give %s to group %d: %w", p.cfg.Dir, p.own.gid, err)
		}
	}
	whole := math.MaxInt
	if _, err := disk.RemoveAll(p.sys, p.dir, yardName, &whole); unwritable(err) {
		p.log.Warn("a leftover cannot be removed", "path", p.cfg.Dir+"/"+yardName, "err", err)
	} else if err != nil {
		return fmt.Errorf("remove the leftover %s/%s: %w", p.cfg.Dir, yardName, err)
	}
	if err := p.sys.Mkdir(p.dir, dataName, 0o700); err != nil && err != unix.EEXIST {
		return fmt.Errorf("make %s/%s: %w", p.cfg.Dir, dataName, err)
	}
	fd, err := disk.OpenDir(p.dir, dataName)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return fmt.Errorf("%s/%s is not a directory: it is exchanged as a whole, so it can be no link", p.cfg.Dir, dataName)
	}
	if err != nil {
		return fmt.Errorf("open %s/%s: %w", p.cfg.Dir, dataName, err)
	}
	p.root = newTree(p.sys, p.own, fd, p.yard)
	if err := p.own.fix(p.sys, fd, p.own.dir); err != nil {
		return fmt.Errorf("give %s/%s to group %d: %w", p.cfg.Dir, dataName, p.own.gid, err)
	}
	if mounted, err := mountPoint(p.dir, dataName); err != nil {
		return fmt.Errorf("%s: %w", p.cfg.Dir, err)
	} else if mounted {
		return fmt.Errorf("%s/%s is a mount point: it is exchanged as a whole, so mount %s instead", p.cfg.Dir, dataName, p.cfg.Dir)
	}
	if err := p.probeExchange(); err != nil && !unwritable(err) {
		return err
	}
	return p.readMarker()
}

func (p *Publisher) readMarker() (err error) {
	p.mark, p.found, p.known, err = openApplied(p.root)
	if err != nil {
		return fmt.Errorf("read %s/%s/%s: %w", p.cfg.Dir, dataName, appliedName, err)
	}
	if p.known && p.found.ClusterID != p.cfg.ClusterID {
		return store.Errorf(store.CodeIntegrity, "%s/%s holds the files of cluster %s, not of cluster %s",
			p.cfg.Dir, dataName, p.found.ClusterID, p.cfg.ClusterID).
			WithHint("if nobody reads them any more, remove %s/%s", p.cfg.Dir, dataName)
	}
	return nil
}

// mountPoint reports whether something is mounted on a name below a handle.
func mountPoint(dir int, name string) (bool, error) {
	var above, here unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	mask := unix.STATX_BASIC_STATS | unix.STATX_MNT_ID
	if err := unix.Statx(dir, ".", flags, mask, &above); err != nil {
		return false, fmt.Errorf("stat: %w", err)
	}
	if err := unix.Statx(dir, name, flags, mask, &here); err != nil {
		return false, fmt.Errorf("stat %s: %w", name, err)
	}
	if above.Mask&here.Mask&unix.STATX_MNT_ID != 0 { // Linux 5.8 has it: also sees a bind mount
		return above.Mnt_id != here.Mnt_id, nil
	}
	return above.Dev_major != here.Dev_major || above.Dev_minor != here.Dev_minor, nil
}

// probeExchange tries on two directories what is to be done with data/.
func (p *Publisher) probeExchange() error {
	if err := p.yard.open(); err != nil {
		return err
	}
	a, b := p.yard.name(), p.yard.name()
	err := errors.Join(p.sys.Mkdir(p.yard.fd, a, 0o700), p.sys.Mkdir(p.yard.fd, b, 0o700))
	if err == nil {
		err = p.sys.Exchange(p.yard.fd, a, p.yard.fd, b)
	}
	_ = errors.Join(p.yard.discard(a), p.yard.discard(b)) // the next start removes what is left
	p.yard.leave()
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOTSUP):
		return fmt.Errorf("the file system of %s cannot exchange two directories (RENAME_EXCHANGE: %w); use ext4, xfs, btrfs or tmpfs", p.cfg.Dir, err)
	case err != nil:
		return fmt.Errorf("exchange two directories in %s: %w", p.cfg.Dir, err)
	}
	return nil
}

package publish

import (
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// owner is who may read what is published.
type owner struct {
	dir, file uint32 // permission bits
	gid       int    // -1: whatever the process has
}

func newOwner(group int) owner {
	if group < 0 {
		return owner{dir: 0o700, file: 0o600, gid: -1}
	}
	return owner{dir: 0o750, file: 0o640, gid: group}
}

// wrong reports whether mode or group are not as they should be.
func (o owner) wrong(st *unix.Stat_t, mode uint32) bool {
	return st.Mode&0o7777 != mode || o.gid >= 0 && st.Gid != uint32(o.gid)
}

// fix sets group, then mode: never open to a group that is not the right one.
// It makes the result independent of the umask.
func (o owner) fix(s disk.FS, fd int, mode uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if o.gid >= 0 && st.Gid != uint32(o.gid) {
		if err := s.Chown(fd, o.gid); err != nil {
			return err
		}
	}
	if st.Mode&0o7777 != mode {
		return s.Chmod(fd, mode)
	}
	return nil
}

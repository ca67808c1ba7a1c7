package publish

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// A file that was swapped out is written again as the next one, after a rest.
// That spares a creation and a deletion: more than half of the time on any file
// system, and nearly all of it on those that do not use a deleted inode again
// for minutes and search past it (ext4 without a journal).
//
// A reader that still holds the file open must not see it change: a write lease
// is granted only while nobody else has it open, and the rest covers a reader
// that has found the name but not opened it yet. Nobody finds it by name any
// more. A file with a second name is not used again either.
type spare struct {
	name  string // in the yard
	since time.Time
}

const (
	spareRest = time.Second     // many times what lies between finding a name and opening it
	spareIdle = 3 * time.Second // then they are deleted
	maxSpares = 1024
	spareSize = 64 << 10 // bytes; a larger file is not kept
)

// rest takes back what came out of the tree under a name of the yard.
func (y *yard) rest(name string) error {
	st, err := disk.Lstat(y.fd, name)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 || st.Size > spareSize || len(y.spares) >= maxSpares {
		return y.drop(name)
	}
	y.spares = append(y.spares, spare{name, time.Now()})
	return nil
}

// drop deletes a name of the yard at once if it is no directory.
func (y *yard) drop(name string) error {
	switch err := y.sys.Unlink(y.fd, name); err {
	case nil, unix.ENOENT:
		return nil
	case unix.EISDIR, unix.EPERM:
		y.keep(name)
		return nil
	default:
		return err
	}
}

// dropSpares deletes those that were idle since a moment.
func (y *yard) dropSpares(since time.Time) {
	for len(y.spares) > 0 && !y.spares[0].since.After(since) {
		_ = y.drop(y.spares[0].name) // the next start removes what is left
		y.spares = y.spares[1:]
	}
}

// scratch makes a file of the yard with the given bytes and returns it open.
func (y *yard) scratch(own owner, b []byte) (fd int, name string, err error) {
	if err := y.room(); err != nil {
		return -1, "", err
	}
	if err := y.open(); err != nil {
		return -1, "", err
	}
	if len(y.spares) > 0 && time.Since(y.spares[0].since) >= y.respite {
		name := y.spares[0].name
		y.spares = y.spares[1:]
		fd, err := y.rewrite(own, name, b)
		if err == nil {
			return fd, name, nil
		}
		if err := y.drop(name); err != nil {
			return -1, "", err
		}
	}
	name = y.name()
	fd, err = fill(y.sys, own, y.fd, name, b)
	return fd, name, err
}

// rewrite puts other bytes into a spare that nobody has open.
func (y *yard) rewrite(own owner, name string, b []byte) (int, error) {
	fd, err := disk.OpenFile(y.fd, name, unix.O_RDWR)
	if err != nil {
		return -1, err
	}
	if err = alone(fd); err == nil {
		err = y.sys.Pwrite(fd, b, 0)
	}
	if err == nil {
		err = y.sys.Truncate(fd, int64(len(b)))
	}
	if err == nil {
		err = own.fix(y.sys, fd, own.file)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// alone fails unless this is the one open descriptor and the one name of a file.
func alone(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Nlink != 1 {
		return unix.EMLINK
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return err // EAGAIN: somebody reads it; others: no leases here
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
	return err
}

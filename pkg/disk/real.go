package disk

import (
	"io"

	"golang.org/x/sys/unix"
)

// Real is the disk itself.
type Real struct{}

var _ FS = Real{}

// again repeats a call that a signal interrupted; the Go runtime sends them.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// Mkdir makes a directory.
func (Real) Mkdir(dir int, name string, mode uint32) error {
	return again(func() error { return unix.Mkdirat(dir, name, mode) })
}

// Create makes a file and opens it.
func (Real) Create(dir int, name string, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// Write writes all of b at the position of a file.
func (Real) Write(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		default:
			b = b[n:]
		}
	}
	return nil
}

// Pwrite writes all of b at an offset of a file.
func (Real) Pwrite(fd int, b []byte, offset int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, offset)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		default:
			b, offset = b[n:], offset+int64(n)
		}
	}
	return nil
}

// Truncate sets the size of a file.
func (Real) Truncate(fd int, size int64) error {
	return again(func() error { return unix.Ftruncate(fd, size) })
}

// Rename gives a file or a directory another name, in place of a file or of an
// empty directory that has it.
func (Real) Rename(from int, name string, to int, newName string) error {
	return again(func() error { return unix.Renameat(from, name, to, newName) })
}

// Exchange swaps what two names stand for, in one step.
func (Real) Exchange(a int, name string, b int, otherName string) error {
	return again(func() error { return unix.Renameat2(a, name, b, otherName, unix.RENAME_EXCHANGE) })
}

// Unlink removes a name that is no directory's.
func (Real) Unlink(dir int, name string) error {
	return again(func() error { return unix.Unlinkat(dir, name, 0) })
}

// Rmdir removes an empty directory.
func (Real) Rmdir(dir int, name string) error {
	return again(func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
}

// Chmod sets the permission bits of an open file or directory.
func (Real) Chmod(fd int, mode uint32) error {
	return again(func() error { return unix.Fchmod(fd, mode) })
}

// Chown sets the group of an open file or directory.
func (Real) Chown(fd int, gid int) error {
	return again(func() error { return unix.Fchown(fd, -1, gid) })
}

// Sync returns once an open file or directory is on the disk.
func (Real) Sync(fd int) error {
	return again(func() error { return unix.Fsync(fd) })
}

// Datasync returns once the bytes of an open file are on the disk.
func (Real) Datasync(fd int) error {
	return again(func() error { return unix.Fdatasync(fd) })
}

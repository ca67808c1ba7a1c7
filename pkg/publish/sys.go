package publish

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// sys is the calls that change the disk. Tests fail them one by one.
type sys interface {
	mkdir(dir int, name string, mode uint32) error
	create(dir int, name string, mode uint32) (fd int, err error)
	write(fd int, b []byte) error
	pwrite(fd int, b []byte, offset int64) error
	truncate(fd int, size int64) error
	rename(from int, name string, to int, newName string) error
	exchange(a int, name string, b int, otherName string) error
	unlink(dir int, name string) error
	rmdir(dir int, name string) error
	chmod(fd int, mode uint32) error
	chown(fd int, gid int) error
}

// disk is the real one.
type disk struct{}

// again repeats a call that a signal interrupted; the Go runtime sends them.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (disk) mkdir(dir int, name string, mode uint32) error {
	return again(func() error { return unix.Mkdirat(dir, name, mode) })
}

func (disk) create(dir int, name string, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

func (disk) write(fd int, b []byte) error {
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

func (disk) pwrite(fd int, b []byte, offset int64) error {
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

func (disk) truncate(fd int, size int64) error {
	return again(func() error { return unix.Ftruncate(fd, size) })
}

func (disk) rename(from int, name string, to int, newName string) error {
	return again(func() error { return unix.Renameat(from, name, to, newName) })
}

func (disk) exchange(a int, name string, b int, otherName string) error {
	return again(func() error { return unix.Renameat2(a, name, b, otherName, unix.RENAME_EXCHANGE) })
}

func (disk) unlink(dir int, name string) error {
	return again(func() error { return unix.Unlinkat(dir, name, 0) })
}

func (disk) rmdir(dir int, name string) error {
	return again(func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
}

func (disk) chmod(fd int, mode uint32) error {
	return again(func() error { return unix.Fchmod(fd, mode) })
}

func (disk) chown(fd int, gid int) error {
	return again(func() error { return unix.Fchown(fd, -1, gid) })
}

// openDir opens a directory below a handle; a link is not followed.
func openDir(dir int, name string) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// openFile opens a regular file below a handle. It neither follows a link nor
// waits for the other end of a pipe.
func openFile(dir int, name string, flags int) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return -1, errors.Join(err, unix.EINVAL)
	}
	return fd, nil
}

// lstat describes a name below a handle, a link as itself.
func lstat(dir int, name string) (st unix.Stat_t, err error) {
	err = again(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

// readAll fills b from the start of a file and returns how much there was.
func readAll(fd int, b []byte) (n int, err error) {
	for n < len(b) {
		k, err := unix.Pread(fd, b[n:], int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return n, err
		}
		n += k
	}
	return n, nil
}

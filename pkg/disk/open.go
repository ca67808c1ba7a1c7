package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Open opens a directory by its path. Links are followed: the path is the
// operator's.
func Open(path string) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// OpenDir opens a directory below a descriptor; a link is not followed.
func OpenDir(dir int, name string) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// OpenFile opens a regular file below a descriptor, with the flags of open(2).
// It neither follows a link nor waits for the other end of a pipe.
func OpenFile(dir int, name string, flags int) (fd int, err error) {
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

// Lstat describes a name below a descriptor, a link as itself.
func Lstat(dir int, name string) (st unix.Stat_t, err error) {
	err = again(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

// ReadAll fills b from the start of a file and returns how much there was.
func ReadAll(fd int, b []byte) (n int, err error) {
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

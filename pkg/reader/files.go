package reader

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// maxFile bounds what is read of one file: no command of the cluster, and so no
// document, is larger.
const maxFile = 256 << 10

// dir is an open directory. Everything below it is opened part by part, and no
// link is followed on the way.
type dir int

// openData opens data/ itself. The way to it may have links.
func openData(path string) (dir, error) {
	fd, err := retrying(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	})
	return dir(fd), err
}

// is reports whether the directory is the one at a path.
func (d dir) is(path string) bool {
	var here, there syscall.Stat_t
	return syscall.Fstat(int(d), &here) == nil && syscall.Lstat(path, &there) == nil && here.Dev == there.Dev && here.Ino == there.Ino
}

func (d dir) close() { syscall.Close(int(d)) }

// open opens a name below the directory: a file, or with O_DIRECTORY another
// directory. O_NONBLOCK lets it not wait for whoever put a pipe there.
func (d dir) open(path string, flags int) (int, error) {
	at := int(d)
	for {
		part, rest, more := strings.Cut(path, "/")
		how := flags
		if more {
			how = syscall.O_DIRECTORY
		}
		fd, err := retrying(func() (int, error) {
			return syscall.Openat(at, part, how|syscall.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		})
		if at != int(d) {
			syscall.Close(at)
		}
		if err != nil || !more {
			return fd, err
		}
		at, path = fd, rest
	}
}

// read returns the bytes of a file.
func (d dir) read(path string) ([]byte, error) {
	fd, err := d.open(path, 0)
	if err != nil {
		return nil, fault(path, err)
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return nil, fault(path, err)
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, damaged(path, "is no regular file")
	}
	if st.Size > maxFile {
		return nil, damaged(path, "has %d bytes; at most %d are read", st.Size, maxFile)
	}
	b := make([]byte, st.Size+1) // one more, so that the end is seen with the last byte
	n := 0
	for n < len(b) {
		m, err := retrying(func() (int, error) { return syscall.Read(fd, b[n:]) })
		if err != nil {
			return nil, fault(path, err)
		}
		if m == 0 {
			return b[:n], nil
		}
		n += m
	}
	return nil, damaged(path, "grew while it was read: somebody else than the node writes it")
}

// names lists a directory; fs.ErrNotExist if it is not there.
func (d dir) names(path string) ([]string, error) {
	fd, err := d.open(path, syscall.O_DIRECTORY)
	if err != nil {
		return nil, fault(path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return names, fault(path, err)
}

func retrying(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}

// fault says what is wrong with a path below data/.
func fault(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR):
		return damaged(path, "leads over a link, or something that is no directory")
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("data/%s: %w; is this process of the group of cpctl node --files-group?", path, err)
	}
	return fmt.Errorf("data/%s: %w", path, err)
}

func damaged(path, format string, args ...any) error {
	return fmt.Errorf("data/%s %s: %w", path, fmt.Sprintf(format, args...), ErrDamaged)
}

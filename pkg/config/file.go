package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

const (
	maxFile  = 4 << 20 // bytes
	lockPoll = 5 * time.Millisecond
)

// Read reads the file at path. One that is not there is an error of
// fs.ErrNotExist; one that others may read or change is refused.
func Read(path string) (*File, error) {
	b, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	f, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Update changes the file at path while no other process does: it reads the
// file, lets change have it, and writes it whole. One that is not there begins
// empty. If change fails, nothing is written. It waits for other processes until
// the context ends.
func Update(ctx context.Context, path string, change func(*File) error) error {
	return locked(ctx, path, func(path string) error {
		f, err := Read(path)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = &File{}, nil
		}
		if err != nil {
			return err
		}
		if err := change(f); err != nil {
			return err
		}
		b, err := encode(f)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return disk.Save(disk.Real{}, path, b)
	})
}

// locked does work while no other process does any of that file. The lock is a
// file beside it, which stays: a lock on one that is renamed would hold nobody.
func locked(ctx context.Context, path string, work func(path string) error) error {
	path, err := target(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cannot("make", dir, err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return cannot("write in", dir, err)
	}
	defer lock.Close()
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return &os.PathError{Op: "lock", Path: lock.Name(), Err: err}
		}
		select {
		case <-ctx.Done():
			return store.Errorf(store.CodeUnavailable, "%s is in use by another cpctl", path).WithHint("it holds the lock %s.lock", path)
		case <-time.After(lockPoll):
		}
	}
	sweep(path)
	return work(path)
}

// Alone does work that one process at a time does for the file at path, and
// nothing if another is at it.
func Alone(path string, work func() error) error {
	path, err := target(path)
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(path+".renew", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return cannot("write in", filepath.Dir(path), err)
	}
	defer lock.Close()
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "lock", Path: lock.Name(), Err: err}
	}
	return work()
}

// sweep removes what a process left that was killed while it wrote: a copy of
// all keys.
func sweep(path string) {
	dir, name := filepath.Split(path)
	for _, left := range append(named(dir, disk.Unsaved+name+"-"), named(dir, disk.Unsaved+name+loginMark)...) {
		os.Remove(left)
	}
}

// named are the files of a directory whose names begin so.
func named(dir, prefix string) (paths []string) {
	entries, _ := os.ReadDir(filepath.Clean(dir)) // what cannot be listed is not tidied up
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

// target follows a link to the file, so that it is the file that is replaced.
func target(path string) (string, error) {
	to, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", cannot("read", path, err)
	}
	return to, nil
}

// readPrivate reads a file that must be nobody else's.
func readPrivate(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe is refused below, not waited for
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, cannot("read", path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, store.Errorf(store.CodeInvalid, "%s is no file of contexts, it is no regular file", path)
	case st.Mode().Perm()&0o077 != 0:
		return nil, store.Errorf(store.CodeRefused, "%s has mode %04o: others could read or change the keys in it", path, st.Mode().Perm()).
			WithHint("make it yours alone: chmod 600 %s\nif somebody may have read it, take its certificates back: cpctl cert revoke SERIAL", path)
	case st.Size() > maxFile:
		return nil, store.Errorf(store.CodeInvalid, "%s is too large for a file of contexts", path)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// cannot is a file or directory that this user cannot use.
func cannot(what, path string, err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return store.Errorf(store.CodeInvalid, "cannot %s %s: %v", what, path, err).WithHint("name another file: --config FILE")
}

package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Unsaved is how the name of a file begins that Save has not put in its place yet.
const Unsaved = ".save-"

var saves atomic.Uint64 // numbers the files on their way

// Save leaves either the old file or the new one at path, even after a power
// cut, and returns once the new one is on disk. Its mode is 0600. It is for the
// few files that the log does not bring back; those in data/ are not synced.
func Save(fs FS, path string, b []byte) error {
	dir, err := Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := save(fs, dir, filepath.Base(path), b); err != nil {
		return &os.PathError{Op: "save", Path: path, Err: err}
	}
	return nil
}

func save(fs FS, dir int, name string, b []byte) error {
	var scratch string
	fd, err := -1, error(unix.EEXIST)
	for err == unix.EEXIST { // somebody else's
		scratch = Unsaved + name + "-" + strconv.FormatUint(saves.Add(1), 10)
		fd, err = fs.Create(dir, scratch, 0o600)
	}
	if err != nil {
		return err
	}
	if err = fs.Write(fd, b); err == nil {
		err = fs.Sync(fd)
	}
	unix.Close(fd)
	if err == nil {
		err = fs.Rename(dir, scratch, dir, name)
	}
	if err != nil {
		return errors.Join(err, fs.Unlink(dir, scratch))
	}
	return fs.Sync(dir)
}

// Move gives a file or a directory another path, for good once it returns.
func Move(fs FS, from, to string) error {
	err := func() error {
		a, err := Open(filepath.Dir(from))
		if err != nil {
			return err
		}
		defer unix.Close(a)
		b, err := Open(filepath.Dir(to))
		if err != nil {
			return err
		}
		defer unix.Close(b)
		if err := fs.Rename(a, filepath.Base(from), b, filepath.Base(to)); err != nil {
			return err
		}
		// The new name first: rather twice there than not at all.
		return errors.Join(fs.Sync(b), fs.Sync(a))
	}()
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// SyncDir returns once the names in a directory are on the disk.
func SyncDir(fs FS, path string) error {
	fd, err := Open(path)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := fs.Sync(fd); err != nil {
		return &os.PathError{Op: "sync", Path: path, Err: err}
	}
	return nil
}

package disk

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// MakeAll makes a directory and those above it that are missing, with mode
// 0700. What it made is on the disk when it returns.
func MakeAll(fs FS, path string) error {
	switch st, err := os.Stat(path); {
	case err == nil && st.IsDir():
		return nil
	case err == nil:
		return &os.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	above := filepath.Dir(path)
	if err := MakeAll(fs, above); err != nil {
		return err
	}
	dir, err := Open(above)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := fs.Mkdir(dir, filepath.Base(path), 0o700); err != nil && err != unix.EEXIST {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	if err := fs.Sync(dir); err != nil {
		return &os.PathError{Op: "sync", Path: above, Err: err}
	}
	return nil
}

// Remove removes a path and all below it. It is no error if there is none.
func Remove(fs FS, path string) error {
	dir, err := Open(filepath.Dir(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	whole := math.MaxInt
	if _, err := RemoveAll(fs, dir, filepath.Base(path), &whole); err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

// RemoveAll removes a name and all below it, a link as itself, as far as the
// budget goes, which counts names. It reports whether all is gone.
func RemoveAll(fs FS, dir int, name string, budget *int) (done bool, err error) {
	if *budget--; *budget < 0 {
		return false, nil
	}
	switch err := fs.Unlink(dir, name); err {
	case nil, unix.ENOENT:
		return true, nil
	case unix.EISDIR, unix.EPERM: // POSIX has EPERM for a directory
	default:
		return false, err
	}
	fd, err := OpenDir(dir, name)
	if err == unix.EACCES { // a mode that somebody set
		if err = unix.Fchmodat(dir, name, 0o700, 0); err == nil {
			fd, err = OpenDir(dir, name)
		}
	}
	if err != nil {
		return false, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		if err != nil && err != io.EOF {
			return false, err
		}
		if len(names) == 0 {
			break
		}
		for _, n := range names {
			if done, err := RemoveAll(fs, fd, n, budget); !done {
				return false, err
			}
		}
	}
	if err := fs.Rmdir(dir, name); err != nil && err != unix.ENOENT {
		return false, err
	}
	return true, nil
}

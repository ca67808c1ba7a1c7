package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// maxHandles bounds the open directories of one tree.
const maxHandles = 128

// tree is a directory of published files, reached through handles and never
// through a link. One goroutine uses it.
type tree struct {
	sys  disk.FS
	own  owner
	fd   int            // the root
	yard *yard          // where to things go that are taken out
	dirs map[string]int // handles of directories below the root, until release
}

func newTree(s disk.FS, own owner, fd int, y *yard) *tree {
	return &tree{sys: s, own: own, fd: fd, yard: y, dirs: map[string]int{}}
}

// release closes the handles of the directories, which may be gone by the next use.
func (t *tree) release() {
	for _, fd := range t.dirs {
		unix.Close(fd)
	}
	clear(t.dirs)
}

func (t *tree) close() error {
	t.release()
	return unix.Close(t.fd)
}

// dir returns the handle of a directory ("." is the root), which is valid until
// the next call. With grow it makes what is missing, in place of what is in its way.
func (t *tree) dir(name string, grow bool) (int, error) {
	if len(t.dirs) > maxHandles {
		t.release()
	}
	return t.walkTo(name, grow)
}

func (t *tree) walkTo(name string, grow bool) (int, error) {
	if name == "." {
		return t.fd, nil
	}
	if fd, ok := t.dirs[name]; ok {
		return fd, nil
	}
	parent, err := t.walkTo(path.Dir(name), grow)
	if err != nil {
		return -1, err
	}
	base := path.Base(name)
	fd, err := disk.OpenDir(parent, base)
	switch {
	case err == nil:
	case !grow:
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	case err == unix.EACCES: // a mode that somebody set
		if err = unix.Fchmodat(parent, base, t.own.dir, 0); err == nil {
			fd, err = disk.OpenDir(parent, base)
		}
	case err == unix.ENOTDIR, err == unix.ELOOP:
		if err = t.sys.Unlink(parent, base); err != nil {
			break
		}
		fallthrough
	case err == unix.ENOENT:
		fd, err = t.mkdir(parent, base)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "make", Path: name, Err: err}
	}
	t.dirs[name] = fd
	return fd, nil
}

func (t *tree) mkdir(parent int, name string) (int, error) {
	if err := t.sys.Mkdir(parent, name, 0o700); err != nil {
		return -1, err
	}
	fd, err := disk.OpenDir(parent, name)
	if err != nil {
		return -1, err
	}
	if err := t.own.fix(t.sys, fd, t.own.dir); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// fill makes a new file below a handle and returns it open.
func fill(s disk.FS, own owner, dir int, name string, b []byte) (int, error) {
	fd, err := s.Create(dir, name, 0o600)
	if err != nil {
		return -1, err
	}
	err = s.Write(fd, b)
	if err == nil {
		err = own.fix(s, fd, own.file)
	}
	if err != nil {
		unix.Close(fd)
		return -1, errors.Join(err, s.Unlink(dir, name))
	}
	return fd, nil
}

// place moves a scratch file to its name; replaces is a guess whether there is
// a file of that name, which decides what is tried first. A reader sees the old
// file or the new one at every moment.
func (t *tree) place(scratch string, dir int, name string, replaces bool) error {
	if !replaces {
		switch err := t.sys.Rename(t.yard.fd, scratch, dir, name); err {
		case nil:
			return nil
		case unix.EISDIR, unix.ENOTEMPTY, unix.EEXIST: // a directory has the name
		default:
			return errors.Join(err, t.yard.drop(scratch))
		}
	}
	err := t.sys.Exchange(t.yard.fd, scratch, dir, name)
	if err == nil {
		return t.yard.rest(scratch) // the old one
	}
	if err == unix.ENOENT {
		err = t.sys.Rename(t.yard.fd, scratch, dir, name)
	}
	if err != nil {
		return errors.Join(err, t.yard.drop(scratch))
	}
	return nil
}

// put makes a document the file at its path.
func (t *tree) put(name string, b []byte, replaces bool) error {
	fd, scratch, err := t.yard.scratch(t.own, b)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	unix.Close(fd)
	dir, err := t.dir(path.Dir(name), true)
	if err != nil {
		return errors.Join(err, t.yard.drop(scratch))
	}
	if err := t.place(scratch, dir, path.Base(name), replaces); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// add is put for a tree that nobody sees yet.
func (t *tree) add(name string, b []byte) error {
	if err := t.yard.room(); err != nil {
		return err
	}
	dir, err := t.dir(path.Dir(name), true)
	if err != nil {
		return err
	}
	fd, err := fill(t.sys, t.own, dir, path.Base(name), b)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return unix.Close(fd)
}

// remove takes a file, or a directory with all that is in it, out of the tree.
// It is no error if there is none.
func (t *tree) remove(name string) error {
	dir, err := t.dir(path.Dir(name), false)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err == nil {
		err = t.take(dir, path.Base(name))
	}
	for open, fd := range t.dirs { // handles below it are of no more use
		if open == name || strings.HasPrefix(open, name+"/") {
			unix.Close(fd)
			delete(t.dirs, open)
		}
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// take removes a name: a file at once, a directory by way of the yard, so that
// a reader never sees it half empty.
func (t *tree) take(dir int, name string) error {
	switch err := t.sys.Unlink(dir, name); err {
	case nil, unix.ENOENT:
		return nil
	case unix.EISDIR, unix.EPERM: // POSIX has EPERM for a directory
		if err := t.yard.bury(dir, name); err != unix.ENOENT {
			return err
		}
		return nil
	default:
		return err
	}
}

package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cpctl/cpctl/pkg/store"
)

// pending is a file that is being written: under a temporary name, 0600, until
// commit gives it its own. What is there already and is no regular file, such
// as /dev/null or a pipe, is written to as it is.
type pending struct {
	*os.File
	path   string
	direct bool
	done   bool
}

// begin makes sure that path can be written before anything is done whose
// result must not be lost.
func begin(path string) (*pending, error) {
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		return nil, usagef("%s is a directory", path)
	case err == nil && !st.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, usagef("%s", fileReason(path, err))
		}
		return &pending{File: f, path: path, direct: true}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".cpctl-*") // mode 0600
	if err != nil {
		return nil, usagef("cannot write in %s", fileReason(filepath.Dir(path), err))
	}
	return &pending{File: f, path: path}, nil
}

// beginNew is begin for a file that must not be there yet: what stands there may
// be a token that nobody has used, and there is no second copy of one.
func beginNew(path string) (*pending, error) {
	if st, err := os.Lstat(path); err == nil && (st.Mode().IsRegular() || st.Mode()&fs.ModeSymlink != 0) {
		return nil, store.Errorf(store.CodeExists, "%s exists already, and is not written over", path).WithHint("name another file, or remove it first")
	}
	return begin(path)
}

// commit leaves the whole file at its path, durable. After an error what was
// there before is still there.
func (p *pending) commit() error {
	if p.direct {
		p.done = true
		return p.Close()
	}
	if err := errors.Join(p.Sync(), p.Close()); err != nil {
		return fmt.Errorf("write %s", fileReason(p.path, err))
	}
	if err := os.Rename(p.Name(), p.path); err != nil {
		return fmt.Errorf("write %s: %w", p.path, err)
	}
	p.done = true
	dir, err := os.Open(filepath.Dir(p.path))
	if err != nil {
		return fmt.Errorf("sync directory of %s: %w", p.path, err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// discard removes what was not committed.
func (p *pending) discard() {
	if p == nil || p.done {
		return
	}
	p.Close() // a second close is an error that nobody needs
	if !p.direct {
		os.Remove(p.Name())
	}
}

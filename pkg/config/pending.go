package config

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cpctl/cpctl/pkg/disk"
)

// pendingLife is how long what is pending is kept: longer than any token is good.
const pendingLife = 30 * 24 * time.Hour

// Pending is what was begun under an id and not done yet: as it was kept, or
// else made now, and then kept beside the file at path, which proves that the
// file can be written too.
func Pending(ctx context.Context, path, id string, begin func() ([]byte, error)) (kept []byte, err error) {
	err = locked(ctx, path, func(path string) error {
		forget(path)
		name := PendingFile(path, id)
		if kept, err = readPrivate(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if kept, err = begin(); err != nil {
			return err
		}
		if err := disk.Save(disk.Real{}, name, kept); err != nil {
			return cannot("write in", filepath.Dir(path), err)
		}
		return nil
	})
	return kept, err
}

// Done forgets what was pending under an id.
func Done(path, id string) error {
	path, err := target(path)
	if err != nil {
		return err
	}
	if err := os.Remove(PendingFile(path, id)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// loginMark follows the name of the file of contexts in those of pending ones.
const loginMark = ".login-"

// PendingFile is where that is kept.
func PendingFile(path, id string) string { return path + loginMark + id }

// forget removes what nobody came back for.
func forget(path string) {
	dir, name := filepath.Split(path)
	for _, name := range named(dir, name+loginMark) {
		if st, err := os.Lstat(name); err == nil && time.Since(st.ModTime()) > pendingLife {
			os.Remove(name)
		}
	}
}

package publish

import (
	"errors"
	"os"
	"path/filepath"
)

// Save leaves either the old file or the new one at path, even after a power
// cut, and returns once the new one is on disk. Its mode is 0600. It is for the
// few files that the log does not bring back; those in data/ are not synced.
func Save(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".save-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // a no-op once renamed
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

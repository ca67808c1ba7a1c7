package node

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// canBeDir refuses a path that is, or leads through, something else than a directory.
func canBeDir(path string) error {
	for at := path; ; at = filepath.Dir(at) {
		switch info, err := os.Stat(at); {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			continue // what is above it says more; the root and "." are there
		case err != nil:
			return err
		case !info.IsDir():
			return store.Errorf(store.CodeInvalid, "%s is not a directory", at).WithHint("name one with --data-dir")
		}
		return nil
	}
}

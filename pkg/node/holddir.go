package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// hold locks the directory as a node does, but for the pid that it writes. A copy
// of one may have no lock, and nobody runs on that.
func (s *Survivor) hold() error {
	info, err := os.Stat(s.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return store.Errorf(store.CodeInvalid, "%s: no such directory", s.Dir)
	case err != nil:
		return err
	case !info.IsDir():
		return store.Errorf(store.CodeInvalid, "%s is not a directory", s.Dir)
	}
	s.dir.lock, err = holdDir(s.dir.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// holdDir locks a data directory by the file that is there, and writes nothing.
func holdDir(path string) (*os.File, error) {
	lock, err := os.Open(filepath.Join(path, "lock"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(io.LimitReader(lock, 20))
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, store.Errorf(store.CodeRefused, "%s is in use by process %s", path, strings.TrimSpace(string(pid))).
				WithHint("stop the node that runs on it first; how it is: cpctl cluster status -s unix:%s", filepath.Join(path, "cpctl.sock"))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return lock, nil
}

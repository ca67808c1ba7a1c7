package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
)

// lockTimeout is how long openLog waits for another process to let go of the
// file; bbolt by itself waits for ever.
const lockTimeout = 2 * time.Second

// openLog opens or makes the log at path, with the file tail beside it. stop is
// called at most once, from whichever goroutine finds the failure; the error is
// a *store.Error of CodeIntegrity when something of the log is damaged. That is
// also what openLog returns for a file whose structure does not hold.
func openLog(fs disk.FS, path string, stop func(error)) (*logStore, error) {
	return openLogWithin(fs, path, stop, lockTimeout)
}

func openLogWithin(fs disk.FS, path string, stop func(error), wait time.Duration) (_ *logStore, err error) {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if err := makeLog(path); err != nil {
			return nil, fmt.Errorf("make raft log %s: %w", path, err)
		}
	}
	s, pages, err := openStore(path, wait, false)
	if err != nil {
		return nil, err
	}
	s.stop = stop
	if err := s.openTail(fs, pages.first, pages.last); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// readLog opens the log at path for reading: nothing is made or changed, and
// nothing is stopped. It is held to the file tail as openLog holds it.
func readLog(path string) (*logStore, error) {
	s, pages, err := openStore(path, lockTimeout, true)
	if err != nil {
		return nil, err
	}
	s.stop = func(error) {}
	if err := s.readTail(pages.first, pages.last); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// openStore opens the file once its structure and raft's own values hold.
func openStore(path string, wait time.Duration, readOnly bool) (*logStore, *pageFile, error) {
	pages, err := checkPages(path, wait)
	if err != nil {
		return nil, nil, err
	}
	db, err := openBolt(path, wait, readOnly)
	if err != nil {
		return nil, nil, err
	}
	s := &logStore{db: db, path: path}
	s.begins.Store(new(snapshotMark))
	for i, size := range pages.sizes {
		s.sizes.add(pages.first+uint64(i), size)
	}
	for key, sealed := range pages.conf {
		if _, err := openValue([]byte(key), sealed); err != nil {
			return nil, nil, errors.Join(damagedLog(path, "its value %q: %v", key, err), db.Close())
		}
	}
	return s, pages, nil
}

// makeLog makes an empty log that is whole from the moment it has its name.
func makeLog(path string) error {
	scratch := filepath.Join(filepath.Dir(path), disk.Unsaved+"raft.db")
	if err := os.Remove(scratch); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	defer os.Remove(scratch) // a no-op once renamed
	db, err := openBolt(scratch, lockTimeout, false)
	if err == nil {
		err = db.Close() // it synced what it wrote
	}
	if err != nil {
		return err
	}
	return disk.Move(disk.Real{}, scratch, path)
}

func openBolt(path string, wait time.Duration, readOnly bool) (db *raftboltdb.BoltStore, err error) {
	defer catch(&err, path)()
	db, err = raftboltdb.New(raftboltdb.Options{
		Path:                    path,
		MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{
			Timeout:        wait,
			ReadOnly:       readOnly,
			NoFreelistSync: true,
			FreelistType:   bbolt.FreelistMapType,
		},
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, heldLog(path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, damagedLog(path, "%v", err)
	case err != nil:
		return nil, fmt.Errorf("open raft log %s: %w", path, err)
	}
	return db, nil
}

// checkPages reads the structure of a log that no process has open.
func checkPages(path string, wait time.Duration) (*pageFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open raft log %s: %w", path, err)
	}
	defer f.Close() // and the lock
	for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("lock raft log %s: %w", path, err)
		}
		if time.Now().After(end) {
			return nil, heldLog(path)
		}
	}
	pages, err := readPages(f)
	if err != nil {
		return nil, damagedLog(path, "%v", err)
	}
	return pages, nil
}

// errLogHeld is wrapped by the error of openLog when another process has the file.
var errLogHeld = errors.New("another process holds it")

func heldLog(path string) error {
	return fmt.Errorf("open raft log %s: %w", path, errLogHeld)
}

func damagedLog(path, format string, args ...any) *store.Error {
	return store.Errorf(store.CodeIntegrity, "raft log %s is damaged: %s", path, fmt.Sprintf(format, args...))
}

// logTail is the record of raft/tail: the last entry that was written to the log.
type logTail struct {
	Last uint64 `json:"last"` // its index, 0 if the log is empty
	Sum  uint32 `json:"sum"`  // its checksum
}

// openTail opens the file tail and compares it with the end of the log. A log
// that ends too early is damaged in a way that the log itself does not tell: one
// bit may make it the log of a moment before. The record is written after the
// entries and not synced: after a power cut it may name an earlier entry than
// the last, which must be there all the same.
func (s *logStore) openTail(fs disk.FS, first, last uint64) (err error) {
	if last > 0 {
		if s.tail, err = s.tailAt(last); err != nil {
			return err
		}
	}
	noted := s.tail
	if s.noted, err = publish.OpenMarker(fs, s.tailPath(), &noted); err != nil {
		return err
	}
	if err := s.endsAt(noted, first, last); err != nil {
		return errors.Join(err, s.noted.Close())
	}
	return nil
}

// readTail is openTail for a log that is only read.
func (s *logStore) readTail(first, last uint64) error {
	var noted logTail
	_, err := publish.ReadMarker(s.tailPath(), &noted)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a crash may have come between the two
	}
	if err != nil {
		return err
	}
	return s.endsAt(noted, first, last)
}

func (s *logStore) tailPath() string { return filepath.Join(filepath.Dir(s.path), "tail") }

// endsAt compares the end of the log with what was noted of it.
func (s *logStore) endsAt(noted logTail, first, last uint64) error {
	switch {
	case noted.Last > last:
		return damagedLog(s.path, "it ends at entry %d, and entry %d had been written to it", last, noted.Last)
	case noted.Last >= max(first, 1):
		at, err := s.tailAt(noted.Last)
		if err == nil && at != noted {
			err = damagedLog(s.path, "its entry %d is not the one that was written last", noted.Last)
		}
		return err
	}
	return nil
}

func (s *logStore) tailAt(index uint64) (logTail, error) {
	_, sum, _, err := s.read(index)
	return logTail{index, sum}, err
}

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// errLogClosed answers whoever uses the log after Close. It is no failure of the
// disk and stops nothing.
var errLogClosed = errors.New("the raft log is closed")

// lockTimeout is how long openLog waits for another process to let go of the
// file; bbolt by itself waits for ever.
const lockTimeout = 2 * time.Second

// logStore is raft's log and stable store: raft-boltdb with three things added.
//
// It fails once. Raft carries on after an error of its store, with a memory that
// may differ from the disk, and after a failed sync the page cache may show what
// the disk does not hold. So the first write that fails, and the first entry
// that is damaged, call stop (which ends the process), and from then on every
// call fails.
//
// Each entry carries a CRC-32C of its content in Log.Extensions, put there on a
// copy, because raft's LogCache, which wraps this store, shares the entries.
//
// It has no gaps, and says so (see logreset.go).
type logStore struct {
	db     *raftboltdb.BoltStore
	path   string
	stop   func(error)
	failed atomic.Pointer[error]
	closed atomic.Bool

	newest func() (snapshotMark, error) // nil until followSnapshots
	stale  func()
	begins atomic.Pointer[snapshotMark] // the snapshot that the log was last told to begin behind
}

var (
	_ raft.LogStore          = (*logStore)(nil)
	_ raft.StableStore       = (*logStore)(nil)
	_ raft.MonotonicLogStore = (*logStore)(nil)
)

// openLog opens or makes the log at path. stop is called at most once, from
// whichever goroutine finds the failure; the error is a *store.Error of
// CodeIntegrity when an entry is damaged.
func openLog(path string, stop func(error)) (*logStore, error) {
	return openLogWithin(path, stop, lockTimeout)
}

func openLogWithin(path string, stop func(error), wait time.Duration) (*logStore, error) {
	_, statErr := os.Stat(path)
	db, err := raftboltdb.New(raftboltdb.Options{
		Path:                    path,
		MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{
			Timeout:        wait,
			NoFreelistSync: true,
			FreelistType:   bbolt.FreelistMapType,
		},
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open raft log %s: another process holds it", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, store.Errorf(store.CodeIntegrity, "open raft log %s: %v", path, err)
	case err != nil:
		return nil, fmt.Errorf("open raft log %s: %w", path, err)
	}
	if errors.Is(statErr, os.ErrNotExist) {
		// bbolt syncs the file but not its name.
		if err := disk.SyncDir(disk.Real{}, filepath.Dir(path)); err != nil {
			return nil, errors.Join(fmt.Errorf("open raft log %s: %w", path, err), db.Close())
		}
	}
	s := &logStore{db: db, path: path, stop: stop}
	s.begins.Store(new(snapshotMark))
	return s, nil
}

// Close lets go of the file. Raft must have been shut down before.
func (s *logStore) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.db.Close()
}

// FirstIndex is the index of the oldest entry, 0 if there is none.
func (s *logStore) FirstIndex() (uint64, error) {
	if err := s.usable(); err != nil {
		return 0, err
	}
	return s.db.FirstIndex()
}

// LastIndex is the index of the newest entry, 0 if there is none.
func (s *logStore) LastIndex() (uint64, error) {
	if err := s.usable(); err != nil {
		return 0, err
	}
	return s.db.LastIndex()
}

// GetLog reads the entry at index into out as it was given to StoreLogs, or
// returns raft.ErrLogNotFound.
func (s *logStore) GetLog(index uint64, out *raft.Log) error {
	if err := s.usable(); err != nil {
		return err
	}
	var entry raft.Log
	err := s.db.GetLog(index, &entry)
	if errors.Is(err, raft.ErrLogNotFound) {
		return s.snapshotEntry(index, out)
	}
	if err != nil {
		return s.fail(store.Errorf(store.CodeIntegrity, "raft log %s: entry %d cannot be read: %v", s.path, index, err))
	}
	if !takeChecksum(&entry) || entry.Index != index {
		return s.fail(store.Errorf(store.CodeIntegrity, "raft log %s: entry %d is damaged: its checksum does not match", s.path, index))
	}
	*out = entry
	return nil
}

// StoreLog appends one entry.
func (s *logStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries and returns once they are on the disk. They must
// continue the log.
func (s *logStore) StoreLogs(entries []*raft.Log) error {
	if err := s.usable(); err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	if err := s.checkContinues(entries); err != nil {
		return s.fail(err)
	}
	copies := make([]*raft.Log, len(entries))
	for i, e := range entries {
		copies[i] = withChecksum(e)
	}
	if err := s.db.StoreLogs(copies); err != nil {
		return s.fail(fmt.Errorf("raft log %s: write entries %d to %d: %w", s.path, entries[0].Index, entries[len(entries)-1].Index, err))
	}
	return nil
}

// Set stores a value of raft's own.
func (s *logStore) Set(key, value []byte) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.db.Set(key, value); err != nil {
		return s.fail(fmt.Errorf("raft log %s: write %s: %w", s.path, key, err))
	}
	return nil
}

// SetUint64 stores a number of raft's own.
func (s *logStore) SetUint64(key []byte, value uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.db.SetUint64(key, value); err != nil {
		return s.fail(fmt.Errorf("raft log %s: write %s: %w", s.path, key, err))
	}
	return nil
}

// Get reads a value of Set. The error for a key that is not there says "not
// found" and nothing else: raft compares the words.
func (s *logStore) Get(key []byte) ([]byte, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	return s.db.Get(key)
}

// GetUint64 reads a number of SetUint64, with the error of Get.
func (s *logStore) GetUint64(key []byte) (uint64, error) {
	if err := s.usable(); err != nil {
		return 0, err
	}
	return s.db.GetUint64(key)
}

func (s *logStore) usable() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	if s.closed.Load() {
		return errLogClosed
	}
	return nil
}

// fail makes err the answer to this call and all later ones, and stops the
// process, unless the log was closed under the call.
func (s *logStore) fail(err error) error {
	if s.closed.Load() {
		return errLogClosed
	}
	if s.failed.CompareAndSwap(nil, &err) {
		s.stop(err)
	}
	return *s.failed.Load()
}

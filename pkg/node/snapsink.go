package node

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// snapSink is a snapshot on its way to the disk. After its first failure
// nothing is left of it, and every call returns that failure.
type snapSink struct {
	store  *snapStore
	meta   snapMeta
	name   string // in the store's directory
	parent int    // handle of that directory; -1 once all handles are closed
	dir    int
	state  int
	buffer *bufio.Writer
	synced int64 // bytes of the state that are on the disk
	sum    hash.Hash
	ended  bool
	err    error
}

var _ raft.SnapshotSink = (*snapSink)(nil)

// How many bytes of a state are written at once, and after how many they go to the
// disk: the log, which is synced meanwhile, waits for no more than these.
const (
	snapBuffer = 256 << 10
	snapSync   = 1 << 20
)

// Create begins a snapshot. Raft's transport is of use only to versions that
// are not written any more.
func (s *snapStore) Create(version raft.SnapshotVersion, index, term uint64, members raft.Configuration, membersIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != 1 {
		return nil, fmt.Errorf("snapshots of raft's version %d cannot be written", version)
	}
	k := &snapSink{store: s, parent: -1, dir: -1, state: -1, sum: sha256.New()}
	k.meta.Meta = raft.SnapshotMeta{Version: version, Index: index, Term: term, Configuration: members, ConfigurationIndex: membersIndex}
	if err := k.begin(); err != nil {
		return nil, k.abandon(err)
	}
	k.buffer = bufio.NewWriterSize(snapState{k}, snapBuffer)
	return k, nil
}

func (k *snapSink) begin() (err error) {
	s := k.store
	if k.parent, err = disk.Open(s.path); err != nil {
		return err
	}
	name := ""
	for at := time.Now().UnixMilli(); ; at++ { // two of one millisecond get two names
		k.meta.Meta.ID = fmt.Sprintf("%d-%d-%d", k.meta.Meta.Term, k.meta.Meta.Index, at)
		if _, err := disk.Lstat(k.parent, k.meta.Meta.ID); err != unix.ENOENT {
			if err != nil {
				return err
			}
			continue
		}
		name = k.meta.Meta.ID + snapTmp
		if err = s.disk.Mkdir(k.parent, name, 0o700); err != unix.EEXIST {
			break
		}
	}
	if err != nil {
		return err
	}
	k.name = name // from here on there is something to remove
	if k.dir, err = disk.OpenDir(k.parent, name); err != nil {
		return err
	}
	k.state, err = s.disk.Create(k.dir, stateFile, 0o600)
	return err
}

// snapState is the open state.bin.
type snapState struct{ *snapSink }

func (k snapState) Write(b []byte) (int, error) {
	if err := k.store.disk.Write(k.state, b); err != nil {
		return 0, err
	}
	k.sum.Write(b)
	k.meta.Meta.Size += int64(len(b))
	if k.meta.Meta.Size-k.synced >= snapSync {
		if err := k.store.disk.Datasync(k.state); err != nil {
			return 0, err
		}
		k.synced = k.meta.Meta.Size
	}
	return len(b), nil
}

// ID is the name of the snapshot.
func (k *snapSink) ID() string { return k.meta.Meta.ID }

// Write appends to the state.
func (k *snapSink) Write(b []byte) (int, error) {
	switch {
	case k.err != nil:
		return 0, k.err
	case k.ended:
		return 0, os.ErrClosed
	}
	n, err := k.buffer.Write(b)
	if err != nil {
		err = k.abandon(err)
	}
	return n, err
}

// Close makes the snapshot durable, and the newest one.
func (k *snapSink) Close() error {
	if k.ended {
		return k.err
	}
	if err := k.finish(); err != nil {
		return k.abandon(err)
	}
	k.ended = true
	k.release()
	if err := k.store.reap(); err != nil { // the next one tries again
		k.store.log.Warn("an old snapshot cannot be removed", "error", err)
	}
	return nil
}

// finish syncs everything before the snapshot gets its name, and then the name.
func (k *snapSink) finish() error {
	if err := k.buffer.Flush(); err != nil {
		return err
	}
	fs := k.store.disk
	if err := fs.Sync(k.state); err != nil {
		return err
	}
	k.meta.State = hex.EncodeToString(k.sum.Sum(nil))
	b, err := k.meta.encode()
	if err != nil {
		return err
	}
	meta, err := fs.Create(k.dir, metaFile, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(meta)
	if err := fs.Write(meta, b); err != nil {
		return err
	}
	if err := fs.Sync(meta); err != nil {
		return err
	}
	if err := fs.Sync(k.dir); err != nil {
		return err
	}
	if err := fs.Rename(k.parent, k.name, k.parent, k.meta.Meta.ID); err != nil {
		return err
	}
	k.name = k.meta.Meta.ID
	return fs.Sync(k.parent)
}

// Cancel gives the snapshot up.
func (k *snapSink) Cancel() error {
	if k.ended {
		return nil
	}
	k.ended = true
	return k.discard()
}

// abandon remembers the first failure and leaves nothing behind.
func (k *snapSink) abandon(err error) error {
	if k.err == nil {
		k.ended = true
		k.err = fmt.Errorf("write snapshot %s: %w", k.meta.Meta.ID, errors.Join(err, k.discard()))
	}
	return k.err
}

// discard removes what there is of the snapshot.
func (k *snapSink) discard() (err error) {
	switch k.name {
	case "":
	case k.meta.Meta.ID:
		err = k.store.remove(k.parent, k.name)
	default:
		err = disk.Remove(k.store.disk, filepath.Join(k.store.path, k.name))
	}
	k.release()
	return err
}

func (k *snapSink) release() {
	for _, fd := range []*int{&k.state, &k.dir, &k.parent} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

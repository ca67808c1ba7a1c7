package publish

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// Committed says how far this node has shown its state to anybody.
type Committed struct {
	Index     uint64 `json:"index"`      // of the last entry shown
	Term      uint64 `json:"term"`       // of that entry
	Digest    string `json:"digest"`     // store.Image.StateDigest at that index
	ClusterID string `json:"cluster_id"` // empty in Write: the marker's own
}

// syncDelay is how long a write may wait for its sync: with the sync itself
// below the 100 ms that the design allows.
const syncDelay = 50 * time.Millisecond

var errClosed = errors.New("closed")

// CommittedMarker is the file raft/committed. A write is exact after kill -9;
// after a power cut at most 100 ms of writes are missing.
type CommittedMarker struct {
	path      string
	clusterID string
	sync      func(fd int) error // fdatasync; tests fail it

	mu     sync.Mutex
	file   *slots
	err    error // the first failure; nothing is written after it
	fail   func(error)
	closed bool

	written chan struct{} // holds one token while something awaits its sync
	stop    chan struct{}
	stopped chan struct{}
}

// OpenCommitted opens or makes the marker at path, whose directory exists, and
// returns the newest record; false if there is none yet. It writes through fs,
// or to the real disk if that is nil. An error of
// CodeIntegrity if the file has neither slot whole, or belongs to another
// cluster. What it makes is durable when it returns.
func OpenCommitted(fs disk.FS, path, clusterID string) (*CommittedMarker, Committed, bool, error) {
	fs = disk.Or(fs)
	file, c, err := openCommitted(fs, path, clusterID)
	if err != nil {
		return nil, Committed{}, false, err
	}
	m := &CommittedMarker{
		path: path, clusterID: clusterID, sync: fs.Datasync, file: file,
		written: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go m.syncWrites()
	return m, c, c.Index != 0, nil
}

func openCommitted(fs disk.FS, path, clusterID string) (*slots, Committed, error) {
	if st, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) || err == nil && st.Mode().IsRegular() && st.Size() == 0 {
		if err := createCommitted(fs, path, clusterID); err != nil {
			return nil, Committed{}, fmt.Errorf("create %s: %w", path, err)
		}
	}
	fd, err := disk.OpenFile(unix.AT_FDCWD, path, unix.O_RDWR)
	if err != nil {
		return nil, Committed{}, fmt.Errorf("open %s: %w", path, err)
	}
	var c Committed
	file, _, ok, err := openSlots(fs, fd, &c)
	switch {
	case err != nil:
		err = fmt.Errorf("read %s: %w", path, err)
	case !ok:
		err = store.Errorf(store.CodeIntegrity, "%s is damaged: neither of its two records can be read", path)
	case c.ClusterID != clusterID:
		err = store.Errorf(store.CodeIntegrity, "%s belongs to cluster %s, this node to cluster %s", path, c.ClusterID, clusterID)
	}
	if err != nil {
		unix.Close(fd)
		return nil, Committed{}, err
	}
	return file, c, nil
}

// Damaged reports whether one of the two records was not whole when the marker
// was opened: neither a record nor blank. A disk writes the sector of a record
// whole or not at all, so that this is no trace of a power cut; whichever it is,
// the record may have been the newer one, and the caller must not show the older
// one for the newest. The next Write replaces it.
func (m *CommittedMarker) Damaged() bool { return m.file.damaged }

// Check says what is wrong with the file, "" if nothing is, and with repair
// writes it anew.
func (m *CommittedMarker) Check(repair bool) (fault string, repaired bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.err != nil {
		return "", false // the node is on its way out
	}
	return checkMarker(m.path, m.file, repair)
}

// createCommitted makes the file with a record of index 0, so that a file that
// exists has a whole slot from its first moment on.
func createCommitted(fs disk.FS, path, clusterID string) error {
	first, err := encodeSlot(1, Committed{ClusterID: clusterID})
	if err != nil {
		return err
	}
	return disk.Save(fs, path, append(first, blank()[slotSize:]...))
}

// OnFail names what is told of the first failure, once, from the goroutine that
// met it: the caller of Write or the background sync. It is set before the
// first Write, and ends the process with exit 13: what was shown can no longer
// be remembered.
func (m *CommittedMarker) OnFail(fail func(error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

// Write records c before the image of that index is visible to anybody. It
// takes one pwrite; the sync follows. After the first failure, also of the
// sync, every Write returns that failure.
func (m *CommittedMarker) Write(c Committed) error {
	if c.ClusterID == "" {
		c.ClusterID = m.clusterID
	}
	m.mu.Lock()
	switch {
	case m.err != nil:
		defer m.mu.Unlock()
		return m.err
	case m.closed:
		defer m.mu.Unlock()
		return fmt.Errorf("write %s: %w", m.path, errClosed)
	case c.ClusterID != m.clusterID:
		defer m.mu.Unlock()
		return fmt.Errorf("write %s: cluster %s is not %s", m.path, c.ClusterID, m.clusterID)
	}
	err := m.file.write(c)
	m.mu.Unlock()
	if err != nil {
		return m.failed("write", err)
	}
	select {
	case m.written <- struct{}{}:
	default: // a sync is to come already
	}
	return nil
}

// Sync returns once all that was written is on the disk: for a caller who is
// about to give up something that an older state would need.
func (m *CommittedMarker) Sync() error {
	m.mu.Lock()
	if m.closed || m.err != nil {
		defer m.mu.Unlock()
		return cmp.Or(m.err, errClosed)
	}
	err := m.sync(m.file.fd) // under the lock: Close takes the descriptor away
	m.mu.Unlock()
	if err != nil {
		return m.failed("sync", err)
	}
	return nil
}

// failed remembers the first failure and passes it on.
func (m *CommittedMarker) failed(what string, err error) error {
	m.mu.Lock()
	first := m.err == nil
	if first {
		m.err = fmt.Errorf("%s %s: %w", what, m.path, err)
	}
	err, fail := m.err, m.fail
	m.mu.Unlock()
	if first && fail != nil {
		fail(err)
	}
	return err
}

// syncWrites syncs what was written, at most once in syncDelay.
func (m *CommittedMarker) syncWrites() {
	defer close(m.stopped)
	for {
		select {
		case <-m.written:
		case <-m.stop:
			return // Close syncs
		}
		select {
		case <-time.After(syncDelay):
		case <-m.stop:
			return
		}
		if err := m.sync(m.file.fd); err != nil {
			m.failed("sync", err)
			return
		}
	}
}

// Close syncs and closes the file. It returns the first failure there was.
func (m *CommittedMarker) Close() error {
	m.mu.Lock()
	if m.closed {
		defer m.mu.Unlock()
		return m.err
	}
	m.closed = true
	m.mu.Unlock()
	close(m.stop)
	<-m.stopped
	if err := m.sync(m.file.fd); err != nil {
		m.failed("sync", err)
	}
	if err := m.file.close(); err != nil {
		m.failed("close", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

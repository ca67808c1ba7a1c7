package publish

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// Marker is a small record on disk that is replaced in place, like that of
// raft/committed, without the promise of a sync.
type Marker struct {
	path string

	mu     sync.Mutex
	file   *slots
	closed bool
}

// OpenMarker opens the marker at path, whose directory exists, and decodes its
// newest whole record into v. If there is no file it makes one that holds v, on
// disk when it returns. An error of CodeIntegrity if no record is whole.
func OpenMarker(fs disk.FS, path string, v any) (*Marker, error) {
	fs = disk.Or(fs)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		first, err := encodeSlot(1, v)
		if err == nil {
			err = disk.Save(fs, path, append(first, blank()[slotSize:]...))
		}
		if err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
	}
	fd, err := disk.OpenFile(unix.AT_FDCWD, path, unix.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	file, _, ok, err := openSlots(fs, fd, v)
	if err == nil && !ok {
		err = store.Errorf(store.CodeIntegrity, "%s is damaged: neither of its two records can be read", path)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Marker{path: path, file: file}, nil
}

// Write puts v in the place of the older of the two last records.
func (m *Marker) Write(v any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("write %s: %w", m.path, errClosed)
	}
	if err := m.file.write(v); err != nil {
		return fmt.Errorf("write %s: %w", m.path, err)
	}
	return nil
}

// Check says what is wrong with the file, "" if nothing is, and with repair
// writes it anew.
func (m *Marker) Check(repair bool) (fault string, repaired bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return "", false
	}
	return checkMarker(m.path, m.file, repair)
}

// Sync returns when what was written is on disk.
func (m *Marker) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("sync %s: %w", m.path, errClosed)
	}
	if err := m.file.sys.Datasync(m.file.fd); err != nil {
		return fmt.Errorf("sync %s: %w", m.path, err)
	}
	return nil
}

// Close syncs and closes the file.
func (m *Marker) Close() error {
	err := m.Sync()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	return errors.Join(err, m.file.close())
}

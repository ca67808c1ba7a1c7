package publish

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/faultdisk"
)

func openMarker(t *testing.T, path string) (*CommittedMarker, Committed, bool) {
	t.Helper()
	m, c, ok, err := OpenCommitted(nil, path, cluster)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, c, ok
}

// markerAt makes a marker that was written at indexes 1 to n.
func markerAt(t *testing.T, n uint64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "committed")
	m, _, _ := openMarker(t, path)
	for i := uint64(1); i <= n; i++ {
		if err := m.Write(Committed{Index: i, Term: 2, Digest: "d"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommittedRemembersTheLastWrite(t *testing.T) {
	for n := range uint64(5) {
		_, c, ok := openMarker(t, markerAt(t, n))
		if ok != (n > 0) || c.Index != n {
			t.Errorf("after %d writes: index %d, %v", n, c.Index, ok)
		}
		if ok && c != (Committed{Index: n, Term: 2, Digest: "d", ClusterID: cluster}) {
			t.Errorf("after %d writes: %+v", n, c)
		}
	}
}

func TestCommittedSurvivesAKillAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "committed")
	m, _, _ := openMarker(t, path)
	if err := m.Write(Committed{Index: 7, Term: 1}); err != nil {
		t.Fatal(err)
	}
	if _, c, ok := openMarker(t, path); !ok || c.Index != 7 { // the first is not closed
		t.Errorf("got %+v, %v, want index 7", c, ok)
	}
}

func TestCommittedThatIsDamaged(t *testing.T) {
	damage := func(at ...int64) func(string) error {
		return func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			for _, offset := range at {
				_, werr := f.WriteAt([]byte("\x00"), offset)
				err = errors.Join(err, werr)
			}
			return errors.Join(err, f.Close())
		}
	}
	for _, c := range []struct {
		fact   string
		damage func(path string) error
		index  uint64 // of 4 written; 0: refused
	}{
		{"is read when it is whole", damage(), 4},
		{"falls back to the slot before", damage(slotSize + 12), 3}, // the first record is the empty one
		{"does not need the slot before", damage(12), 4},
		{"is refused without a whole slot", damage(12, slotSize+12), 0},
		{"is refused when it is cut short", func(p string) error { return os.Truncate(p, slotSize) }, 0},
		{"is refused when it is all zeros", func(p string) error { return os.WriteFile(p, make([]byte, markerSize), 0o600) }, 0},
		{"is refused when it is longer", func(p string) error { return os.Truncate(p, markerSize+1) }, 0},
	} {
		path := markerAt(t, 4)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, slot, _ := newest(b, new(Committed)); slot == 0 { // put the newer one second
			if err := os.WriteFile(path, append(b[slotSize:], b[:slotSize]...), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.damage(path); err != nil {
			t.Fatal(err)
		}
		m, got, _, err := OpenCommitted(nil, path, cluster)
		if c.index == 0 {
			if !errors.Is(err, store.ErrIntegrity) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: err = %v, want one of integrity that names the file", c.fact, err)
			}
			continue
		}
		if err != nil || got.Index != c.index {
			t.Errorf("%s: index %d, %v, want %d", c.fact, got.Index, err, c.index)
		}
		if m != nil {
			m.Close()
		}
	}
}

func TestCommittedOfAnEmptyFileIsNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "committed")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := openMarker(t, path); ok {
		t.Error("an empty file holds a record")
	}
	if st, err := os.Stat(path); err != nil || st.Size() != markerSize || st.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want %d bytes, 0600", st, err, markerSize)
	}
}

func TestCommittedOfAnotherClusterIsRefused(t *testing.T) {
	path := markerAt(t, 2)
	if _, _, _, err := OpenCommitted(nil, path, "another"); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("err = %v, want one of integrity", err)
	}
	m, _, _ := openMarker(t, path)
	if err := m.Write(Committed{Index: 3, ClusterID: "another"}); err == nil {
		t.Error("a record of another cluster was written")
	}
}

func TestCommittedIsSyncedSoonAfterAWrite(t *testing.T) {
	m, _, _ := openMarker(t, filepath.Join(t.TempDir(), "committed"))
	var syncs atomic.Int32
	m.sync = func(fd int) error { syncs.Add(1); return unix.Fdatasync(fd) }
	for round := range int32(2) {
		for i := range uint64(100) {
			if err := m.Write(Committed{Index: i + 1}); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "the writes are synced", func() bool { return syncs.Load() > round })
	}
	if n := syncs.Load(); n > 10 {
		t.Errorf("200 writes took %d syncs", n)
	}
}

func TestCommittedFailsOnceAndForAll(t *testing.T) {
	broken := func(call, _ string) error { return unix.EIO }
	for _, c := range []struct {
		fact  string
		spoil func(m *CommittedMarker)
	}{
		{"when a write fails", func(m *CommittedMarker) { m.file.sys = faultdisk.New(broken) }},
		{"when the background sync fails", func(m *CommittedMarker) { m.sync = func(int) error { return unix.EIO } }},
	} {
		m, _, _ := openMarker(t, filepath.Join(t.TempDir(), "committed"))
		var told atomic.Int32
		m.OnFail(func(err error) {
			if !errors.Is(err, unix.EIO) {
				t.Errorf("%s: told %v, want EIO", c.fact, err)
			}
			told.Add(1)
		})
		c.spoil(m)
		m.Write(Committed{Index: 1})
		until(t, c.fact+" it is told", func() bool { return told.Load() == 1 })
		if err := m.Write(Committed{Index: 2}); !errors.Is(err, unix.EIO) {
			t.Errorf("%s: the next write: %v, want EIO", c.fact, err)
		}
		if err := m.Close(); !errors.Is(err, unix.EIO) {
			t.Errorf("%s: close: %v, want EIO", c.fact, err)
		}
		if n := told.Load(); n != 1 {
			t.Errorf("%s: told %d times", c.fact, n)
		}
	}
}

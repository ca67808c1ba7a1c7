package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/faultdisk"
)

func openSnaps(t *testing.T, fs disk.FS) *snapStore {
	t.Helper()
	s, err := openSnapshots(fs, filepath.Join(t.TempDir(), "raft", "snapshots"), keepSnapshots, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// snapBytes is a state that is written in several pieces.
func snapBytes(index uint64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "state at %d;", index), snapBuffer/8)
}

var snapMembers = raft.Configuration{Servers: []raft.Server{{ID: "n1-id", Address: "n1-id@127.0.0.1:7700"}, {Suffrage: raft.Nonvoter, ID: "n2-id", Address: "n2-id@127.0.0.1:7701"}}}

// writeSnap writes a snapshot as raft and the state machine do.
func writeSnap(s *snapStore, index, term uint64, state []byte) (id string, err error) {
	sink, err := s.Create(1, index, term, snapMembers, index-1, nil)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(sink, bytes.NewReader(state)); err != nil {
		return "", errors.Join(err, sink.Cancel())
	}
	return sink.ID(), sink.Close()
}

func mustWriteSnap(t *testing.T, s *snapStore, index, term uint64) string {
	t.Helper()
	id, err := writeSnap(s, index, term, snapBytes(index))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func listed(t *testing.T, s *snapStore) (indexes []uint64) {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		indexes = append(indexes, m.Index)
	}
	return indexes
}

func readSnap(s *snapStore, id string) (*raft.SnapshotMeta, []byte, error) {
	m, r, err := s.Open(id)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return m, b, err
}

func TestASnapshotIsReadAsItWasWritten(t *testing.T) {
	s := openSnaps(t, disk.Real{})
	id := mustWriteSnap(t, s, 40, 3)
	m, b, err := readSnap(s, id)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, snapBytes(40)) {
		t.Errorf("%d bytes differ from the %d that were written", len(b), len(snapBytes(40)))
	}
	if m.ID != id || m.Index != 40 || m.Term != 3 || m.ConfigurationIndex != 39 || m.Size != int64(len(b)) || m.Version != 1 ||
		fmt.Sprint(m.Configuration) != fmt.Sprint(snapMembers) {
		t.Errorf("meta %+v", m)
	}
	err = filepath.WalkDir(s.path, func(path string, e fs.DirEntry, err error) error {
		if st, serr := e.Info(); serr != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v: others can read it", path, st.Mode(), serr)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(0, 1, 1, snapMembers, 1, nil); err == nil {
		t.Error("a version that raft does not write any more is begun")
	}
	if _, _, err := s.Open("3-40-1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a snapshot that is not there: %v", err)
	}
}

func TestTheNewestSnapshotsStay(t *testing.T) {
	s := openSnaps(t, disk.Real{})
	for _, at := range [][2]uint64{{9, 1}, {10, 1}, {100, 1}, {100, 2}, {99, 2}} {
		mustWriteSnap(t, s, at[0], at[1])
	}
	if got, want := listed(t, s), []uint64{100, 100, 99}; !slices.Equal(got, want) {
		t.Errorf("indexes %v, want %v", got, want)
	}
	if list, _ := s.List(); list[0].Term != 2 {
		t.Errorf("the newest has term %d, want 2", list[0].Term)
	}
	if left := namesIn(t, s.path); len(left) != keepSnapshots {
		t.Errorf("the directory holds %v", left)
	}
	again := mustWriteSnap(t, s, 100, 2) // within the same millisecond, perhaps
	if list, _ := s.List(); list[0].ID != again {
		t.Errorf("of two at one index %s is the newest, want the later %s", list[0].ID, again)
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Whatever call fails, the snapshots that were there stay, and nothing that is
// neither one of them nor the new one.
func TestAFailedSnapshotLeavesNothing(t *testing.T) {
	for n, failed := 1, true; failed; n++ {
		f := new(faultdisk.Disk)
		s := openSnaps(t, f)
		for i := range uint64(keepSnapshots) {
			mustWriteSnap(t, s, 10+i, 1)
		}
		was := f.FailOnce(n, unix.ENOSPC)
		id, err := writeSnap(s, 40, 1, snapBytes(40))
		failed = was()
		f.Set(nil)
		want := []uint64{12, 11, 10}
		if err == nil {
			want = []uint64{40, 12, 11}
		} else if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("err = %v, want ENOSPC", err)
		}
		if got := listed(t, s); !slices.Equal(got, want) {
			t.Errorf("indexes %v, want %v (err = %v)", got, want, err)
		}
		left := namesIn(t, s.path)
		if err != nil && len(left) != keepSnapshots {
			t.Errorf("the directory holds %v after %v", left, err)
		}
		if err == nil {
			if _, b, err := readSnap(s, id); err != nil || !bytes.Equal(b, snapBytes(40)) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			mustWriteSnap(t, s, 41, 1)
			if left := namesIn(t, s.path); len(left) != keepSnapshots {
				t.Errorf("the directory holds %v after the next one", left)
			}
		}
		if t.Failed() {
			t.Fatalf("call %d failed", n)
		}
	}
}

func TestAGivenUpSnapshotLeavesNothing(t *testing.T) {
	s := openSnaps(t, disk.Real{})
	sink, err := s.Create(1, 7, 1, snapMembers, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(snapBytes(7)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(sink.Cancel(), sink.Close()); err != nil {
			t.Errorf("given up: %v", err)
		}
	}
	if _, err := sink.Write(nil); err == nil {
		t.Error("it is written to after it was given up")
	}
	if left := namesIn(t, s.path); len(left) != 0 {
		t.Errorf("the directory holds %v", left)
	}
}

func flip(t *testing.T, path string, bit int) (restore func()) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put := func() {
		b[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put()
	return put
}

func TestNoFlippedBitOfAMetaIsBelieved(t *testing.T) {
	s := openSnaps(t, disk.Real{})
	id := mustWriteSnap(t, s, 40, 3)
	path := filepath.Join(s.path, id, metaFile)
	size := len(readFile(t, path))
	for bit := range 8 * size {
		restore := flip(t, path, bit)
		if _, bad, err := s.scan(); err != nil || len(bad) != 1 || bad[0].id != id {
			t.Fatalf("bit %d: %d bad, %v", bit, len(bad), err)
		}
		if _, _, err := s.Open(id); !errors.Is(err, store.ErrIntegrity) || !strings.Contains(err.Error(), id) {
			t.Fatalf("bit %d: err = %v, want one of integrity that names %s", bit, err, id)
		}
		restore()
	}
	if got := listed(t, s); !slices.Equal(got, []uint64{40}) {
		t.Errorf("indexes %v after all bits were put back", got)
	}
}

// Not even the reader that hands a snapshot on to a follower, and looks at
// nothing, gets all of a damaged one.
func TestADamagedStateIsNeverReadToItsEnd(t *testing.T) {
	s := openSnaps(t, disk.Real{})
	id := mustWriteSnap(t, s, 40, 3)
	path := filepath.Join(s.path, id, stateFile)
	whole := readFile(t, path)
	for _, bit := range []int{0, 8*snapBuffer + 3, 4 * len(whole), 8*len(whole) - 1} {
		restore := flip(t, path, bit)
		if _, b, err := readSnap(s, id); !errors.Is(err, store.ErrIntegrity) || len(b) >= len(whole) {
			t.Errorf("bit %d: %d of %d bytes, err = %v, want fewer and one of integrity", bit, len(b), len(whole), err)
		}
		restore()
	}
	for _, c := range []struct {
		fact  string
		bytes []byte
	}{
		{"a state that is cut short", whole[:len(whole)-1]},
		{"a state that is longer", append(slices.Clone(whole), 0)},
		{"a state that is gone", nil},
	} {
		if err := os.WriteFile(path, c.bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readSnap(s, id); !errors.Is(err, store.ErrIntegrity) {
			t.Errorf("%s: err = %v, want one of integrity", c.fact, err)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unsynced is a disk that counts what was written since the last sync.
type unsynced struct {
	disk.FS
	now, most int
}

func (d *unsynced) Write(fd int, b []byte) error {
	d.now += len(b)
	d.most = max(d.most, d.now)
	return d.FS.Write(fd, b)
}

func (d *unsynced) Datasync(fd int) error { d.now = 0; return d.FS.Datasync(fd) }

// TestASnapshotGoesToTheDiskInSteps: a log that is synced beside it must not wait for
// all of it.
func TestASnapshotGoesToTheDiskInSteps(t *testing.T) {
	d := &unsynced{FS: disk.Real{}}
	s := openSnaps(t, d)
	sink, err := s.Create(1, 9, 2, snapMembers, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 << 20 / (16 << 10) { // the pieces in which an archive comes
		if _, err := sink.Write(make([]byte, 16<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if want := snapSync + snapBuffer; d.most > want || d.most < snapSync {
		t.Errorf("up to %d bytes were written and not synced, want no more than %d", d.most, want)
	}
}

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// stops collects what a log gave to stop.
type stops struct{ errs []error }

func (s *stops) stop(err error) { s.errs = append(s.errs, err) }

func testLog(t *testing.T, path string) (*logStore, *stops) {
	t.Helper()
	st := new(stops)
	s, err := openLog(nil, path, st.stop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, st
}

func entries(first, last, term uint64) (list []*raft.Log) {
	for i := first; i <= last; i++ {
		list = append(list, &raft.Log{Index: i, Term: term, Data: fmt.Appendf(nil, "entry %d of term %d", i, term)})
	}
	return list
}

func wantEnds(t *testing.T, s *logStore, first, last uint64) {
	t.Helper()
	f, err1 := s.FirstIndex()
	l, err2 := s.LastIndex()
	if f != first || l != last || err1 != nil || err2 != nil {
		t.Errorf("the log goes from %d (%v) to %d (%v), want %d to %d", f, err1, l, err2, first, last)
	}
}

func TestLogGivesBackWhatItTook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s, st := testLog(t, path)
	given := []*raft.Log{
		{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{})},
		{Index: 2, Term: 1, Type: raft.LogNoop},
		{Index: 3, Term: 2, Data: []byte("x"), Extensions: []byte("of others"), AppendedAt: time.Date(2026, 1, 5, 10, 0, 0, 123456789, time.UTC)},
	}
	if err := s.StoreLogs(given); err != nil {
		t.Fatal(err)
	}
	if given[0].Extensions != nil || string(given[2].Extensions) != "of others" {
		t.Errorf("the entries of the caller were changed: %q, %q", given[0].Extensions, given[2].Extensions)
	}
	if err := errors.Join(s.Set([]byte("k"), []byte("v")), s.SetUint64([]byte("n"), 7), s.Close()); err != nil {
		t.Fatal(err)
	}
	s, _ = testLog(t, path)
	for _, want := range given {
		got := raft.Log{Index: 99, Data: []byte("from before"), Extensions: []byte("from before")}
		if err := s.GetLog(want.Index, &got); err != nil {
			t.Fatal(err)
		}
		if !got.AppendedAt.Equal(want.AppendedAt) {
			t.Errorf("entry %d appended at %v, want %v", want.Index, got.AppendedAt, want.AppendedAt)
		}
		got.AppendedAt = want.AppendedAt
		if !reflect.DeepEqual(got, *want) {
			t.Errorf("got %+v, want %+v", got, *want)
		}
	}
	wantEnds(t, s, 1, 3)
	if v, err := s.Get([]byte("k")); string(v) != "v" || err != nil {
		t.Errorf("k = %q, %v", v, err)
	}
	if n, err := s.GetUint64([]byte("n")); n != 7 || err != nil {
		t.Errorf("n = %d, %v", n, err)
	}
	// raft compares these words, and this value
	if _, err := s.Get([]byte("none")); err == nil || err.Error() != "not found" {
		t.Errorf("a key that is not there: %v", err)
	}
	if err := s.GetLog(4, new(raft.Log)); err != raft.ErrLogNotFound {
		t.Errorf("an entry that is not there: %v", err)
	}
	if len(st.errs) != 0 {
		t.Errorf("it stopped: %v", st.errs)
	}
}

func TestLogDeletesRanges(t *testing.T) {
	s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	if err := s.StoreLogs(entries(1, 3000, 1)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ min, max, first, last uint64 }{
		{1, 1000, 1001, 3000},
		{2501, 3000, 1001, 2500},
		{1001, 2500, 0, 0},
	} {
		if err := s.DeleteRange(c.min, c.max); err != nil {
			t.Fatal(err)
		}
		wantEnds(t, s, c.first, c.last)
	}
	if err := s.GetLog(1500, new(raft.Log)); err != raft.ErrLogNotFound {
		t.Errorf("a deleted entry: %v", err)
	}
}

func TestSecondProcessIsToldWhy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	testLog(t, path)
	_, err := openLogWithin(nil, path, func(error) {}, 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "another process holds it") {
		t.Errorf("error = %v", err)
	}
}

func TestFailedWriteStopsOnceAndForEver(t *testing.T) {
	for _, c := range []struct {
		fact string
		call func(*logStore) error
	}{
		{"append", func(s *logStore) error { return s.StoreLogs(entries(4, 5, 1)) }},
		{"append one", func(s *logStore) error { return s.StoreLog(entries(4, 4, 1)[0]) }},
		{"delete", func(s *logStore) error { return s.DeleteRange(1, 2) }},
		{"set", func(s *logStore) error { return s.Set([]byte("k"), nil) }},
		{"set a number", func(s *logStore) error { return s.SetUint64([]byte("k"), 1) }},
	} {
		t.Run(c.fact, func(t *testing.T) {
			s, st := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
			if err := s.StoreLogs(entries(1, 3, 1)); err != nil {
				t.Fatal(err)
			}
			s.db.Close() // the disk goes away
			err := c.call(s)
			if len(st.errs) != 1 || err == nil || st.errs[0] != err {
				t.Fatalf("error %v, stopped with %v", err, st.errs)
			}
			for _, again := range []error{
				c.call(s), s.StoreLogs(entries(4, 4, 1)), s.GetLog(1, new(raft.Log)), s.SetUint64([]byte("n"), 1),
				second(s.FirstIndex()), second(s.LastIndex()), second(s.GetUint64([]byte("k"))), second(s.Get([]byte("k"))),
			} {
				if again != err {
					t.Errorf("afterwards: %v, want %v", again, err)
				}
			}
			if len(st.errs) != 1 {
				t.Errorf("it stopped %d times", len(st.errs))
			}
		})
	}
}

// TestAWriteThatFailsStopsThoughReadsGoOn: a disk that takes no more is read as
// before, so that nothing but the write itself tells.
func TestAWriteThatFailsStopsThoughReadsGoOn(t *testing.T) {
	for _, c := range []struct {
		fact string
		call func(*logStore) error
	}{
		{"append", func(s *logStore) error { return s.StoreLogs(entries(4, 5, 1)) }},
		{"delete", func(s *logStore) error { return s.DeleteRange(1, 2) }},
		{"set", func(s *logStore) error { return s.Set([]byte("k"), []byte("v")) }},
		{"set a number", func(s *logStore) error { return s.SetUint64([]byte("k"), 1) }},
	} {
		t.Run(c.fact, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			s, st := testLog(t, path)
			if err := s.StoreLogs(entries(1, 3, 1)); err != nil {
				t.Fatal(err)
			}
			refuseWrites(t, path)
			if last, err := s.LastIndex(); last != 3 || err != nil {
				t.Fatalf("the log ends at %d, %v: it cannot be read", last, err)
			}
			err := c.call(s)
			if err == nil || len(st.errs) != 1 || st.errs[0] != err {
				t.Fatalf("error %v, stopped with %v", err, st.errs)
			}
			if _, again := s.LastIndex(); again != err {
				t.Errorf("afterwards: %v, want %v", again, err)
			}
		})
	}
}

// refuseWrites puts a descriptor that cannot be written to in the place of the
// one that this process has of a file.
func refuseWrites(t *testing.T, path string) {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range all {
		fd, err := strconv.Atoi(e.Name())
		if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || target != path || fd == int(readOnly.Fd()) {
			continue
		}
		if err := unix.Dup3(int(readOnly.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		found = true
	}
	if !found {
		t.Fatalf("%s is not open", path)
	}
}

func second[T any](_ T, err error) error { return err }

func TestClosedLogStopsNothing(t *testing.T) {
	s, st := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.StoreLogs(entries(1, 1, 1)), s.DeleteRange(1, 1), s.Set(nil, nil), s.GetLog(1, nil)} {
		if !errors.Is(err, errLogClosed) {
			t.Errorf("error = %v, want %v", err, errLogClosed)
		}
	}
	if len(st.errs) != 0 {
		t.Errorf("it stopped: %v", st.errs)
	}
}

// TestATermThatComesAfterTheEndIsNotAnswered: raft would panic at an error, and
// go on with a term that is not on the disk without one.
func TestATermThatComesAfterTheEndIsNotAnswered(t *testing.T) {
	s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	stable := untilClosed{s}
	if err := stable.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- stable.SetUint64([]byte("CurrentTerm"), 2) }()
	select {
	case err := <-answered:
		t.Errorf("it was answered with %v", err)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestDamagedEntryStops(t *testing.T) {
	rewrite := func(edit func(*raft.Log)) func(*testing.T, *logStore) {
		return func(t *testing.T, s *logStore) {
			var e raft.Log
			if err := s.db.GetLog(7, &e); err != nil {
				t.Fatal(err)
			}
			edit(&e)
			if err := s.db.StoreLog(&e); err != nil {
				t.Fatal(err)
			}
		}
	}
	put := func(value func(bucket *bbolt.Bucket) []byte) func(*testing.T, *logStore) {
		return func(t *testing.T, s *logStore) {
			if err := s.db.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{NoFreelistSync: true})
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error {
				b := tx.Bucket([]byte("logs"))
				return b.Put([]byte{0, 0, 0, 0, 0, 0, 0, 7}, append([]byte(nil), value(b)...))
			})
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		fact   string
		damage func(*testing.T, *logStore)
	}{
		{"a bit of its data", rewrite(func(e *raft.Log) { e.Data[3] ^= 1 })},
		{"less data", rewrite(func(e *raft.Log) { e.Data = e.Data[:4] })},
		{"its term", rewrite(func(e *raft.Log) { e.Term++ })},
		{"its type", rewrite(func(e *raft.Log) { e.Type = raft.LogNoop })},
		{"data moved to the extensions", rewrite(func(e *raft.Log) {
			e.Extensions = append(e.Extensions, e.Data[10:]...)
			e.Data = e.Data[:10]
		})},
		{"no checksum", rewrite(func(e *raft.Log) { e.Extensions = nil })},
		{"half a checksum", rewrite(func(e *raft.Log) { e.Extensions = e.Extensions[:2] })},
		{"another entry in its place", put(func(b *bbolt.Bucket) []byte { return b.Get([]byte{0, 0, 0, 0, 0, 0, 0, 6}) })},
		{"no entry", put(func(*bbolt.Bucket) []byte { return []byte("\xc1 garbage") })},
		{"nothing", put(func(*bbolt.Bucket) []byte { return nil })},
	} {
		t.Run(c.fact, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			s, _ := testLog(t, path)
			if err := s.StoreLogs(entries(1, 9, 1)); err != nil {
				t.Fatal(err)
			}
			c.damage(t, s)
			s.Close()
			s, st := testLog(t, path)
			if err := s.GetLog(6, new(raft.Log)); err != nil {
				t.Fatalf("its neighbour: %v", err)
			}
			got := raft.Log{}
			err := s.GetLog(7, &got)
			if !errors.Is(err, store.ErrIntegrity) || !strings.Contains(err.Error(), "entry 7 ") || len(st.errs) != 1 || st.errs[0] != err {
				t.Errorf("error %v, stopped with %v; want one of code integrity that names entry 7", err, st.errs)
			}
			if !reflect.DeepEqual(got, raft.Log{}) {
				t.Errorf("it gave out %+v", got)
			}
		})
	}
}

func TestLogRefusesAGap(t *testing.T) {
	for _, c := range []struct {
		fact         string
		held, append []*raft.Log
	}{
		{"behind the last entry", entries(1, 5, 1), entries(7, 8, 1)},
		{"an entry that is there", entries(1, 5, 1), entries(5, 6, 1)},
		{"between two entries of one append", entries(1, 5, 1), append(entries(6, 6, 1), entries(8, 8, 1)...)},
	} {
		t.Run(c.fact, func(t *testing.T) {
			s, st := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
			if err := s.StoreLogs(c.held); err != nil {
				t.Fatal(err)
			}
			if err := s.StoreLogs(c.append); !errors.Is(err, errLogGap) || len(st.errs) != 1 {
				t.Errorf("error %v, stopped with %v", err, st.errs)
			}
		})
	}
}

func TestCacheAndLogShareEntries(t *testing.T) {
	s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	cache := newLogCache(s)
	if !cache.IsMonotonic() {
		t.Error("the cache hides that the log is monotonic")
	}
	if err := cache.StoreLogs(entries(1, 9, 1)); err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 9; i++ {
		var cached, stored raft.Log
		if err := errors.Join(cache.GetLog(i, &cached), s.GetLog(i, &stored)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(cached, stored) || stored.Extensions != nil {
			t.Errorf("entry %d: the cache has %+v, the log %+v", i, cached, stored)
		}
	}
}

package node

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// wantLog asks the cache for entries, whoever has them.
func wantLog(t *testing.T, c *logCache, first, last, term uint64) {
	t.Helper()
	for i := first; i <= last; i++ {
		var l raft.Log
		if err := c.GetLog(i, &l); err != nil || l.Index != i || l.Term != term || string(l.Data[:5]) != "entry" {
			t.Fatalf("entry %d: %+v, %v", i, l, err)
		}
	}
}

// cachedNow counts the entries in memory, and their bytes.
func cachedNow(c *logCache) (n, bytes int) {
	for _, l := range c.newest {
		if l != nil {
			n, bytes = n+1, bytes+cachedSize(l)
		}
	}
	return n, bytes
}

// TestTheCacheOfTheLogIsBounded: by entries of few bytes and by bytes of few entries.
// What is not in it comes from the disk.
func TestTheCacheOfTheLogIsBounded(t *testing.T) {
	s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	c := newLogCache(s)
	if err := c.StoreLogs(entries(1, 3000, 1)); err != nil {
		t.Fatal(err)
	}
	if n, bytes := cachedNow(c); n != cachedEntries || bytes != c.bytes {
		t.Errorf("%d entries of %d bytes are held, the cache counts %d bytes", n, bytes, c.bytes)
	}
	wantLog(t, c, 1, 3000, 1)
	large := entries(3001, 3100, 1)
	for _, l := range large {
		l.Data = append(l.Data, make([]byte, 200<<10)...)
	}
	for _, l := range large {
		if err := c.StoreLog(l); err != nil {
			t.Fatal(err)
		}
		if n, bytes := cachedNow(c); bytes > cachedBytes || bytes != c.bytes || n == 0 {
			t.Fatalf("after entry %d: %d entries of %d bytes are held, the cache counts %d bytes", l.Index, n, bytes, c.bytes)
		}
	}
	if n, _ := cachedNow(c); n < 30 {
		t.Errorf("%d entries of 200 KiB are held", n)
	}
	wantLog(t, c, 2900, 3100, 1)
	huge := entries(3101, 3101, 1)
	huge[0].Data = append(huge[0].Data, make([]byte, cachedBytes)...)
	if err := c.StoreLogs(huge); err != nil {
		t.Fatal(err)
	}
	if n, _ := cachedNow(c); n != 1 || c.newest[3101%cachedEntries] == nil {
		t.Errorf("%d entries are held beside one that is larger than all may be", n)
	}
}

// TestTheCacheOfTheLogForgetsWhatIsCut, at either end, and holds what comes in its
// place to the same bound.
func TestTheCacheOfTheLogForgetsWhatIsCut(t *testing.T) {
	s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	c := newLogCache(s)
	err := errors.Join(c.StoreLogs(entries(1, 2000, 1)), c.DeleteRange(1, 1990), c.DeleteRange(1995, 2000))
	if err != nil {
		t.Fatal(err)
	}
	wantLog(t, c, 1991, 1994, 1)
	for _, i := range []uint64{1990, 1995, 2000} {
		if err := c.GetLog(i, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d, which was cut: %v", i, err)
		}
	}
	if err := c.StoreLogs(entries(1995, 1999, 2)); err != nil {
		t.Fatal(err)
	}
	wantLog(t, c, 1991, 1994, 1)
	wantLog(t, c, 1995, 1999, 2)
	// Beyond a gap, as after a snapshot that was installed.
	if err := errors.Join(c.DeleteRange(1991, 1999), c.StoreLogs(entries(500_000, 500_100, 3))); err != nil {
		t.Fatal(err)
	}
	wantLog(t, c, 500_000, 500_100, 3)
	if n, bytes := cachedNow(c); n != 101 || bytes != c.bytes {
		t.Errorf("%d entries of %d bytes are held, the cache counts %d", n, bytes, c.bytes)
	}
	// Back to before the oldest that was ever dropped for its size.
	large := entries(500_101, 500_200, 3)
	for _, l := range large {
		l.Data = append(l.Data, make([]byte, 200<<10)...)
	}
	if err := errors.Join(c.StoreLogs(large), c.DeleteRange(500_010, 500_200)); err != nil {
		t.Fatal(err)
	}
	again := entries(500_010, 500_100, 4)
	for _, l := range again {
		l.Data = append(l.Data, make([]byte, 200<<10)...)
	}
	if err := c.StoreLogs(again); err != nil {
		t.Fatal(err)
	}
	if _, bytes := cachedNow(c); bytes > cachedBytes || bytes != c.bytes {
		t.Errorf("%d bytes are held, the cache counts %d", bytes, c.bytes)
	}
	wantLog(t, c, 500_010, 500_100, 4)
}

type fullStore struct{ raft.LogStore }

func (fullStore) StoreLogs([]*raft.Log) error { return fmt.Errorf("no space left") }

func TestTheCacheOfTheLogHasNothingThatWasNotStored(t *testing.T) {
	s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	c := newLogCache(fullStore{s})
	if err := c.StoreLog(entries(1, 1, 1)[0]); err == nil {
		t.Error("stored")
	}
	if n, _ := cachedNow(c); n != 0 || c.bytes != 0 {
		t.Errorf("%d entries are held", n)
	}
}

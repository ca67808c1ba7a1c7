package node

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// sized are entries with so many bytes each.
func sized(from, to uint64, bytes int) []*raft.Log {
	all := entries(from, to, 1)
	for _, e := range all {
		e.Data = make([]byte, bytes)
	}
	return all
}

func TestALogIsCutByItsBytes(t *testing.T) {
	for _, c := range []struct {
		fact     string
		held     [][]*raft.Log
		snapshot uint64
		bytes    int64
		first    uint64 // afterwards
	}{
		{"what is newest stays, up to its bytes", [][]*raft.Log{sized(1, 1000, 1000)}, 1000, 300_000, 704},
		{"some entries stay whatever their size", [][]*raft.Log{sized(1, 1000, 1000)}, 1000, 5000, 1000 - keptEntries + 1},
		{"nothing goes that no snapshot holds", [][]*raft.Log{sized(1, 1000, 1000)}, 400, 5000, 401},
		{"without a snapshot nothing goes", [][]*raft.Log{sized(1, 1000, 1000)}, 0, 5000, 1},
		{"a short log stays whole", [][]*raft.Log{sized(1, keptEntries, 1000)}, 1000, 0, 1},
		{"large ones that are old go", [][]*raft.Log{sized(1, 300, 20_000), sized(301, 700, 10)}, 700, 100_000, 297},
		{"a log that begins later", [][]*raft.Log{sized(501, 900, 1000)}, 900, 200_000, 703},
		{"a snapshot before its beginning", [][]*raft.Log{sized(501, 900, 1000)}, 500, 200_000, 501},
	} {
		t.Run(c.fact, func(t *testing.T) {
			s, st := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
			for _, part := range c.held {
				if err := s.StoreLogs(part); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.cut(c.snapshot, c.bytes); err != nil {
				t.Fatal(err)
			}
			last := c.held[len(c.held)-1]
			wantEnds(t, s, c.first, last[len(last)-1].Index)
			counted := s.sizes.sum
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again, _ := testLog(t, s.path)
			if err := again.whole(); err != nil {
				t.Error(err)
			}
			// What is stored has a head and a sum of its own.
			if got, most := again.sizes.sum, counted+int64(len(again.sizes.each)*100); got < counted || got > most {
				t.Errorf("opened again it has %d bytes, before %d", got, counted)
			}
			if again.sizes.first != c.first || len(again.sizes.each) != len(s.sizes.each) {
				t.Errorf("opened again it counts %d from %d, before %d from %d", len(again.sizes.each), again.sizes.first, len(s.sizes.each), s.sizes.first)
			}
			if len(st.errs) > 0 {
				t.Errorf("it stopped: %v", st.errs)
			}
		})
	}
}

// What is counted goes with what is deleted, whoever deletes it.
func TestTheBytesOfALogAreCounted(t *testing.T) {
	s, _ := testLog(t, filepath.Join(t.TempDir(), "raft.db"))
	want := func(what string, entries int) {
		t.Helper()
		if got := len(s.sizes.each); got != entries {
			t.Fatalf("%s: %d entries are counted, want %d", what, got, entries)
		}
		if got, each := s.sizes.sum, int64(1000+sumSize); got != each*int64(entries) {
			t.Errorf("%s: %d bytes, want %d", what, got, each*int64(entries))
		}
	}
	for _, step := range []struct {
		what  string
		do    func() error
		count int
	}{
		{"stored", func() error { return s.StoreLogs(sized(1, 50, 1000)) }, 50},
		{"the beginning deleted", func() error { return s.DeleteRange(1, 10) }, 40},
		{"the end deleted", func() error { return s.DeleteRange(41, 50) }, 30},
		{"stored again", func() error { return s.StoreLogs(sized(41, 60, 1000)) }, 50},
		{"all of it deleted", func() error { return s.DeleteRange(11, 60) }, 0},
		{"begun anew", func() error { return s.StoreLogs(sized(61, 61, 1000)) }, 1},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		want(step.what, step.count)
	}
}

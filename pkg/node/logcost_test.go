package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// BenchmarkOpenLog is what a start pays to know that its log is whole.
func BenchmarkOpenLog(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "raft.db")
	stop := func(err error) { b.Error(err) }
	s, err := openLog(nil, path, stop)
	if err != nil {
		b.Fatal(err)
	}
	const count, size = 20000, 700
	for i := uint64(1); i <= count; i += 100 {
		var list []*raft.Log
		for j := i; j < i+100; j++ {
			list = append(list, &raft.Log{Index: j, Term: 1, Data: make([]byte, size)})
		}
		if err := s.StoreLogs(list); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("pages", func(b *testing.B) {
		for b.Loop() {
			if _, err := checkPages(path, lockTimeout); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			s, err := openLog(nil, path, stop)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.whole(); err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
		b.ReportMetric(count, "entries")
		b.ReportMetric(float64(info.Size())/(1<<20), "MiB")
	})
}

// BenchmarkAppend is one entry, synced, with the note in tail.
func BenchmarkAppend(b *testing.B) {
	s, err := openLog(nil, filepath.Join(b.TempDir(), "raft.db"), func(err error) { b.Error(err) })
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Run("note", func(b *testing.B) {
		for i := uint64(1); b.Loop(); i++ {
			if err := s.noted.Write(logTail{i, 7}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

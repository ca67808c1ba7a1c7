package fsm

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
)

// BenchmarkPause is how long applying one entry takes at most while an archive of
// 100,000 documents is written, about a thousand entries a second, and how long it
// takes to freeze them; "alone" is as many entries with nothing beside them.
func BenchmarkPause(b *testing.B) {
	const documents = 100_000
	f := New(Config{Image: store.NewImage(), ClusterID: func() string { return cluster }, Files: nowhere{},
		Commit: func(publish.Committed) error { return nil }, Stop: func(err error) { b.Error(err) }})
	index := uint64(0)
	next := func() *raft.Log {
		index++
		return tenantEntry(b, index, fmt.Sprintf("t%d", index))
	}
	for range documents {
		f.Apply(next())
	}
	applied := func(enough func(n int) bool) (took []time.Duration) {
		for tick := time.NewTicker(time.Millisecond); !enough(len(took)); <-tick.C {
			e := next()
			began := time.Now()
			f.Apply(e)
			took = append(took, time.Since(began))
		}
		return took
	}
	for b.Loop() {
		began := time.Now()
		frozen, err := f.Snapshot()
		froze := time.Since(began)
		if err != nil {
			b.Fatal(err)
		}
		written := make(chan error, 1)
		var s sink
		go func() { written <- frozen.Persist(&s) }()
		beside := applied(func(int) bool { return len(written) > 0 })
		if err := <-written; err != nil || s.Len() == 0 {
			b.Fatalf("%d bytes, %v", s.Len(), err)
		}
		alone := applied(func(n int) bool { return n == len(beside) })
		b.ReportMetric(float64(froze.Microseconds()), "us-to-freeze")
		b.ReportMetric(ms(slices.Max(beside)), "ms-longest-beside")
		b.ReportMetric(ms(slices.Max(alone)), "ms-longest-alone")
		b.ReportMetric(float64(len(beside)), "entries-beside")
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

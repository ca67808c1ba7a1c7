package fsm

import (
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
)

type nowhere struct{}

func (nowhere) Publish(*store.Image, []string) {}
func (nowhere) Replace(*store.Image)           {}
func (nowhere) Idle(uint64)                    {}

// BenchmarkApply is one entry of one command, in batches as raft makes them,
// without the disk: what is done for every entry shows here.
func BenchmarkApply(b *testing.B) {
	entries := make([]*raft.Log, 64)
	f := New(Config{Image: store.NewImage(), ClusterID: func() string { return cluster }, Files: nowhere{},
		Commit: func(publish.Committed) error { return nil }, Stop: func(err error) { b.Error(err) }})
	for i := range entries {
		entries[i] = epochEntry(b, uint64(i+1))
	}
	b.ReportAllocs()
	index := uint64(0)
	for b.Loop() {
		for i := range entries {
			index++
			e := *entries[i]
			e.Index = index
			entries[i] = &e
		}
		f.ApplyBatch(entries)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(index), "ns/entry")
}

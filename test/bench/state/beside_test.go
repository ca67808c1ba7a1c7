package main

import (
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

func TestCallsAreSortedByWhatWentOnMeanwhile(t *testing.T) {
	zero := time.Unix(0, 0)
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	call := func(from, to int) nodes.Call { return nodes.Call{Began: at(from), Took: at(to).Sub(at(from))} }
	// A save from 100 to 200, a snapshot of n1 from 300 to 400. Every other call is short.
	l := nodes.Load{Calls: []nodes.Call{call(0, 10), call(20, 30), call(90, 110), call(190, 240), call(245, 255), call(290, 390), call(410, 420)}}
	saves := []span{{at(100), at(200)}}
	own := map[string][]span{"n1": {{at(300), at(400)}}}
	var r results
	r.beside(1, l, saves, own, []*nodes.Node{{Name: "n1"}, {Name: "n2"}})
	want := results{
		{"snapshot", "p99 of 1 writer beside snapshot save (1)", "50ms of 2 calls", "else: 10ms of 4", "5.00", "at most 2.00", "no"},
		{"snapshot", "p99 of 1 writer beside raft's own snapshots (1)", "100ms of 1 calls", "else: 10ms of 4", "10.00", "at most 2.00", "no"},
		{"snapshot", "no snapshot of its own in 4m0s", "n2", "", "", "", ""},
		{"snapshot", "longest pause between two answers of 1 writer", "135ms", "save: 130ms, raft's: 135ms, else: 20ms", "", "", ""},
	}
	for i := range max(len(r), len(want)) {
		if i >= len(r) || i >= len(want) || r[i] != want[i] {
			t.Fatalf("got  %q\nwant %q", r, want)
		}
	}
}

func TestTheTimeOfALineOfALogIsRead(t *testing.T) {
	at, err := lineTime(`time=2026-11-26T08:20:45.060Z level=INFO ` + snapshotBegins + ` component=raft index=5`)
	if want := time.Date(2026, 11, 26, 8, 20, 45, 60_000_000, time.UTC); err != nil || !at.Equal(want) {
		t.Errorf("read %v, %v, want %v", at, err, want)
	}
	if _, err := lineTime(`panic: ` + snapshotBegins); err == nil {
		t.Error("a line without a time was read")
	}
}

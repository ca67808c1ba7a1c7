package cmd

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestGarbageBesideWhatIsInUse(t *testing.T) {
	for _, c := range []struct {
		live         uint64
		work, atRest int
	}{
		{0, 400, 400}, {1 << 20, 400, 399}, {16 << 20, 199, 24}, {32 << 20, 99, 12}, {64 << 20, 50, 10}, {1 << 30, 50, 10}, {1 << 50, 50, 10},
	} {
		if work, rest := atWork.percent(c.live), atRest.percent(c.live); work != c.work || rest != c.atRest {
			t.Errorf("%d bytes in use: %d percent at work and %d at rest, want %d and %d", c.live, work, rest, c.work, c.atRest)
		}
	}
}

// TestTheCollectorFollowsTheState: what is in use grows, and the percentage falls;
// it falls further when nothing is done, and comes back with the work. But not that
// of whoever has decided.
func TestTheCollectorFollowsTheState(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	t.Setenv("GOGC", "77")
	collect(context.Background()) // comes back at once
	if p := percent(); p != 100 {
		t.Fatalf("%d percent in spite of GOGC", p)
	}
	t.Setenv("GOGC", "")
	large := make([]byte, 100<<20)
	runtime.GC() // what is in use is known after a collection
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { collect(ctx); close(done) }()
	work := make(chan struct{})
	go func() {
		for every := time.NewTicker(20 * time.Millisecond); ; <-every.C {
			select {
			case <-work:
				return
			default:
				runtime.KeepAlive(make([]byte, 1<<20)) // too large for a stack
			}
		}
	}()
	becomes := func(want int, when string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); percent() != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: still %d percent beside %d bytes, want %d", when, percent(), len(large), want)
			}
		}
	}
	becomes(atWork.least, "at work")
	close(work)
	becomes(atRest.least, "at rest")
	runtime.KeepAlive(make([]byte, 2*restful))
	becomes(atWork.least, "at work again")
	runtime.KeepAlive(large)
	stop()
	<-done
}

package cmd

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGarbageBesideWhatIsInUse(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 400}, {1 << 20, 400}, {16 << 20, 199}, {32 << 20, 99}, {64 << 20, 50}, {1 << 30, 50}, {1 << 50, 50},
	} {
		if got := garbagePercent(c.live); got != c.want {
			t.Errorf("%d bytes in use: %d percent, want %d", c.live, got, c.want)
		}
	}
}

// TestTheCollectorFollowsTheState: what is in use grows, and the percentage falls;
// but not that of whoever has decided.
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
	for deadline := time.Now().Add(30 * time.Second); percent() != garbageLeast; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still %d percent beside %d bytes", percent(), len(large))
		}
	}
	runtime.KeepAlive(large)
	stop()
	<-done
}

// TestARestGivesMemoryBack: without it, garbage of a load would stay until the next
// collection, and what that frees for long after it.
func TestARestGivesMemoryBack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	t.Setenv("GOGC", "")
	released := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	debug.FreeOSMemory()
	const load = 64 << 20
	large := make([]byte, load)
	for i := range large {
		large[i] = 1
	}
	before := released()
	runtime.KeepAlive(large)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { collect(ctx); close(done) }()
	for deadline := time.Now().Add(60 * time.Second); released() < before+load*9/10; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes were given back, of a load of %d", int64(released())-int64(before), load)
		}
	}
	stop()
	<-done
}

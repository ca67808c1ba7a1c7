package cmd

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage a node lets gather beside what is in use, before it is collected.
const (
	garbageFloor = 32 << 20 // bytes: collecting a small state often is time for nothing
	garbageLeast = 50       // percent: a large state is what memory is for
	garbageMost  = 400      // percent; of nothing in use it would be any number
)

const (
	restful = 4 << 20 // bytes a second: who allocates no more has nothing to do
	restAt  = 10      // such seconds on end are a rest
)

// garbagePercent is the runtime's GOGC for so many bytes in use.
func garbagePercent(live uint64) int {
	return int(min(max(garbageFloor*100/(live+1), garbageLeast), garbageMost))
}

// collect fits the garbage collector to the state as it grows and shrinks, until ctx
// ends, and gives the system back what a node that rests has left over from its
// work. Whoever has set GOGC or GOMEMLIMIT has decided.
func collect(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	now := 100 // the runtime's own
	allocated, quiet := uint64(0), 0
	for {
		metrics.Read(sample)
		live, total := sample[0].Value.Uint64(), sample[1].Value.Uint64()
		// Setting it stops the process for a moment: not for a few percent.
		if p := garbagePercent(live); p*10 > now*11 || p*11 < now*10 || p == garbageLeast && now != p {
			debug.SetGCPercent(p)
			now = p
		}
		if quiet++; total-allocated > restful {
			quiet = 0
		}
		allocated = total
		if quiet == restAt { // once: the runtime collects a node at rest every two minutes
			debug.FreeOSMemory()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

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

// garbagePercent is the runtime's GOGC for so many bytes in use.
func garbagePercent(live uint64) int {
	return int(min(max(garbageFloor*100/(live+1), garbageLeast), garbageMost))
}

// collect fits the garbage collector to the state as it grows and shrinks, until ctx
// ends. Whoever has set GOGC or GOMEMLIMIT has decided.
func collect(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	now := 100 // the runtime's own
	for {
		metrics.Read(live)
		// Setting it stops the process for a moment: not for a few percent.
		if p := garbagePercent(live[0].Value.Uint64()); p*10 > now*11 || p*11 < now*10 || p == garbageLeast && now != p {
			debug.SetGCPercent(p)
			now = p
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

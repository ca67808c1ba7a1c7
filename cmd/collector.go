package cmd

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// garbage is how much of it a node lets gather beside what is in use, before it is
// collected: a share of what is in use, and a floor.
type garbage struct {
	floor uint64 // bytes: collecting a small state often is time for nothing
	least int    // percent
}

var (
	atWork = garbage{32 << 20, 50} // a large state is what memory is for
	atRest = garbage{4 << 20, 10}  // nothing is collected often then, and what is free goes back to the system
)

const (
	garbageMost = 400 // percent; of nothing in use it would be any number

	restful = 4 << 20 // bytes a second: who allocates no more has nothing to do
	restAt  = 5       // such seconds on end
)

// percent is the runtime's GOGC for so many bytes in use.
func (g garbage) percent(live uint64) int {
	return int(min(max(g.floor*100/(live+1), uint64(g.least)), garbageMost))
}

// collect fits the garbage collector to the state as it grows and shrinks, and to
// the node as it works and rests, until ctx ends. Whoever has set GOGC or GOMEMLIMIT
// has decided.
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
		if quiet++; total-allocated > restful {
			quiet = 0
		}
		allocated = total
		may := atWork
		if quiet >= restAt {
			may = atRest
		}
		// Setting it stops the process for a moment: not for a few percent.
		if p := may.percent(live); p*10 > now*11 || p*11 < now*10 || p == may.least && now != p {
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

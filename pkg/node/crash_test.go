package node

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/test/crash"
)

// All of them, with many parts: go test ./pkg/node -run TestACrashAtEveryCall -timeout 0 -every 1 -seeds 50
var (
	crashSeeds   = flag.Int("seeds", 2, "crashes: how many parts of what was not synced to keep, after each call")
	crashEvery   = flag.Int("every", 4, "crashes: only every n-th of them")
	crashOp      = flag.Int("op", -1, "crashes: only before this call")
	crashVariant = flag.String("variant", "", "crashes: only this variant")
	crashSeed    = flag.Int("seed", -1, "crashes: only this seed of the variant part")
)

// The variants of a crash.
const (
	killed = "killed" // the process, not the machine
	cut    = "cut"    // likewise, in the middle of a write
	kept   = "kept"   // power is lost and nothing else
	lost   = "lost"   // and all that was not synced
	part   = "part"   // and some of it
)

// point is one crash: before a call, in one variant.
type point struct {
	op      int
	call    *crash.Op
	variant string
	seed    int
	test    string // that makes it; TestACrashAtEveryCall if empty
	remains remains
}

func (p *point) String() string {
	return fmt.Sprintf("crash before call %d (%s), variant %s, seed %d\n\talone: go test ./pkg/node -run %s -op %d -variant %s -seed %d",
		p.op, p.call, p.variant, p.seed, cmp.Or(p.test, "TestACrashAtEveryCall"), p.op, p.variant, p.seed)
}

// A node is stopped before each call by which it changes its disk, with
// everything on it, with what was synced, or with some of the rest. It starts,
// shows no less than it has shown, goes on with the others to the same state,
// and its files are those of that state.
func TestACrashAtEveryCall(t *testing.T) {
	r, ops := record(t)
	base := memoryDir(t)
	points := make(chan *point)
	var tried, failed int
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for p := range points {
				dir := filepath.Join(base, fmt.Sprintf("%d-%s-%d", p.op, p.variant, p.seed))
				err := p.remains.recover(dir)
				os.RemoveAll(dir)
				mu.Lock()
				tried++
				if err != nil {
					if failed++; failed <= 10 {
						t.Errorf("%s\n\t%v", p, err)
					}
				}
				mu.Unlock()
			}
		})
	}
	n := 0
	r.crashes(ops, func(p *point) {
		if n++; n%*crashEvery == 0 || *crashOp >= 0 {
			points <- p
		}
	})
	close(points)
	workers.Wait()
	t.Logf("%d calls, %d crashes to try, %d tried, %d violations", len(ops), n, tried, failed)
	if tried == 0 || *crashOp < 0 && n < 2000 {
		t.Errorf("only %d of %d crashes were tried", tried, n)
	}
}

// crashes makes every crash there is to be tried.
func (r *recording) crashes(ops []*crash.Op, try func(*point)) {
	w := &wreck{script: r.script, state: crash.NewState(), boot: "boot-1", exchanges: map[int]bool{}}
	for k, o := range ops {
		if o.Kind == crash.Exchange {
			w.exchanges[k], w.exchanges[k+1] = true, true
		}
	}
	for k, o := range ops {
		w.seen = o.Seen
		if w.worth(k, o) && *crashOp < 0 || *crashOp == k {
			for _, p := range w.points(k, o) {
				if *crashVariant == "" || *crashVariant == p.variant && (p.variant != part || *crashSeed < 0 || *crashSeed == p.seed) {
					try(p)
				}
			}
		}
		w.call(o)
	}
}

// wreck is the disk as it is while calls are made.
type wreck struct {
	script    *script
	state     *crash.State
	boot      string
	log       logState
	acked     uint64
	under     *logBegins // a change of the log that has begun
	tail      string     // what was done to the file tail since: written, synced
	seen      uint64
	run       int // calls of many alike
	exchanges map[int]bool
}

// worth leaves out most of many calls that do the same, and most of those while
// the log is long.
func (w *wreck) worth(k int, o *crash.Op) bool {
	if w.exchanges[k] {
		return true
	}
	if l := w.after(); l.max >= w.script.bulk && w.log.min <= w.script.bulk {
		return k%101 == 0
	}
	switch o.Kind {
	case crash.Mkdir, crash.Create, crash.Write, crash.Remove:
		w.run++
	default:
		w.run = 0
	}
	return w.run < 40 || w.run%257 == 0
}

// call does a call.
func (w *wreck) call(o *crash.Op) {
	switch note := o.Note.(type) {
	case *logBegins:
		w.under, w.tail = note, ""
	case logEnds:
		w.log = w.after()
		if len(w.under.entries) > 0 {
			w.acked = w.log.max
		}
		w.under = nil
	case rebooted:
		w.state.SyncAll()
		w.boot = "boot-2"
	default:
		w.state.Apply(o)
		if o.Path() == tailPath {
			w.tail = o.Kind
		}
	}
}

// after is what the log holds once the change of it that is under way is done.
func (w *wreck) after() logState {
	l, now := w.under, w.log
	switch {
	case l == nil:
		return now
	case len(l.entries) > 0:
		if now.min == 0 {
			now.min = l.entries[0].Index
		}
		now.max = l.entries[len(l.entries)-1].Index
	case l.max >= now.max:
		now.min, now.max = 0, 0
	default:
		now.min = l.max + 1
	}
	now.file = l.after
	return now
}

// logNow is what the log may hold now: with the change that is under way if late
// is true and it may be there, without it if that may be. An append is there
// before the file tail tells of it; a deletion of the end begins when tail is synced.
func (w *wreck) logNow(late bool) logState {
	after := w.after()
	switch {
	case w.under == nil:
	case len(w.under.entries) > 0:
		late = late || w.tail != ""
	case after.max < w.log.max:
		late = late && w.tail == crash.Sync
	}
	if late {
		return after
	}
	return w.log
}

// points are the crashes before one call.
func (w *wreck) points(k int, o *crash.Op) (out []*point) {
	add := func(variant string, seed int, tree *crash.Tree, logDone bool) {
		p := &point{op: k, call: o, variant: variant, seed: seed, remains: remains{script: w.script, tree: tree, acked: w.acked, boot: "boot-other"}}
		p.remains.log = w.logNow(logDone)
		if variant == killed || variant == cut {
			p.remains.boot, p.remains.same, p.remains.seen = w.boot, true, w.seen
		}
		out = append(out, p)
	}
	add(killed, 0, w.state.Kept(), true)
	if o.Kind == crash.Write {
		add(cut, 0, w.state.Cut(o), o.Path() == tailPath) // begun when the entries are there
	}
	add(kept, 0, w.state.Kept(), true)
	add(lost, 0, w.state.Lost(), false)
	seeds := make([]int, *crashSeeds)
	for i := range seeds {
		seeds[i] = i
	}
	if *crashSeed >= 0 { // once: two of the same would be in the same directory
		seeds = []int{*crashSeed}
	}
	for _, seed := range seeds {
		rng := rand.New(rand.NewPCG(uint64(k), uint64(seed)))
		add(part, seed, w.state.Part(rng), rng.IntN(2) == 0)
	}
	return out
}

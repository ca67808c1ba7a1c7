package nodes

import (
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Call is one call that was answered.
type Call struct {
	Began time.Time
	Took  time.Duration
}

// Ended is when the answer was there.
func (c Call) Ended() time.Time { return c.Began.Add(c.Took) }

// Load is what callers were answered.
type Load struct {
	Calls  []Call // those of one caller in their order
	Lasted time.Duration
}

// Callers lets so many call as fast as they are answered, each with the next
// number, until there is none or one of them fails.
func Callers(count int, next func() (i int, more bool), call func(caller, i int) error) (Load, error) {
	each := make([][]Call, count)
	failed := make([]error, count)
	var over atomic.Bool
	var busy sync.WaitGroup
	began := time.Now()
	for k := range count {
		busy.Go(func() {
			for !over.Load() {
				i, more := next()
				if !more {
					return
				}
				start := time.Now()
				if err := call(k, i); err != nil {
					failed[k] = err
					over.Store(true)
					return
				}
				each[k] = append(each[k], Call{start, time.Since(start)})
			}
		})
	}
	busy.Wait()
	return Load{slices.Concat(each...), time.Since(began)}, errors.Join(failed...)
}

// Numbers are those from the first on, so many, each once.
func Numbers(first, count int) func() (int, bool) {
	var n atomic.Int64
	return func() (int, bool) {
		i := int(n.Add(1)) - 1
		return first + i, i < count
	}
}

// Rate is how many were answered in a second.
func (l Load) Rate() float64 { return float64(len(l.Calls)) / l.Lasted.Seconds() }

// Quantile is the shortest time that at least q of the calls did not exceed
// (nearest rank); zero if there was none.
func (l Load) Quantile(q float64) time.Duration {
	if len(l.Calls) == 0 {
		return 0
	}
	took := make([]time.Duration, len(l.Calls))
	for i, c := range l.Calls {
		took[i] = c.Took
	}
	slices.Sort(took)
	return took[max(0, int(math.Ceil(q*float64(len(took))))-1)]
}

package snapshot

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Judging what an archive holds takes most of the time of reading it, and each piece
// can be judged by itself. So pieces are collected, judged on all processors while
// the next are read, and loaded in their order, by which the first fault is the same
// whatever the number of processors.

// A batch ends at either bound. Two are held: one that is judged, and the next.
const (
	batchPieces = 256
	batchBytes  = 4 << 20
)

// aside judges pieces of one kind beside the reader.
type aside[T any] struct {
	judge  func(T)       // on any goroutine
	load   func(T) error // on the reader's
	next   []T           // collected
	bytes  int           // of them
	given  []T           // those before, which the judges have
	judges sync.WaitGroup
}

// take collects a piece of so many bytes.
func (a *aside[T]) take(piece T, size int) error {
	a.next = append(a.next, piece)
	if a.bytes += size; len(a.next) < batchPieces && a.bytes < batchBytes {
		return nil
	}
	return a.turn()
}

// turn has what was collected judged, and loads what was judged before.
func (a *aside[T]) turn() error {
	if err := a.loadGiven(); err != nil {
		return err
	}
	a.next, a.given, a.bytes = a.given, a.next, 0
	pieces, next := a.given, new(atomic.Int64)
	for range min(runtime.GOMAXPROCS(0), len(pieces)) {
		a.judges.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(pieces)); i = next.Add(1) - 1 {
				a.judge(pieces[i])
			}
		})
	}
	return nil
}

// finish judges and loads everything that was collected.
func (a *aside[T]) finish() error {
	if err := a.turn(); err != nil {
		return err
	}
	return a.loadGiven()
}

// loadGiven waits for the judges and loads.
func (a *aside[T]) loadGiven() error {
	a.wait()
	for _, piece := range a.given {
		if err := a.load(piece); err != nil {
			return err
		}
	}
	a.given = a.given[:0]
	return nil
}

// wait returns when no judge is at work any more.
func (a *aside[T]) wait() { a.judges.Wait() }

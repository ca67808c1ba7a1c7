package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// system is one of the two that are compared.
type system interface {
	name() string
	callers(ctx context.Context, count int, spread bool) ([]caller, error)
	cpu() (time.Duration, error) // of all its servers, since they began
}

// caller has a connection of its own, and makes one call at a time.
type caller interface {
	write(ctx context.Context, i int) error // the document with that number, new
	read(ctx context.Context, i int) error  // one that was written
	close()
}

// words are what can be measured, in words.
var words = map[string]string{"write": "writes", "read": "reads at the leader", "spread": "reads over all nodes",
	"files": "writes with files", "cli": "get, a process"}

// turn is one run of one system.
type turn struct {
	rate     float64       // calls a second
	p50, p99 time.Duration // of one call
	cpu      time.Duration // of all servers, for 10,000 calls
}

// side is a system and what was written to it so far.
type side struct {
	system
	written int // documents 0 to written-1 are there
}

// run lets callers call as fast as they are answered, for so long.
func (s *side) run(kind string, callers int, d time.Duration) (turn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d+nodes.Patience)
	defer cancel()
	all, err := s.callers(ctx, callers, kind == "spread")
	if err != nil {
		return turn{}, err
	}
	there, numbers := s.written, atomic.Int64{}
	numbers.Store(int64(s.written))
	call := func(c caller, i int) error { return c.write(ctx, i) }
	writes := kind == "write" || kind == "files"
	if !writes {
		call = func(c caller, i int) error { return c.read(ctx, i*7919%there) } // 7919: not in the order in which they were written
	}
	for i, c := range all { // connections are made before the turn begins
		if err := c.read(ctx, 0); err != nil {
			return turn{}, err
		}
		defer all[i].close()
	}
	before, err := s.cpu()
	if err != nil {
		return turn{}, err
	}
	begun := time.Now()
	calls, failed := nodes.Callers(callers, func() (int, bool) {
		if time.Since(begun) >= d {
			return 0, false
		}
		return int(numbers.Add(1)) - 1, true
	}, func(k, i int) error { return call(all[k], i) })
	after, err := s.cpu()
	if err := errors.Join(failed, err); err != nil {
		return turn{}, err
	}
	if writes {
		s.written = int(numbers.Load())
	}
	return turn{
		rate: calls.Rate(), p50: calls.Quantile(0.50), p99: calls.Quantile(0.99),
		cpu: time.Duration(float64(after-before) / float64(len(calls.Calls)) * 10_000),
	}, nil
}

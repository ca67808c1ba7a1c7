package rpc

import (
	"sync"
	"time"
)

// quiet tells the first of many things that are alike, within a while. Its zero
// value has seen nothing.
type quiet struct {
	mu   sync.Mutex
	seen map[string]*hush
}

type hush struct {
	at      time.Time
	skipped int // since then
}

const (
	quietFor  = time.Minute
	quietMost = 4096 // remembered; half a megabyte
)

// first reports whether a thing is the first of its kind for a while, and how
// many were not since the one before.
func (q *quiet) first(key string) (yes bool, skipped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	h := q.seen[key]
	if h != nil && now.Sub(h.at) < quietFor {
		h.skipped++
		return false, 0
	}
	if h != nil {
		skipped = h.skipped
	}
	if q.seen == nil || len(q.seen) >= quietMost {
		q.seen = map[string]*hush{}
	}
	q.seen[key] = &hush{at: now}
	return true, skipped
}

// has reports whether a thing was seen a while ago, and counts nothing.
func (q *quiet) has(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.seen[key]
	return h != nil && time.Since(h.at) < quietFor
}

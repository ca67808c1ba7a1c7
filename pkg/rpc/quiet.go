package rpc

import (
	"crypto/sha256"
	"sync"
	"time"
)

// quiet tells the first of many things that are alike, within a while. Its zero
// value has seen nothing. What it keeps is of one size: a caller may have named a
// thing by a megabyte.
type quiet struct {
	mu   sync.Mutex
	seen map[thing]*hush
}

// thing is the SHA-256 of the name of one.
type thing [sha256.Size]byte

func thingOf(key string) thing { return sha256.Sum256([]byte(key)) }

type hush struct {
	kind    string
	at      time.Time
	skipped int // since then
}

const (
	quietFor  = time.Minute
	quietMost = 4096 // remembered; half a megabyte
)

// first reports whether a thing is the first for a while, or of another kind than
// the one before, and how many were not since that one.
func (q *quiet) first(key, kind string) (yes bool, skipped int) {
	it := thingOf(key)
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	h := q.seen[it]
	if h != nil && h.kind == kind && now.Sub(h.at) < quietFor {
		h.skipped++
		return false, 0
	}
	if h != nil {
		skipped = h.skipped
	}
	if q.seen == nil || len(q.seen) >= quietMost {
		q.seen = map[thing]*hush{}
	}
	q.seen[it] = &hush{kind: kind, at: now}
	return true, skipped
}

// has reports whether a thing was seen a while ago, and counts nothing.
func (q *quiet) has(key string) bool {
	it := thingOf(key)
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.seen[it]
	return h != nil && time.Since(h.at) < quietFor
}

// forget makes the next one the first.
func (q *quiet) forget(key string) {
	it := thingOf(key)
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.seen, it)
}

// drip lets so many things through at once, and then one a second, whatever they
// are. Its zero value is full.
type drip struct {
	mu      sync.Mutex
	used    float64
	at      time.Time
	dropped int
}

const (
	dripDepth = 64 // what one looks at by hand; more than an operator's mistakes in a row
	dripRate  = 1  // a second: 40 MB a day of lines, whoever is out there
)

// drop reports whether a thing must not pass, and if it may, how many did not
// before it.
func (d *drip) drop() (yes bool, dropped int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut() {
		d.dropped++
		return true, 0
	}
	d.used++
	dropped, d.dropped = d.dropped, 0
	return false, dropped
}

// shut reports whether nothing may pass now. d.mu is held.
func (d *drip) shut() bool {
	now := time.Now()
	if !d.at.IsZero() {
		d.used = max(d.used-dripRate*now.Sub(d.at).Seconds(), 0)
	}
	d.at = now
	return d.used+1 > dripDepth
}

// drips are a drip for each of those who made one necessary. The zero value has none.
type drips struct {
	mu sync.Mutex
	of map[string]*drip
}

// drop is drip.drop for one of them.
func (d *drips) drop(who string) (yes bool, dropped int) {
	d.mu.Lock()
	one := d.of[who]
	if one == nil {
		if d.of == nil || len(d.of) >= quietMost {
			d.of = map[string]*drip{}
		}
		one = new(drip)
		d.of[who] = one
	}
	d.mu.Unlock()
	return one.drop()
}

// shut reports whether nothing more of one of them may pass now, and counts that
// as dropped.
func (d *drips) shut(who string) bool {
	d.mu.Lock()
	one := d.of[who]
	d.mu.Unlock()
	if one == nil {
		return false
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if !one.shut() {
		return false
	}
	one.dropped++
	return true
}

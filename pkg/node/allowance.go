package node

import (
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// allowance is how many changes each identity may still ask this leader for: a
// bucket of tokens each, which fills again by itself. What one takes is taken
// from nobody else. A new leader begins with full buckets.
//
// Whoever came by the socket of a node is not counted: root and the node's own
// user could stop the node as well, and imports and restores are theirs. Neither
// is what the cluster does by itself.
type allowance struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	others  bucket // shared by those for whom the table has no room
}

// bucket holds tokens as of a moment; the zero value is full.
type bucket struct {
	spent float64 // tokens that are missing
	at    time.Time
}

// take takes what a change costs, or says that there have been too many. That
// is unavailable: nothing was proposed, and clients ask again by themselves.
func (a *allowance) take(by access.Actor, cost int, now time.Time) error {
	if by.Source == access.Unix {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of(by.String(), now).take(float64(cost), now) {
		return nil
	}
	return store.Errorf(store.CodeUnavailable, "too many changes at once by %s", by).
		WithHint("at most %d a second; the same command goes through a little later", changesPerSecond)
}

// spent reports whether an identity could take nothing now.
func (a *allowance) spent(by access.Actor, now time.Time) bool {
	if by.Source == access.Unix {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[by.String()]
	return b != nil && b.level(now) >= changesAtOnce
}

// of is the bucket of an identity.
func (a *allowance) of(who string, now time.Time) *bucket {
	if b := a.buckets[who]; b != nil {
		return b
	}
	if len(a.buckets) >= maxBuckets {
		for name, b := range a.buckets {
			if b.level(now) == 0 {
				delete(a.buckets, name)
			}
		}
	}
	if len(a.buckets) >= maxBuckets {
		return &a.others
	}
	if a.buckets == nil {
		a.buckets = map[string]*bucket{}
	}
	b := &bucket{}
	a.buckets[who] = b
	return b
}

// level is how many tokens are missing at a moment.
func (b *bucket) level(now time.Time) float64 {
	if since := now.Sub(b.at).Seconds(); since > 0 { // the clock may have been set back
		return max(b.spent-since*changesPerSecond, 0)
	}
	return b.spent
}

// take goes below the bottom for one change that is larger than what is left:
// a change may be of any size, and the next one waits longer.
func (b *bucket) take(cost float64, now time.Time) bool {
	level := b.level(now)
	b.spent, b.at = level, now
	if level >= changesAtOnce {
		return false
	}
	b.spent += cost
	return true
}

// costOf is what a request takes out of a bucket.
func costOf(req *mutation.Request) int {
	size := len(req.Patch)
	for _, list := range [][]store.Element{req.Set, req.Add, req.Remove} {
		for _, e := range list {
			size += len(e.Path) + len(e.Value)
		}
	}
	return 1 + size/changeBytes
}

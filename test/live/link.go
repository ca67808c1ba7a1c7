package live

import (
	"fmt"
	"sync"
	"time"
)

// link is what becomes of all that one node sends to another.
type link struct {
	mu      sync.Mutex
	cut     bool
	delay   time.Duration
	rate    int           // bytes in a second; 0: no limit
	free    time.Time     // when the last byte that was let through has left the line
	changed chan struct{} // closed when something is changed
	over    bool          // the network is taken down
}

func newLink() *link { return &link{changed: make(chan struct{})} }

// set changes the link, for what is under way as well.
func (l *link) set(change func(*link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
	l.free = time.Time{}
	close(l.changed)
	l.changed = make(chan struct{})
}

// end lets nobody wait any more.
func (l *link) end() { l.set(func(l *link) { l.over = true }) }

func (l *link) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.cut:
		return "cut"
	case l.rate > 0:
		return fmt.Sprintf("slow (%s, %d B/s)", l.delay, l.rate)
	case l.delay > 0:
		return fmt.Sprintf("slow (%s)", l.delay)
	}
	return ""
}

// clear says whether nothing is in the way.
func (l *link) clear() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.cut && l.delay == 0 && l.rate == 0 && !l.over
}

// pass waits until that many bytes, sent at a time, are at the other end. It
// reports whether they get there: not when the link is cut, unless held has them
// wait for its mending.
func (l *link) pass(sent time.Time, bytes int, held bool) bool {
	for {
		l.mu.Lock()
		changed := l.changed
		switch {
		case l.over, l.cut && !held:
			l.mu.Unlock()
			return false
		case l.cut:
			l.mu.Unlock()
			<-changed
			continue
		}
		due := sent.Add(l.delay)
		if l.rate > 0 {
			now := time.Now()
			if l.free.Before(now) {
				l.free = now
			}
			l.free = l.free.Add(time.Duration(bytes) * time.Second / time.Duration(l.rate))
			if l.free.After(due) {
				due = l.free
			}
		}
		l.mu.Unlock()
		wait := time.Until(due)
		if wait <= 0 {
			return true
		}
		select {
		case <-time.After(wait):
			return true
		case <-changed:
		}
	}
}

package node

import (
	"sync"
	"time"
)

// inFlight is since when entries are on their way through the log.
type inFlight struct {
	mu    sync.Mutex
	begun map[uint64]time.Time
	next  uint64
}

// begin notes an entry that goes to raft. The function says that it is answered.
func (f *inFlight) begin() (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun == nil {
		f.begun = map[uint64]time.Time{}
	}
	at := f.next
	f.next++
	f.begun[at] = time.Now()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.begun, at)
	}
}

// oldest is how long the oldest of them has been on its way, 0 if there is none.
func (f *inFlight) oldest() (waited time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, begun := range f.begun {
		waited = max(waited, time.Since(begun))
	}
	return waited
}

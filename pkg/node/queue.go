package node

import (
	"cmp"
	"slices"
	"sync"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// queue is the commands that wait for an entry, and the clock that gives them their
// times. Commands are completed by their callers side by side and come in any order;
// they leave in the order of their times. One whose time is not after that of every
// command that left has come too late, and needs a new one.
type queue struct {
	clock func() store.Time
	room  chan struct{} // one token for each command that waits
	some  chan struct{} // holds a token if there is something to take

	mu      sync.Mutex
	held    bool       // this node does not lead: nothing comes in
	given   store.Time // the latest time that was given out
	left    store.Time // that of the newest command that left
	waiting []*proposal
}

func newQueue(clock func() store.Time) *queue {
	return &queue{clock: clock, held: true, room: make(chan struct{}, waitingCommands), some: make(chan struct{}, 1)}
}

// time gives out a time: the clock's, or just after the last one. Command time never
// falls, whatever the clock does, and no two commands have the same.
func (q *queue) time() store.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next()
}

func (q *queue) next() store.Time {
	q.given = max(q.clock(), q.given+1)
	return q.given
}

// open lets commands in, for a node that leads and has applied everything before: t
// is the time of the newest command there, and all times from now on are after it.
func (q *queue) open(t store.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held, q.given, q.left = false, max(q.given, t), max(q.left, t)
}

// hold lets no command in until open, and returns those that waited: their times may
// be before those of the next leader's.
func (q *queue) hold() []*proposal {
	q.mu.Lock()
	defer q.mu.Unlock()
	waited := q.waiting
	q.held, q.waiting = true, nil
	for range waited {
		<-q.room
	}
	return waited
}

// errLeadsNoLonger is the answer to what came too late for the leader that this node was.
var errLeadsNoLonger = notProposed("this node leads no longer")

// put adds a command, for which the caller holds a token of room, unless it is too
// late. admit has the last word, in the order in which commands are added.
func (q *queue) put(pr *proposal, admit func() error) (late bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.held:
		return false, errLeadsNoLonger
	case pr.time <= q.left:
		return true, nil
	}
	return false, q.add(pr, admit)
}

// putLast adds a command that make completes for a time which cannot be too late:
// all others wait meanwhile.
func (q *queue) putLast(pr *proposal, make func(store.Time) error, admit func() error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held {
		return errLeadsNoLonger
	}
	if err := make(q.next()); err != nil {
		return err
	}
	return q.add(pr, admit)
}

func (q *queue) add(pr *proposal, admit func() error) error {
	if err := admit(); err != nil {
		return err
	}
	q.waiting = append(q.waiting, pr)
	q.wake()
	return nil
}

func (q *queue) wake() {
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// take removes the oldest commands, as many as an entry holds: the first one
// whatever its size. Nothing if there is none.
func (q *queue) take() []*proposal {
	q.mu.Lock()
	defer q.mu.Unlock()
	byTime := func(a, b *proposal) int { return cmp.Compare(a.time, b.time) }
	if !slices.IsSortedFunc(q.waiting, byTime) {
		slices.SortFunc(q.waiting, byTime)
	}
	n, bytes := 0, 0
	for n < len(q.waiting) && n < mutation.MaxBatch {
		if bytes += len(q.waiting[n].command); n > 0 && bytes > batchBytes {
			break
		}
		n++
	}
	if n == 0 {
		return nil
	}
	batch := slices.Clone(q.waiting[:n])
	q.left = batch[n-1].time
	q.waiting = slices.Delete(q.waiting, 0, n)
	for range batch {
		<-q.room
	}
	if len(q.waiting) > 0 {
		q.wake()
	}
	return batch
}

package node

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// However many complete commands at once, on a clock that stands still and falls:
// what leaves is in the order of its times, no two of which are the same, each once.
func TestCommandsLeaveInTheOrderOfTheirTimes(t *testing.T) {
	t.Parallel()
	const callers, each = 16, 200
	clock := store.Time(1000)
	q := newQueue(func() store.Time { clock--; return clock }) // called with the lock held
	q.open(0)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				pr := &proposal{}
				complete := func(now store.Time) error { pr.time = now; return nil }
				admit := func() error { return nil }
				complete(q.time())
				runtime.Gosched() // others complete theirs, and some leave
				q.room <- struct{}{}
				for tries := 0; ; tries++ {
					if tries == lateTries {
						q.putLast(pr, complete, admit)
						break
					}
					if late, _ := q.put(pr, admit); !late {
						break
					}
					complete(q.time())
				}
			}
		})
	}
	last, count := store.Time(0), 0
	for count < callers*each {
		<-q.some
		batch := q.take()
		if len(batch) > mutation.MaxBatch {
			t.Fatalf("%d commands at once", len(batch))
		}
		for _, pr := range batch {
			if pr.time <= last {
				t.Fatalf("a command of %d left after one of %d", pr.time, last)
			}
			last, count = pr.time, count+1
		}
	}
	all.Wait()
	if len(q.room) != 0 || len(q.waiting) != 0 {
		t.Errorf("%d tokens and %d commands are left", len(q.room), len(q.waiting))
	}
}

// A command that was completed before another left, and comes after it, is too late.
func TestACommandThatComesLateNeedsANewTime(t *testing.T) {
	t.Parallel()
	q := newQueue(func() store.Time { return 7 })
	q.open(0)
	admit := func() error { return nil }
	slow, fast := &proposal{time: q.time()}, &proposal{time: q.time()}
	for range 2 {
		q.room <- struct{}{}
	}
	if late, err := q.put(fast, admit); late || err != nil {
		t.Fatal(late, err)
	}
	if late, _ := q.put(slow, admit); late {
		t.Error("it is late before anything left")
	}
	if got := q.take(); len(got) != 2 || got[0] != slow {
		t.Fatalf("%d left, the slow one must be the first", len(got))
	}
	if late, _ := q.put(&proposal{time: slow.time}, admit); !late {
		t.Error("a time before that of what left was taken")
	}
}

// A node that leads again takes nothing that was completed before: its times may be
// before those of the leader in between.
func TestALeaderBeginsWithAnEmptyQueue(t *testing.T) {
	t.Parallel()
	q := newQueue(func() store.Time { return 7 })
	admit := func() error { return nil }
	put := func(at store.Time) (bool, error) {
		q.room <- struct{}{}
		late, err := q.put(&proposal{time: at}, admit)
		if late || err != nil {
			<-q.room
		}
		return late, err
	}
	if _, err := put(q.time()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("before it leads: %v", err)
	}
	q.open(0)
	if late, err := put(q.time()); late || err != nil {
		t.Error(late, err)
	}
	if waited := q.hold(); len(waited) != 1 || len(q.room) != 0 || q.take() != nil {
		t.Errorf("%d waited, %d tokens are left", len(waited), len(q.room))
	}
	if _, err := put(q.time()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("when it leads no longer: %v", err)
	}
	old := q.time()
	q.open(1000)
	if late, _ := put(old); !late {
		t.Error("a time from before the last leader was taken")
	}
	if late, _ := put(1000); !late {
		t.Error("a time of the last leader's was taken")
	}
	if now := q.time(); now != 1001 {
		t.Errorf("the next time is %d", now)
	}
}

// Whatever is refused, and however often a command is overtaken while it is
// completed: no token of room is lost, and what waits is what was completed last.
func TestACommandIsCompletedAnewUntilItIsInTime(t *testing.T) {
	t.Parallel()
	p := &proposer{queue: newQueue(func() store.Time { return 7 }), ledger: &ledger{}, quit: make(chan struct{}),
		charge: func(*mutation.Command, int) (uint64, error) { return 1, nil }}
	p.open(0)
	command := func(now store.Time) *mutation.Command {
		return &mutation.Command{Op: "test", Actor: actorSystem, Time: now, Level: 1, Mutations: []mutation.Mutation{{Kind: mutation.SysEpoch, Payload: []byte("{}")}}}
	}
	overtake := func() { // another one enters the log meanwhile
		if err := p.enqueue(t.Context(), &proposal{}, func(now store.Time) (*mutation.Command, error) { return command(now), nil }); err != nil {
			t.Fatal(err)
		}
		p.take()
	}
	for overtaken := range lateTries + 2 {
		built := 0
		var last store.Time
		pr := &proposal{}
		err := p.enqueue(t.Context(), pr, func(now store.Time) (*mutation.Command, error) {
			if built++; built <= min(overtaken, lateTries) { // the last attempt holds the others back
				overtake()
			}
			last = now
			return command(now), nil
		})
		if err != nil || pr.time != last || built != min(overtaken, lateTries+1)+1 && overtaken <= lateTries {
			t.Errorf("overtaken %d times: %v, completed %d times, of %d, last for %d", overtaken, err, built, pr.time, last)
		}
		if batch := p.take(); len(batch) != 1 || batch[0] != pr || len(p.room) != 0 {
			t.Errorf("overtaken %d times: %d commands left, %d tokens", overtaken, len(batch), len(p.room))
		}
	}
	refused := store.Errorf(store.CodeRefused, "no room")
	p.charge = func(*mutation.Command, int) (uint64, error) { return 0, refused }
	if err := p.enqueue(t.Context(), &proposal{}, func(now store.Time) (*mutation.Command, error) { return command(now), nil }); err != refused || len(p.room) != 0 || len(p.waiting) != 0 {
		t.Errorf("refused: %v, %d tokens, %d wait", err, len(p.room), len(p.waiting))
	}
}

// An entry holds so many bytes and commands, and a large command alone.
func TestWhatAnEntryHolds(t *testing.T) {
	t.Parallel()
	q := newQueue(func() store.Time { return 1 })
	q.open(0)
	put := func(size int) {
		q.room <- struct{}{}
		if late, err := q.put(&proposal{time: q.time(), command: make([]byte, size)}, func() error { return nil }); late || err != nil {
			t.Fatal(late, err)
		}
	}
	for _, size := range []int{batchBytes + 1, batchBytes / 2, batchBytes / 2, 1} {
		put(size)
	}
	for i, want := range []int{1, 2, 1, 0} {
		if got := q.take(); len(got) != want {
			t.Errorf("entry %d holds %d commands, want %d", i+1, len(got), want)
		}
	}
	for range mutation.MaxBatch + 1 {
		put(1)
	}
	if got := q.take(); len(got) != mutation.MaxBatch {
		t.Errorf("%d commands in one entry", len(got))
	}
}

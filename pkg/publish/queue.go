package publish

import (
	"context"
	"slices"

	"github.com/cpctl/cpctl/pkg/store"
)

// batch is what is to be published: the newest image and the paths at which
// the files may differ from it.
type batch struct {
	img   *store.Image // nil: only the index has moved on
	idle  uint64       // applied index with no change of a file
	paths map[string]struct{}
	whole bool // the tree is to be exchanged
}

func (b *batch) empty() bool { return b.img == nil && b.idle == 0 }

func (b *batch) add(paths ...string) {
	if b.paths == nil {
		b.paths = make(map[string]struct{}, len(paths))
	}
	for _, p := range paths {
		b.paths[p] = struct{}{}
	}
}

// offer takes an image unless a newer one is there already.
func (b *batch) offer(img *store.Image) {
	if b.img == nil || img.Index >= b.img.Index {
		b.img = img
	}
}

// Publish hands over an image and the paths at which it differs from the one
// before. It never waits for files. What is handed over before the files were
// written is published together: each path once, with the newest bytes.
func (p *Publisher) Publish(img *store.Image, changed []string) {
	p.enqueue(func(b *batch) {
		b.offer(img)
		b.add(changed...)
		b.whole = b.whole || many(len(changed), img)
	})
}

// Replace hands over an image of which it is not known how it differs from the
// one before (an installed snapshot). The whole tree is staged and exchanged.
func (p *Publisher) Replace(img *store.Image) {
	p.enqueue(func(b *batch) {
		b.offer(img)
		b.whole = true
	})
}

// Idle says that the applied index has moved on to index and that everything
// up to it was handed over.
func (p *Publisher) Idle(index uint64) {
	p.enqueue(func(b *batch) { b.idle = max(b.idle, index) })
}

func (p *Publisher) enqueue(change func(*batch)) {
	p.mu.Lock()
	if p.withdrawn == nil { // else the state is not to be shown; Readmit brings another one
		change(&p.queue)
	}
	p.mu.Unlock()
	p.poke()
}

// poke wakes the publishing goroutine.
func (p *Publisher) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (p *Publisher) take() batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.queue
	p.queue = batch{}
	return b
}

// waiter is one caller of Wait.
type waiter struct {
	index uint64
	done  chan error // of capacity 1
}

// Wait returns nil once the verified files hold index. An error of
// CodeUnavailable says that they cannot be written now, so that it may take
// long; the error of the context that its time is over.
func (p *Publisher) Wait(ctx context.Context, index uint64) error {
	p.mu.Lock()
	if answered, err := p.answer(index); answered {
		p.mu.Unlock()
		return err
	}
	w := &waiter{index, make(chan error, 1)}
	p.waiters = append(p.waiters, w)
	p.mu.Unlock()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiters = slices.DeleteFunc(p.waiters, func(o *waiter) bool { return o == w })
	return ctx.Err()
}

// answer says what a waiter for index is told now, if anything. The caller holds the lock.
func (p *Publisher) answer(index uint64) (bool, error) {
	switch {
	case p.status.Ready && p.status.PublishedIndex >= index:
		return true, nil
	case p.ended:
		return true, store.Errorf(store.CodeUnavailable, "the node is stopping")
	case p.status.Reason == ReasonDrift:
		return true, store.Errorf(store.CodeUnavailable, "files are not written: %s", p.status.Err)
	case p.status.Degraded:
		return true, store.Errorf(store.CodeUnavailable, "files cannot be written: %s", p.status.Err)
	}
	return false, nil
}

// report changes the status and tells those who wait for it.
func (p *Publisher) report(change func(*Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.status)
	if p.withdrawn != nil { // whatever was under way
		p.status = Status{Degraded: true, Reason: ReasonDrift, Err: *p.withdrawn}
	}
	p.waiters = slices.DeleteFunc(p.waiters, func(w *waiter) bool {
		answered, err := p.answer(w.index)
		if answered {
			w.done <- err
		}
		return answered
	})
}

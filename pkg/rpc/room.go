package rpc

import (
	"container/list"
	"context"
	"sync"
)

// room is memory that may be taken, in bytes. Whoever finds too little waits for
// what others give back, in the order of their coming.
type room struct {
	mu      sync.Mutex
	free    int64
	waiting *list.List // of *asked
}

type asked struct {
	size int64
	got  chan struct{} // closed when it was given
}

func newRoom(size int64) *room { return &room{free: size, waiting: list.New()} }

// take returns once it has got size bytes, or with an error and nothing.
func (r *room) take(ctx context.Context, size int64) error {
	r.mu.Lock()
	if r.waiting.Len() == 0 && size <= r.free {
		r.free -= size
		r.mu.Unlock()
		return nil
	}
	a := &asked{size, make(chan struct{})}
	place := r.waiting.PushBack(a)
	r.mu.Unlock()
	select {
	case <-a.got:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	select {
	case <-a.got: // at the last moment
		r.free += size
	default:
		r.waiting.Remove(place)
	}
	r.serve()
	r.mu.Unlock()
	return ctx.Err()
}

func (r *room) give(size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += size
	r.serve()
}

// serve gives what is free to those who wait.
func (r *room) serve() {
	for first := r.waiting.Front(); first != nil; first = r.waiting.Front() {
		a := first.Value.(*asked)
		if a.size > r.free {
			return
		}
		r.free -= a.size
		r.waiting.Remove(first)
		close(a.got)
	}
}

// roomFor is what a call takes while it is under way: its arguments in their two
// forms, and what its answer may hold.
func roomFor(method string, frame int) int64 {
	n := int64(roomOfCall + decoded*frame)
	switch method {
	case "Cluster.List":
		return n + pageBytes
	case "Cluster.Get", "Cluster.Write":
		return n + roomOfDocument
	}
	return n
}

package node

import (
	"context"
	"sync"
)

// turn lets one at a time in. Whoever waits for it leaves when its time is over.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context, busy string) error {
	if ctx.Err() != nil {
		return notProposed(givenUp)
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return notProposed(busy)
	}
}

func (t turn) give() { <-t }

// membersBusy is why a change of membership was not made that had to wait.
const membersBusy = "another change of the members was under way all the time"

// gate lets many through until it is shut. Whoever waits, before it or to have it
// for itself, leaves when its time is over.
type gate struct {
	mu     sync.Mutex
	inside int
	shut   chan struct{} // closed when it is opened; nil: it is open
	empty  chan struct{} // closed when the last one leaves; nil: nobody waits for that
}

func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		shut := g.shut
		if shut == nil {
			g.inside++
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		select {
		case <-shut:
		case <-ctx.Done():
			return notProposed("a restore is about to take the place of the state")
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// close returns when it is shut and nobody is inside. One at a time may.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	g.shut = make(chan struct{})
	if g.inside == 0 {
		g.mu.Unlock()
		return nil
	}
	empty := make(chan struct{})
	g.empty = empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		g.open()
		return notProposed("others were changing the state all the time")
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	g.shut, g.empty = nil, nil
}

package rpc

import (
	"context"
	"sync"
	"time"
)

// pace holds back the calls of one identity that come faster than a node should
// have to answer them: those beyond are read later, none is refused.
type pace struct {
	mu    sync.Mutex
	spent float64 // tokens that are missing, as of the time below
	at    time.Time
}

// wait takes a token for a call and returns when its time has come.
func (p *pace) wait(ctx context.Context) error {
	over := time.Duration((p.take(1, time.Now()) - callsAtOnce) / callsPerSecond * float64(time.Second))
	if over <= 0 {
		return nil
	}
	t := time.NewTimer(over)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sent takes what an answer of so many bytes costs. The next call waits for it.
func (p *pace) sent(n int) { p.take(float64(n)/callBytes, time.Now()) }

func (p *pace) take(tokens float64, now time.Time) (spent float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if since := now.Sub(p.at).Seconds(); since > 0 {
		p.spent = max(p.spent-since*callsPerSecond, 0)
	}
	p.spent, p.at = p.spent+tokens, now
	return p.spent
}

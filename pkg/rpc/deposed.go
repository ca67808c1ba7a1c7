package rpc

import (
	"context"
	"errors"
	"time"
)

// leaderLook is how often a node that waits for the leader's answer looks whether
// that one still leads, as far as it knows. One that does not for so many looks
// has had time to answer if it could: leaders answer also when they step down.
const (
	leaderLook = 100 * time.Millisecond
	lostLooks  = 5
)

var errDeposed = errors.New("it leads no longer")

// underLeader ends the wait for a leader's answer when this node hears of no
// leader any more, or of another: a leader that is cut off or stands still says
// nothing, and whoever follows it may be asked the same again.
func (s *Server) underLeader(ctx context.Context, m Member) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(leaderLook, func() {
		tick := time.NewTicker(leaderLook)
		defer tick.Stop()
		for lost := 0; ; {
			if now, known := s.node.Leader(); known && now.ID == m.ID {
				lost = 0
			} else if lost++; lost > lostLooks {
				cancel(errDeposed)
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, func() { late.Stop(); cancel(nil) }
}

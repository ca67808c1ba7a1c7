package rpc

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"sync/atomic"
	"time"
)

// Who waits for an answer wants to know whether anybody is still there: a network
// that is cut, or a process that stands still, says nothing, and the answer would
// be waited for until the caller's time is over. So a caller to whom nothing has
// come for two beats asks for a sign of life, which costs next to nothing and is
// answered beside the call, and gives up after six. Beats are counted, not time:
// a caller that stood still itself has not listened meanwhile.
const (
	beat       = 500 * time.Millisecond
	quietAsk   = 2
	quietLeave = 6
	// slowest is the pace in bytes a second at which a link is given time to carry
	// what was sent, before its silence counts.
	slowest = 32 << 10
)

const pingMethod = "Ping"

// errSilent is broken's cause when nothing came any more.
var errSilent = errors.New("no sign of life")

// link is a connection in use.
type link struct {
	*rpc.Client
	raw     *judged
	pinging atomic.Bool
}

func newLink(conn net.Conn, dead func(), answered func(Stamp)) *link {
	raw := &judged{Conn: conn}
	return &link{Client: rpc.NewClientWithCodec(clientCodec{codec: newCodec(raw, nil), dead: dead, answered: answered}), raw: raw}
}

// ping asks for a sign of life, one at a time.
func (l *link) ping(service string) {
	if !l.pinging.CompareAndSwap(false, true) {
		return
	}
	go func() {
		done := make(chan *rpc.Call, 1)
		l.Go(service+"."+pingMethod, &Call[struct{}]{}, nil, done)
		<-done // also when the connection ends; any answer will do
		l.pinging.Store(false)
	}()
}

// alive finds a server that gives a sign of life, and leaves the client at it: a
// stream has no such sign before its end. Where all are silent it goes on until
// the time is over; what else is wrong with them is found out by the stream.
func (c *Client) alive(ctx context.Context) error {
	began, said := time.Now(), map[string]string{}
	for {
		clear(said)
		for range c.opts.Servers {
			conn, server, err := c.connection(ctx)
			if err == nil {
				_, err = do[struct{}, struct{}](ctx, conn, "Cluster."+pingMethod, nil, struct{}{})
				if bye := new(Goodbye); errors.As(err, &bye) {
					c.leave(conn)
				}
				if !errors.Is(err, errBroken) {
					return nil // any answer is one
				}
				c.next(conn, true)
			}
			if why := reason(err); why == noAnswer {
				said[server] = why
			}
		}
		if len(said) < len(c.opts.Servers) {
			return nil
		}
		if spent(ctx) {
			return c.timedOut(said, time.Since(began))
		}
	}
}

// silence counts the beats for which a link has said nothing.
type silence struct {
	heard uint64
	beats int
}

// beat is called once in a beat of waiting. It reports whether to give up.
func (s *silence) beat(l *link, service string) bool {
	if heard := l.raw.heard.Load(); heard != s.heard {
		s.heard, s.beats = heard, 0
		return false
	}
	s.beats++
	underway := time.Duration(l.raw.unheard.Load()) * time.Second / slowest
	if s.beats >= quietAsk {
		l.ping(service)
	}
	return s.beats >= quietLeave+int(underway/beat)
}

// Ping is a sign of life.
func (c *Cluster) Ping(call *Call[struct{}], reply *Reply[struct{}]) error { return nil }

// Ping is a sign of life.
func (p *Peer) Ping(call *Call[struct{}], reply *Reply[struct{}]) error { return nil }

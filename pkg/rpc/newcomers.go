package rpc

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// The limits of those who have no certificate. What they may hold of a node is
// small, whatever they do: a few connections, 8 KiB each, for a few seconds.
const (
	enrolConnections = 128              // in all
	enrolWaiting     = 64               // that have not said what they want; the oldest makes room, so that silent ones keep nobody out
	enrolSpeak       = 5 * time.Second  // from the handshake to the last byte of the request
	enrolAtOnce      = 4                // under way: each costs the leader a signature and a log entry
	enrolWork        = 20 * time.Second // for one of them, with the wait for its turn: longer than two elections
)

// newcomers are the connections of those who show a token.
type newcomers struct {
	turn chan struct{}

	mu     sync.Mutex
	silent *list.List // of net.Conn, the oldest first
}

func newNewcomers() *newcomers {
	return &newcomers{turn: make(chan struct{}, enrolAtOnce), silent: list.New()}
}

// enter counts a connection among those that have not said what they want.
func (n *newcomers) enter(conn net.Conn) *list.Element {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent.Len() >= enrolWaiting {
		n.silent.Remove(n.silent.Front()).(net.Conn).Close()
	}
	return n.silent.PushBack(conn)
}

func (n *newcomers) leave(place *list.Element) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent.Remove(place)
}

// serveNewcomer reads one request, answers it, and is done.
func (s *Server) serveNewcomer(conn net.Conn) {
	place := s.newcomers.enter(conn)
	var req enrolRequest
	err := conn.SetDeadline(time.Now().Add(enrolSpeak))
	if err == nil {
		err = readJSON(conn, maxEnrolRequest, &req)
	}
	s.newcomers.leave(place)
	if err != nil {
		s.log.Debug("a newcomer that asks for nothing we know", "from", conn.RemoteAddr().String(), "error", err)
		return
	}
	limit := enrolWork
	if req.TimeoutMS > 0 {
		limit = min(limit, time.Duration(req.TimeoutMS)*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var reply Reply[*Enrolment]
	if reply.Value, err = s.enrolNewcomer(ctx, req.Args, conn.RemoteAddr().String()); err != nil {
		reply.Err = typed(err)
	}
	if err := conn.SetDeadline(time.Now().Add(enrolSpeak)); err != nil {
		return
	}
	if err := writeJSON(conn, reply); err != nil {
		s.log.Warn("the answer to a newcomer was lost; it gets it by asking again", "token", req.Args.Token, "error", err)
	}
}

// enrolNewcomer has the leader use a token, in turn.
func (s *Server) enrolNewcomer(ctx context.Context, args EnrolArgs, source string) (e *Enrolment, err error) {
	if !pki.TokenID(args.Token) { // it may be anything, and goes into logs
		args.Token = "-"
	}
	by := access.Newcomer(args.Token, source)
	said := args
	said.Secret = nil
	defer func() { s.enrolled(by, said, err) }()
	select {
	case s.newcomers.turn <- struct{}{}:
		defer func() { <-s.newcomers.turn }()
	case <-ctx.Done():
		return nil, store.Errorf(store.CodeUnavailable, "too many newcomers at once")
	}
	return s.onRecordOf(ctx, args.Token, s.eventOf("newcomer", by, false, &args), func(ctx context.Context) (*Enrolment, error) {
		return onLeader(ctx, s, func(ctx context.Context) (*Enrolment, error) { return s.node.Enrol(ctx, args, by) }, "Peer.Enrol", by, args)
	})
}

// enrolled is told of every attempt to use a token, at the node where it was
// made, with what came of it: nil, or why not. That nothing was decided, since
// no leader answered, is one of the reasons. The secret is not in args; what else
// is was chosen by the newcomer, and may be anything if it was refused.
func (s *Server) enrolled(by access.Actor, args EnrolArgs, err error) {
	switch {
	case err == nil:
		s.log.Info("a newcomer got its certificate", "by", by.String(), "from", by.Source, "node", args.NodeID)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrUnknown):
		s.log.Debug("a newcomer has to ask again", "by", by.String(), "from", by.Source, "error", err)
	default:
		s.log.Warn("refused a newcomer", "by", by.String(), "from", by.Source, "error", err)
	}
}

package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/rpc"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// Caller is who is at the other end of a connection, as it was authenticated.
type Caller struct {
	By     access.Actor
	nodeID string          // of a node
	gone   context.Context // ends with the connection
	leave  func()          // ends it
	guest  *guest          // whose room calls take; nil: they take none
	server *Server         // that serves it
}

// Call is the arguments of a method with what every call carries. Deadlines are
// relative, since the clocks of two machines differ.
type Call[T any] struct {
	TimeoutMS int64         `json:"timeout_ms"`     // how long the caller will wait; 0: the server's limit
	From      *access.Actor `json:"from,omitempty"` // between nodes: who asked the first node, which authenticated them
	Args      T             `json:"args"`

	caller *Caller
	method string // Cluster.Write
}

func (c *Call[T]) from(caller *Caller, method string) { c.caller, c.method = caller, method }

// by is who asked. Only a node is believed when it names another.
func (c *Call[T]) by() access.Actor {
	if c.From != nil && c.caller.By.Role == access.Node {
		return *c.From
	}
	return c.caller.By
}

// Reply is an answer or a typed error: net/rpc itself would only carry a string.
type Reply[T any] struct {
	Stamp
	Err   *store.Error `json:"err,omitempty"`
	Gone  string       `json:"gone,omitempty"` // of a Goodbye: whether it is the certificate, the node or the server that is no longer good
	Value T            `json:"value"`
}

// maxCall bounds how long a server works on one call, whatever the caller says.
const maxCall = 10 * time.Minute

// serve runs a method's work under the caller's deadline and puts what comes of
// it into the reply.
func serve[A, R any](call *Call[A], reply *Reply[R], work func(ctx context.Context) (R, error)) error {
	// Work for a caller that is gone ends: its next attempt, with the same request
	// id, must not be overtaken by this one.
	limit := maxCall
	if call.TimeoutMS > 0 {
		limit = min(limit, time.Duration(call.TimeoutMS)*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(call.caller.gone, limit)
	defer cancel()
	var v R
	err := ctx.Err() // where there is so little time that callers leave, none is for those who left
	if err == nil {
		v, err = audited(ctx, call, work)
	}
	if err != nil {
		reply.Stamp, reply.Err = call.caller.server.stamp(nil), typed(err)
		var bye *Goodbye
		if errors.As(err, &bye) {
			reply.Gone = bye.gone()
		}
		return nil
	}
	reply.Stamp, reply.Value = call.caller.server.stamp(v), v
	return nil
}

// typed makes any error one that crosses the wire.
func typed(err error) *store.Error {
	var e *store.Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return store.Errorf(store.CodeUnavailable, "no answer in time")
	}
	return store.Errorf(store.CodeInternal, "%v", err)
}

// answerTime is kept back of a caller's time for the way of the answer: it says
// what the server waited for, and a broken connection does not.
const answerTime = 200 * time.Millisecond

// errBroken wraps the errors of a connection after the call was sent: the other
// side may or may not have done it.
var errBroken = errors.New("the connection broke")

// broken is errBroken with its cause, in one line.
func broken(cause error) error { return fmt.Errorf("%w: %w", errBroken, cause) }

// do makes one call and waits for it until the context ends.
func do[A, R any](ctx context.Context, c *link, method string, from *access.Actor, args A) (R, error) {
	call := Call[A]{From: from, Args: args}
	if at, ok := ctx.Deadline(); ok {
		left := time.Until(at)
		call.TimeoutMS = max((left - min(left/10, answerTime)).Milliseconds(), 1)
	}
	var reply Reply[R]
	done := make(chan *rpc.Call, 1)
	go c.Go(method, &call, &reply, done) // a server that does not read would hold us here
	service, _, _ := strings.Cut(method, ".")
	quiet := silence{heard: c.raw.heard.Load()}
	var pending *rpc.Call
	var zero R
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for pending == nil {
		select {
		case pending = <-done:
		case <-ctx.Done():
			return zero, broken(ctx.Err())
		case <-tick.C:
			if quiet.beat(c, service) {
				c.raw.Close()
				return zero, broken(errSilent)
			}
		}
	}
	switch {
	case errors.Is(pending.Error, rpc.ErrShutdown):
		return zero, broken(pending.Error)
	case pending.Error != nil:
		var server rpc.ServerError
		if errors.As(pending.Error, &server) { // net/rpc's own: unknown method, arguments that cannot be read
			return zero, store.Errorf(store.CodeInternal, "%v", server)
		}
		var syntax *json.SyntaxError
		if errors.As(pending.Error, &syntax) || errors.Is(pending.Error, errTooLarge) {
			return zero, store.Errorf(store.CodeInvalid, "%v", pending.Error)
		}
		return zero, broken(pending.Error)
	case reply.Err != nil && reply.Gone != "":
		return zero, &Goodbye{Err: reply.Err, Removed: reply.Gone == goneRemoved, Unsound: reply.Gone == goneUnsound}
	case reply.Err != nil:
		return zero, reply.Err
	}
	return reply.Value, nil
}

package rpc

import (
	"context"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Cluster is what operators may call. Any node takes every call; what only the
// leader can do is forwarded to it, once.
type Cluster struct{ s *Server }

// Peer is what nodes may call of each other, over the port.
type Peer struct{ s *Server }

// publishWait bounds how long an answer waits for the files of this node; then
// it says that they do not show the change yet.
const publishWait = 5 * time.Second

// onLeader does a leader's work here, or asks the leader that this node knows:
// unavailable means that certainly nothing was proposed.
// A leader that was asked answers for itself: a call is forwarded once.
func onLeader[A, R any](ctx context.Context, s *Server, here func(context.Context) (R, error), method string, by access.Actor, args A) (R, error) {
	v, err := here(ctx)
	if !errors.Is(err, store.ErrUnavailable) {
		return v, err
	}
	m, known := s.node.Leader()
	if !known {
		return v, s.leaderless()
	}
	if m.ID == s.node.ID() {
		return v, err
	}
	ctx, end := s.underLeader(ctx, m)
	defer end()
	return ask[A, R](ctx, s.peers, m, method, &by, args)
}

// leaderless says that this node knows nobody to ask, and for how long.
func (s *Server) leaderless() *store.Error {
	name, since := s.node.Name(), s.node.SinceContact()
	if since < 0 {
		return store.Errorf(store.CodeUnavailable, "node %q knows of no leader, and has not heard of one since it started", name)
	}
	return store.Errorf(store.CodeUnavailable, "node %q knows of no leader; it last heard of one %s ago", name, since.Round(100*time.Millisecond))
}

// Write carries out a change. The answer comes when the node that was asked
// shows it in its files, or says that it does not.
func (c *Cluster) Write(call *Call[mutation.Request], reply *Reply[*mutation.Answer]) error {
	return serve(call, reply, func(ctx context.Context) (*mutation.Answer, error) {
		s, by := c.s, call.by()
		a, err := onLeader(ctx, s, func(ctx context.Context) (*mutation.Answer, error) {
			return s.node.Write(ctx, &call.Args, by)
		}, "Peer.Write", by, call.Args)
		if err != nil {
			return nil, err
		}
		a.Published = !a.DryRun && s.published(ctx, a.Index)
		if !a.Published && !a.DryRun && s.node.Stopping() { // another node shows it, or this one when it is back
			return nil, store.Errorf(store.CodeUnknown, "the change was made at index %d, and node %s stops before it shows it", a.Index, s.node.Name())
		}
		return a, nil
	})
}

// published waits until the files here show an index, not longer than is useful.
func (s *Server) published(ctx context.Context, index uint64) bool {
	wait := publishWait
	if at, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(at)*3/4) // the answer itself has to arrive in time
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return s.node.WaitApplied(ctx, index) == nil && s.node.WaitPublished(ctx, index) == nil
}

// Status tells how every member is, as far as this node can find out. It needs
// no leader.
func (c *Cluster) Status(call *Call[struct{}], reply *Reply[*ClusterStatus]) error {
	return serve(call, reply, func(ctx context.Context) (*ClusterStatus, error) {
		if err := c.s.allowed(ctx, call.by(), access.Status); err != nil {
			return nil, err
		}
		return c.s.status(ctx), nil
	})
}

// Check has every member compare its files with the state, and its log and
// snapshots with their sums.
func (c *Cluster) Check(call *Call[CheckArgs], reply *Reply[*CheckReport]) error {
	return serve(call, reply, func(ctx context.Context) (*CheckReport, error) {
		if err := c.s.allowed(ctx, call.by(), access.Inspect); err != nil {
			return nil, err
		}
		return c.s.check(ctx, call.Args), nil
	})
}

// Enrol gives a new node its certificate and the cluster key: whoever may open
// this socket may admit a node. Over the network a token is wanted, of an admin too.
func (c *Cluster) Enrol(call *Call[EnrolArgs], reply *Reply[*Enrolment]) error {
	return serve(call, reply, func(ctx context.Context) (*Enrolment, error) {
		s, by := c.s, call.by()
		if by.Source != access.Unix {
			return nil, store.Errorf(store.CodeDenied, "%s is not at the socket of a node: over the network a new node needs a token", by).
				WithHint("make one: cpctl token create --role node --name NAME --out FILE")
		}
		call.Args.Token, call.Args.Secret = "", nil // those are shown elsewhere
		return onLeader(ctx, s, func(ctx context.Context) (*Enrolment, error) { return s.node.Enrol(ctx, call.Args, by) }, "Peer.Enrol", by, call.Args)
	})
}

// Admit makes an enrolled node a member, or one at another address.
func (c *Cluster) Admit(call *Call[AdmitArgs], reply *Reply[struct{}]) error {
	return serve(call, reply, func(ctx context.Context) (struct{}, error) {
		if err := access.Check(call.by(), access.Members, ""); err != nil {
			return struct{}{}, err
		}
		s := c.s
		return onLeader(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.node.Admit(ctx, call.Args) }, "Peer.Admit", call.by(), call.Args)
	})
}

// Write carries out a change that another node forwarded, on behalf of the
// actor that it authenticated.
func (p *Peer) Write(call *Call[mutation.Request], reply *Reply[*mutation.Answer]) error {
	return serve(call, reply, func(ctx context.Context) (*mutation.Answer, error) {
		return p.s.node.Write(ctx, &call.Args, call.by())
	})
}

// ReadIndex returns the index that a linearizable read beginning now must have seen.
func (p *Peer) ReadIndex(call *Call[struct{}], reply *Reply[uint64]) error {
	return serve(call, reply, func(ctx context.Context) (uint64, error) { return p.s.node.ReadIndex(ctx) })
}

// Progress tells how this node is.
func (p *Peer) Progress(call *Call[struct{}], reply *Reply[Progress]) error {
	return serve(call, reply, func(context.Context) (Progress, error) { return p.s.progress(), nil })
}

// Check has this node check itself.
func (p *Peer) Check(call *Call[CheckArgs], reply *Reply[*SelfCheck]) error {
	return serve(call, reply, func(ctx context.Context) (*SelfCheck, error) { return p.s.node.Check(ctx, call.Args.Repair), nil })
}

// Enrol is Cluster.Enrol, forwarded.
func (p *Peer) Enrol(call *Call[EnrolArgs], reply *Reply[*Enrolment]) error {
	return serve(call, reply, func(ctx context.Context) (*Enrolment, error) { return p.s.node.Enrol(ctx, call.Args, call.by()) })
}

// Join makes the node that asks a member. It is no member yet, so it may have
// reached any: the leader is asked for it.
func (p *Peer) Join(call *Call[AdmitArgs], reply *Reply[struct{}]) error {
	return serve(call, reply, func(ctx context.Context) (struct{}, error) {
		s := p.s
		if call.Args.NodeID != call.caller.nodeID {
			return struct{}{}, store.Errorf(store.CodeDenied, "%s asks for the membership of another node, %s", call.caller.By, call.Args.NodeID)
		}
		return onLeader(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.node.Admit(ctx, call.Args) }, "Peer.Admit", call.by(), call.Args)
	})
}

// Admit is Cluster.Admit, forwarded.
func (p *Peer) Admit(call *Call[AdmitArgs], reply *Reply[struct{}]) error {
	return serve(call, reply, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.s.node.Admit(ctx, call.Args) })
}

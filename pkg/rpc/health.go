package rpc

import (
	"context"

	"github.com/cpctl/cpctl/pkg/access"
)

// Health tells whether a write would succeed through this node now: the leader
// would make it, this node would show it, and could put it on record.
func (c *Cluster) Health(call *Call[struct{}], reply *Reply[*HealthReply]) error {
	return serve(call, reply, func(ctx context.Context) (*HealthReply, error) {
		by := call.by()
		if err := access.Check(by, access.Health, by.Tenant); err != nil {
			return nil, err
		}
		s := c.s
		ctx, cancel := context.WithTimeout(ctx, probeWait)
		defer cancel()
		h := &HealthReply{Node: s.node.Name()}
		index, err := s.ready(ctx, by)
		if m, known := s.node.Leader(); known { // after the wait: its name is part of the state
			h.Leader = s.node.NameOf(m.ID)
		}
		if err != nil {
			h.Reason = err.Error()
			return h, nil
		}
		h.Ready, h.Index = true, index
		return h, nil
	})
}

func (s *Server) ready(ctx context.Context, by access.Actor) (uint64, error) {
	if s.records() {
		if err := s.record.Recordable(); err != nil {
			return 0, err
		}
	}
	index, err := onLeader(ctx, s, func(ctx context.Context) (uint64, error) { return s.node.Ready(ctx, by) }, "Peer.Ready", by, struct{}{})
	if err != nil {
		return 0, err
	}
	return index, s.node.WaitApplied(ctx, index)
}

// Ready tells whether this node, if it leads, would make a change now.
func (p *Peer) Ready(call *Call[struct{}], reply *Reply[uint64]) error {
	return serve(call, reply, func(ctx context.Context) (uint64, error) { return p.s.node.Ready(ctx, call.by()) })
}

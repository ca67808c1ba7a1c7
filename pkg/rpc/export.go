package rpc

import (
	"context"
	"strings"
)

// ExportArgs asks for the private part of a signing key.
type ExportArgs struct {
	Tenant string `json:"tenant"`        // slug, or global
	KID    string `json:"kid,omitempty"` // none: the active key
}

// ExportReply carries it, over the unix socket alone.
type ExportReply struct {
	Tenant string `json:"tenant"`
	KID    string `json:"kid"`
	Index  uint64 `json:"index"` // of the log entry that records the export
	Key    []byte `json:"key"`   // a private JWK
}

// recorded is what a leader answers to the node that was asked.
type recorded struct {
	KID   string `json:"kid"`
	Index uint64 `json:"index"`
}

// Export hands out the private part of a signing key, after the log says so.
// The leader only records it: the node that was asked opens the key that is in
// its own image, so that no private key travels between nodes.
func (c *Cluster) Export(call *Call[ExportArgs], reply *Reply[*ExportReply]) error {
	return serve(call, reply, func(ctx context.Context) (*ExportReply, error) {
		s, actor, a := c.s, call.caller.Actor, call.Args
		r, err := onLeader(ctx, s, func(ctx context.Context) (recorded, error) {
			return s.recordExport(ctx, a, s.node.Name(), actor)
		}, "Peer.Export", actor, a)
		if err != nil {
			return nil, err
		}
		if err := s.node.WaitApplied(ctx, r.Index); err != nil {
			return nil, err
		}
		key, err := s.node.PrivateJWK(a.Tenant, r.KID)
		if err != nil {
			return nil, err
		}
		s.log.Warn("gave out a private key", "tenant", a.Tenant, "kid", r.KID, "actor", actor, "index", r.Index)
		return &ExportReply{Tenant: a.Tenant, KID: r.KID, Index: r.Index, Key: key}, nil
	})
}

// Export records the export by another node, which is the one that it has
// proved to be, for the actor that it authenticated.
func (p *Peer) Export(call *Call[ExportArgs], reply *Reply[recorded]) error {
	return serve(call, reply, func(ctx context.Context) (recorded, error) {
		return p.s.recordExport(ctx, call.Args, strings.TrimPrefix(call.caller.Actor, "node/"), call.Actor)
	})
}

func (s *Server) recordExport(ctx context.Context, a ExportArgs, node, actor string) (r recorded, err error) {
	r.KID, r.Index, err = s.node.RecordExport(ctx, a.Tenant, a.KID, node, actor)
	return r, err
}

// Wipe forgets the key.
func (r *ExportReply) Wipe() { clear(r.Key) }

func (r *Reply[T]) holdsSecret() bool {
	e, ok := any(r.Value).(*ExportReply)
	return ok && e != nil
}

// wipe is for the sender, once the reply is on its way.
func (r *Reply[T]) wipe() {
	if e, ok := any(r.Value).(*ExportReply); ok && e != nil {
		e.Wipe()
	}
}

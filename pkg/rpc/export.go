package rpc

import (
	"context"
	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
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
		s, by, a := c.s, call.by(), call.Args
		if by.Source != access.Unix {
			return nil, store.Errorf(store.CodeDenied, "private keys do not travel: a node gives them out at its socket only").
				WithHint("run it on the machine of a node, as root or as the node's user")
		}
		r, err := onLeader(ctx, s, func(ctx context.Context) (recorded, error) {
			return s.recordExport(ctx, a, s.node.Name(), by)
		}, "Peer.Export", by, a)
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
		s.log.Warn("gave out a private key", "tenant", a.Tenant, "kid", r.KID, "actor", by.String(), "index", r.Index)
		return &ExportReply{Tenant: a.Tenant, KID: r.KID, Index: r.Index, Key: key}, nil
	})
}

// Export records the export by another node, which is the one that it has
// proved to be, for the actor that it authenticated.
func (p *Peer) Export(call *Call[ExportArgs], reply *Reply[recorded]) error {
	return serve(call, reply, func(ctx context.Context) (recorded, error) {
		return p.s.recordExport(ctx, call.Args, call.caller.By.Name, call.by())
	})
}

func (s *Server) recordExport(ctx context.Context, a ExportArgs, node string, by access.Actor) (r recorded, err error) {
	r.KID, r.Index, err = s.node.RecordExport(ctx, a.Tenant, a.KID, node, by)
	return r, err
}

// Wipe forgets the key.
func (r *ExportReply) Wipe() { clear(r.Key) }

func (r *Reply[T]) holdsSecret() bool {
	switch v := any(r.Value).(type) {
	case *ExportReply:
		return v != nil
	case *ClusterKeyReply:
		return v != nil
	}
	return false
}

// wipe is for the sender, once the reply is on its way.
func (r *Reply[T]) wipe() {
	if r.holdsSecret() {
		any(r.Value).(interface{ Wipe() }).Wipe()
	}
}

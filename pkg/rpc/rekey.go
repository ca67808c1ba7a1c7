package rpc

import (
	"context"
	"errors"
	"strings"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// RekeyArgs asks for a new cluster key, or how far one has come.
type RekeyArgs struct {
	Roll string `json:"roll"` // id of the roll-over: the same goes on with the same
}

// RekeyReply says how far a roll-over of the cluster key has come.
type RekeyReply struct {
	Roll     string   `json:"roll"`
	Phase    string   `json:"phase"` // begun, switched, retired
	KeyID    string   `json:"key_id"`
	OldKeyID string   `json:"old_key_id"`
	Values   int      `json:"values"`  // sealed anew so far
	Waiting  []string `json:"waiting"` // what it waits for; once it is done, who still has the old key
	Index    uint64   `json:"index"`
	Done     bool     `json:"done"`
}

// Rekey takes the cluster to a new key, a part of the way with each call.
func (c *Cluster) Rekey(call *Call[RekeyArgs], reply *Reply[*RekeyReply]) error {
	return serve(call, reply, func(ctx context.Context) (*RekeyReply, error) {
		s, by := c.s, call.by()
		return onLeader(ctx, s, func(ctx context.Context) (*RekeyReply, error) { return s.node.Rekey(ctx, call.Args, by) }, "Peer.Rekey", by, call.Args)
	})
}

// Rekey is Cluster.Rekey, forwarded.
func (p *Peer) Rekey(call *Call[RekeyArgs], reply *Reply[*RekeyReply]) error {
	return serve(call, reply, func(ctx context.Context) (*RekeyReply, error) { return p.s.node.Rekey(ctx, call.Args, call.by()) })
}

// Rekey goes on until the roll-over is done, and tells after every part of the
// way how far it is. When one is under way already, it goes on with that one.
func (c *Client) Rekey(ctx context.Context, tell func(*RekeyReply)) (*RekeyReply, error) {
	var args RekeyArgs
	if _, _, err := identify(&args.Roll); err != nil {
		return nil, err
	}
	var last *RekeyReply
	for {
		r, err := repeat[RekeyArgs, *RekeyReply](ctx, c, "Cluster.Rekey", args)
		if err == nil && r.Done {
			return r, nil
		}
		if err == nil {
			last, args.Roll = r, r.Roll
			tell(r)
			if ctx.Err() == nil {
				continue
			}
			err = store.Errorf(store.CodeUnavailable, "the time is over")
		}
		if last != nil && (errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown)) { // its steps are repeated without harm
			return nil, last.unfinished(err)
		}
		return nil, err
	}
}

// unfinished is the error when time is over in the middle.
func (r *RekeyReply) unfinished(err error) error {
	why := strings.Join(r.Waiting, "; ")
	if why == "" {
		why = err.Error()
	}
	return store.Errorf(store.CodeUnavailable, "the cluster key is not rolled over yet (new key %s, %s): %s", r.KeyID, r.Phase, why).
		WithHint("the cluster works on meanwhile; a voter that does not come back can be removed: cpctl cluster remove NAME\ngo on with: cpctl cluster rekey")
}

// ClusterKeyArgs asks a member for a cluster key that the asking node lacks.
type ClusterKeyArgs struct {
	KeyID string `json:"key_id"`
}

// ClusterKeyReply carries it, between nodes alone.
type ClusterKeyReply struct {
	Key []byte `json:"key"` // a line of the file cluster.key
}

// ClusterKey gives a cluster key that the state names to another node of the
// cluster, which its certificate says that it is.
func (p *Peer) ClusterKey(call *Call[ClusterKeyArgs], reply *Reply[*ClusterKeyReply]) error {
	return serve(call, reply, func(context.Context) (*ClusterKeyReply, error) {
		by := call.caller.By
		if by.Role != access.Node {
			return nil, store.Errorf(store.CodeDenied, "cluster keys are for nodes")
		}
		key, err := p.s.node.ClusterKey(call.Args.KeyID)
		if err != nil {
			return nil, err
		}
		p.s.log.Info("gave a cluster key to a node", "key", call.Args.KeyID, "node", by.Name)
		return &ClusterKeyReply{key}, nil
	})
}

// Wipe forgets the key.
func (r *ClusterKeyReply) Wipe() { clear(r.Key) }

// FetchKey asks a member for a cluster key.
func (s *Server) FetchKey(ctx context.Context, m Member, keyID string) ([]byte, error) {
	r, err := ask[ClusterKeyArgs, *ClusterKeyReply](ctx, s.peers, m, "Peer.ClusterKey", nil, ClusterKeyArgs{keyID})
	if err != nil {
		return nil, err
	}
	return r.Key, nil
}

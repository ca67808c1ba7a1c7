package rpc

import (
	"context"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
)

// TransferArgs asks for another leader.
type TransferArgs struct {
	Name string `json:"name,omitempty"` // of the voter that shall lead; empty for the best one
	From string `json:"from,omitempty"` // who led when that was asked for first; a retry asks for no second change
}

// Transferred says who leads.
type Transferred struct {
	From    string `json:"from"` // who led before
	Leader  string `json:"leader"`
	Term    uint64 `json:"term"`
	Index   uint64 `json:"index"`   // of the state that has what the leader began with
	Changed bool   `json:"changed"` // false: it led already
}

// Transfer hands leadership to a voter and returns when that one leads.
func (c *Client) Transfer(ctx context.Context, args TransferArgs) (*Transferred, error) {
	if args.From == "" {
		st, err := c.Status(ctx)
		if err != nil {
			return nil, err
		}
		args.From = st.Leader
	}
	return repeat[TransferArgs, *Transferred](ctx, c, "Cluster.Transfer", args)
}

// Transfer hands leadership over.
func (c *Cluster) Transfer(call *Call[TransferArgs], reply *Reply[*Transferred]) error {
	return serve(call, reply, func(ctx context.Context) (*Transferred, error) {
		s, by := c.s, call.by()
		if err := access.Check(by, access.Members, ""); err != nil {
			return nil, err
		}
		return onLeader(ctx, s, func(ctx context.Context) (*Transferred, error) { return s.node.Transfer(ctx, call.Args, by) }, "Peer.Transfer", by, call.Args)
	})
}

// Transfer is Cluster.Transfer, forwarded.
func (p *Peer) Transfer(call *Call[TransferArgs], reply *Reply[*Transferred]) error {
	return serve(call, reply, func(ctx context.Context) (*Transferred, error) { return p.s.node.Transfer(ctx, call.Args, call.by()) })
}

func ofTransfer(args any) audit.Event {
	e := audit.Event{Type: "leadership.transfer", Target: "cluster"}
	if name := args.(*TransferArgs).Name; name != "" {
		e.Target = "node/" + name
	}
	return e
}

package rpc

import (
	"context"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// Roster tells who the members are.
func (c *Client) Roster(ctx context.Context) (*Roster, error) {
	return repeat[struct{}, *Roster](ctx, c, "Cluster.Roster", struct{}{})
}

// Remove takes a member out of the cluster: once, however often it is sent, and
// not at all once it was refused.
func (c *Client) Remove(ctx context.Context, args RemoveArgs) (*RemoveReply, error) {
	born, timeless, err := identify(&args.RequestID)
	if err != nil {
		return nil, err
	}
	args.NoTime = timeless
	sent := args.Again
	return repeatEach[RemoveArgs, *RemoveReply](ctx, c, "Cluster.Remove", func() RemoveArgs {
		args.AgeUS = max(time.Since(born).Microseconds(), 0)
		args.Again, sent = sent, true
		return args
	})
}

// Promote gives a vote to a member that has none.
func (c *Client) Promote(ctx context.Context, args MemberRef) (*PromoteReply, error) {
	return repeat[MemberRef, *PromoteReply](ctx, c, "Cluster.Promote", args)
}

// SetAutoremove sets, or tells, when members that are lost are removed. It looks
// first how that is set: an attempt that is late changes nothing that others have
// set meanwhile.
func (c *Client) SetAutoremove(ctx context.Context, args AutoremoveArgs) (*AutoremoveReply, error) {
	if args.Set != nil && args.Seen == nil {
		is, err := repeat[AutoremoveArgs, *AutoremoveReply](ctx, c, "Cluster.SetAutoremove", AutoremoveArgs{})
		if err != nil {
			return nil, err
		}
		args.Seen = &is.Autoremove
	}
	return repeat[AutoremoveArgs, *AutoremoveReply](ctx, c, "Cluster.SetAutoremove", args)
}

// Leave tells the one server that the client has to leave. The node ends with it:
// when the connection breaks, only the others know whether it has left.
func (c *Client) Leave(ctx context.Context, args LeaveArgs) (*RemoveReply, error) {
	born, timeless, err := identify(&args.RequestID)
	if err != nil {
		return nil, err
	}
	args.NoTime = timeless
	return retry(ctx, c, func(ctx context.Context, conn *link) (*RemoveReply, error) {
		args.AgeUS = max(time.Since(born).Microseconds(), 0)
		return do[LeaveArgs, *RemoveReply](ctx, conn, "Cluster.Leave", nil, args)
	}, func(err error) (bool, error) {
		if errors.Is(err, errBroken) { // also when the time is over: it was sent
			return false, store.Errorf(store.CodeUnknown, "the node was told to leave, and no answer came").
				WithHint("ask another one whether it has: cpctl cluster members --server HOST:PORT")
		}
		return errors.Is(err, store.ErrUnavailable), err
	}, func(last *store.Error) *store.Error { return last })
}

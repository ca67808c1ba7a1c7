package cmd

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// rememberer knows what became of requests.
type rememberer interface {
	Request(context.Context, rpc.RequestArgs) (*rpc.RequestState, error)
}

func newRequest(env *Env) *cobra.Command {
	return group(&cobra.Command{
		Use: "request", Aliases: []string{"requests"}, Short: "What became of a change, by its request id",
		Long: "Every change has a request id: that of --request-id, else one that the command makes and\n" +
			"prints when nobody knows the outcome. With the same id a change is made once.",
	}, newRequestGet(env))
}

func newRequestGet(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get REQUEST-ID...", Short: "Tell what the cluster remembers of a request",
		Long: `Tell what the cluster remembers of a request: "applied", "refused", or "not seen yet".
Requests are remembered for ten minutes at least.

"not seen yet" (exit 3) proves nothing: the request may still be on its way, the leader may
have refused it before it came into the log, or it is forgotten. To settle an unknown
outcome, send the same command again with the same --request-id: it is made once.`,
		Example: "  cpctl request get 01932c4e-7b1a-7c3d-9a54-3f6f0c1d2e4b",
		Args:    several("REQUEST-ID"), ValidArgsFunction: cobra.NoFileCompletions,
	}
	read := newReadFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return each(ctx, env, ids, func(id string) error { return env.request(ctx, c, id, read) })
		})
	}
	return cmd
}

func (e *Env) request(ctx context.Context, c rememberer, id string, read *readFlags) error {
	if err := store.CheckRequestID(id); err != nil {
		return usagef("%v", err)
	}
	r, err := c.Request(ctx, rpc.RequestArgs{ID: id, Read: read.ReadOptions})
	if err != nil {
		return err
	}
	e.age(read, r.Seen)
	if r.State == rpc.RequestNotSeen { // no success for a script
		return store.Errorf(store.CodeNotFound, "request %s: %s, until index %d; that proves nothing", id, r.State, r.Seen.Index).
			WithHint("it may be on its way; to settle it, send the same command again with --request-id %s\n(an id of your own, older than ten minutes, may be forgotten: look at the object first)", id)
	}
	return e.show(r, "request/"+id, func() error { return e.pairs(requestLines(e, r)) })
}

func requestLines(e *Env, r *rpc.RequestState) []pair {
	lines := []pair{{"request", r.ID}, {"state", r.State}, {"operation", r.Operation}, {"time", e.when(r.Time)}, {"index", r.Index}, {"revision", r.Revision}}
	if r.Refusal != nil {
		return append(lines, pair{"refusal", r.Refusal.Message})
	}
	changed := strings.Join(r.Changed, ", ")
	if len(r.Changed) == 0 && r.ChangedTotal > 0 {
		return append(lines, pair{"changed", plural(r.ChangedTotal, "document")})
	}
	if more := r.ChangedTotal - len(r.Changed); more > 0 {
		changed += ", and " + plural(more, "other")
	}
	return append(lines, pair{"changed", changed})
}

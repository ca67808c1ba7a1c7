package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// transferrer hands leadership over.
type transferrer interface {
	Transfer(context.Context, rpc.TransferArgs) (*rpc.Transferred, error)
}

func newClusterTransfer(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "transfer [NAME]", Short: "Hand leadership to another voter",
		Long: `Hands leadership to the voter NAME, or to the best one: it answers, is not degraded, has
the cluster key, and has applied the most. The command ends when that one leads.

Changes that come meanwhile are not proposed, and clients send them again by themselves.
A node that is stopped with SIGTERM hands leadership over in the same way: nobody needs to
transfer it before.

Exit 0 also if NAME leads already ("unchanged"), 3 if it is no member, 8 if it cannot lead:
it has no vote, does not answer, is degraded, or is too far behind; the message says which.
Exit 8 also if another one leads by then than when the command began.

With -o json: from, leader (who leads now), term, index, changed.`,
		Example: `  cpctl cluster transfer
  cpctl cluster transfer n2`,
		Args: atMost(1), ValidArgsFunction: completeMembers(env),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var to rpc.TransferArgs
		if len(args) > 0 {
			to.Name = args[0]
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.transfer(ctx, c, to) })
	}
	return cmd
}

// transferred is the JSON of `cluster transfer`.
type transferred struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"` // leadership_transfer
	*rpc.Transferred
}

func (e *Env) transfer(ctx context.Context, c transferrer, to rpc.TransferArgs) error {
	t, err := c.Transfer(ctx, to)
	if err != nil {
		return err
	}
	return e.show(transferred{store.FormatVersion, "leadership_transfer", t}, "node/"+t.Leader, func() error {
		if !t.Changed {
			return e.line("node/" + t.Leader + " unchanged")
		}
		return e.line(fmt.Sprintf("node/%s leads now instead of node/%s, term %d", t.Leader, t.From, t.Term))
	})
}

package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func newGet(env *Env, n *noun) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get " + n.arg + "...", Short: "Show a " + n.kind,
		Args: several(n.arg), ValidArgsFunction: completeNames(env, n.kind, 0),
	}
	read := newReadFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return each(ctx, env, names, func(name string) error {
				ref, err := n.target(env, name)
				if err != nil {
					return err
				}
				return env.get(ctx, c, ref, read)
			})
		})
	}
	return cmd
}

// get prints one document.
func (e *Env) get(ctx context.Context, c reader, ref store.Ref, read *readFlags) error {
	r, err := c.Get(ctx, rpc.GetArgs{Kind: ref.Kind, Tenant: ref.Tenant, Name: ref.Name, Read: read.ReadOptions})
	if err != nil {
		return suggest(ctx, c, ref, err)
	}
	e.age(read, r.ReadInfo)
	return e.show(r.Document, objectName(ref), func() error { return e.describe(r.Document) })
}

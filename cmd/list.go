package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func newList(env *Env, n *noun) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List " + n.plural,
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	var labels []string
	args := rpc.ListArgs{Kind: n.kind}
	read := newReadFlags(cmd)
	fs := cmd.Flags()
	fs.StringArrayVarP(&labels, "selector", "l", nil, "only those with label `KEY=VALUE` (repeatable: all must match)")
	fs.IntVar(&args.Limit, "limit", 0, "at most `N`; 0 is all")
	fs.StringVar(&args.Continue, "continue", "", "go on after `TOKEN` that a list with --limit gave")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if args.Limit < 0 {
			return usagef("--limit must be zero or more")
		}
		if args.Labels, err = selector(labels); err != nil {
			return err
		}
		if n.inTenant() {
			if args.Tenant, err = env.tenant(); err != nil {
				return err
			}
		}
		args.Read = read.ReadOptions
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return env.listNoun(ctx, c, n, args, read)
		})
	}
	return cmd
}

// listNoun prints the documents of a kind, or of one page of them.
func (e *Env) listNoun(ctx context.Context, c reader, n *noun, args rpc.ListArgs, read *readFlags) error {
	r, err := c.List(ctx, args)
	if err != nil {
		return suggest(ctx, c, store.Ref{Kind: n.kind, Tenant: args.Tenant}, err)
	}
	e.age(read, r.ReadInfo)
	t, err := n.table(e, r.Items)
	if err != nil {
		return err
	}
	names := func() []string {
		all := make([]string, len(r.Items))
		for i, item := range r.Items {
			all[i] = objectName(identify(item))
		}
		return all
	}
	l := listing{Kind: n.kind + "_list", Index: r.Index, Items: r.Items, Continue: r.Continue}
	if err := e.list(l, n.plural, names, func() table { return t }); err != nil {
		return err
	}
	if r.Continue != "" {
		e.note("there are more: --continue %s", shellWord(r.Continue))
	}
	return nil
}

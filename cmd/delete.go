package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func newDelete(env *Env, n *noun) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete " + n.arg + "...", Short: "Delete a " + n.kind,
		Args: several(n.arg), ValidArgsFunction: completeNames(env, n.kind, 0),
	}
	if n.kind == "tenant" {
		cmd.Long = "Delete a tenant with all its clients, scopes and keys."
	}
	w := newWriteFlags(cmd, true)
	ignore := cmd.Flags().Bool("ignore-not-found", false, "what does not exist is no error")
	var more func(*mutation.Request)
	if n.erase != nil {
		more = n.erase(cmd)
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := w.check(len(names)); err != nil {
			return err
		}
		// ask first and for all: the time of a person is none of --timeout's
		var agreed []store.Ref
		first := each(cmd.Context(), env, names, func(name string) error {
			ref, err := n.target(env, name)
			if err == nil {
				err = env.confirmDelete(cmd.Context(), w, ref)
			}
			if err == nil {
				agreed = append(agreed, ref)
			}
			return err
		})
		if cmd.Context().Err() != nil || len(agreed) == 0 {
			return first
		}
		then := env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return each(ctx, env, agreed, func(ref store.Ref) error {
				req := w.request(n.delete, ref)
				req.IgnoreNotFound = *ignore
				if more != nil {
					more(req)
				}
				ans, err := env.write(ctx, c, req)
				if err != nil {
					return suggest(ctx, c, ref, err)
				}
				return env.deleted(ans)
			})
		})
		if first == nil {
			return then
		}
		if then != nil {
			env.report(then, cmd.Context().Err() != nil)
		}
		return first
	}
	return cmd
}

// confirmDelete asks; for a tenant, with which everything in it goes, by its slug.
func (e *Env) confirmDelete(ctx context.Context, w *writeFlags, ref store.Ref) error {
	yes := w.yes || w.dryRun
	if ref.Kind == "tenant" {
		return e.confirm(ctx, yes, "delete tenant "+string(quoted(ref.Name)),
			"all its clients, scopes and keys go with it", ref.Name)
	}
	return e.confirm(ctx, yes, "delete "+titled(ref), "", "")
}

package cmd

import (
	"context"

	"github.com/spf13/cobra"
)

func newUpdate(env *Env, n *noun) *cobra.Command {
	cmd := &cobra.Command{
		Use: "update " + n.arg + "...", Short: "Change given fields of a " + n.kind,
		Long: "Change the fields that are given and leave the others. A repeatable flag gives the\n" +
			"whole list; --add and --remove change one element. In a document of -f null resets\n" +
			"a field to its default, and its revision counts as --if-revision.",
		Args: several(n.arg), ValidArgsFunction: completeNames(env, n.kind, 0),
	}
	in, w := newInput(env, cmd, n), newWriteFlags(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := w.check(len(names)); err != nil {
			return err
		}
		if len(names) > 1 && in.file == "-" {
			return usagef("-f - can be read for one name, not %d", len(names))
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return each(ctx, env, names, func(name string) error {
				ref, err := n.target(env, name)
				if err != nil {
					return err
				}
				req := w.request(n.update, ref)
				src, err := in.request(req)
				if err != nil {
					return err
				}
				if req.Patch == nil && req.Set == nil && req.Add == nil && req.Remove == nil {
					return usagef("nothing to change").WithHint("give a field, -f FILE or --set PATH=VALUE; see: %s --help", cmd.CommandPath())
				}
				ans, err := env.write(ctx, c, req)
				if err != nil {
					return src.point(suggest(ctx, c, ref, err))
				}
				return env.answered(ans)
			})
		})
	}
	return cmd
}

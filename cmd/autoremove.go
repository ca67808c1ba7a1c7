package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func newClusterAutoremove(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "autoremove", Short: "Say whether members that are lost are removed by themselves",
		Long: "Have the leader remove members that have not answered for a while, one at a time; off\n" +
			"until it is turned on. Turn it on where lost machines are replaced by new ones, which\n" +
			"join by themselves: a member that was removed does not come back with its data.\n\n" +
			"A voter is removed only while those that answer without it are at least --min-voters,\n" +
			"and a majority of those that would be left. What a leader has not seen itself does not\n" +
			"count: after an election the time begins anew. Without flags it tells how it is set.",
		Example: "  cpctl cluster autoremove --after 10m --min-voters 3\n  cpctl cluster autoremove --off",
		Args:    named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	var after duration
	var off bool
	fs := cmd.Flags()
	fs.Var(&after, "after", "a member is lost for this `DURATION` (at least 10s)")
	fs.Lookup("after").DefValue = ""
	least := fs.Int("min-voters", 3, "`N` voters have to answer without the one that is lost")
	fs.BoolVar(&off, "off", false, "remove nobody")
	cmd.MarkFlagsMutuallyExclusive("off", "after")
	cmd.MarkFlagsMutuallyExclusive("off", "min-voters")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var args rpc.AutoremoveArgs
		switch {
		case off:
			args.Set = &rpc.Autoremove{}
		case fs.Changed("after"):
			args.Set = &rpc.Autoremove{After: store.Duration(after), MinVoters: *least}
			if after == 0 {
				return usagef("--after 0 would remove whoever is slow").WithHint("to remove nobody: --off")
			}
		case fs.Changed("min-voters"):
			return usagef("--min-voters needs --after")
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.autoremove(ctx, c, args) })
	}
	return cmd
}

// autoremoval is the JSON of `cluster autoremove`.
type autoremoval struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"` // autoremove
	On            bool   `json:"on"`
	*rpc.AutoremoveReply
}

func (e *Env) autoremove(ctx context.Context, c memberships, args rpc.AutoremoveArgs) error {
	r, err := c.SetAutoremove(ctx, args)
	if err != nil {
		return err
	}
	return e.show(autoremoval{store.FormatVersion, "autoremove", r.After != 0, r}, "autoremove", func() error {
		return e.line("autoremove " + autoremoveText(r.Autoremove))
	})
}

func autoremoveText(a rpc.Autoremove) string {
	if a.After == 0 {
		return "off"
	}
	return fmt.Sprintf("after %s, while %s answer", a.After, plural(a.MinVoters, "voter"))
}

package cmd

import (
	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/store"
)

func newRecoverPlan(env *Env) *cobra.Command {
	var dirs []string
	var name string
	cmd := &cobra.Command{
		Use: "plan --dir DIR...", Short: "Say from which data directory a cluster can go on, and what would be lost",
		Long: `Reads the data directories of nodes that do not run, or copies of them from other
machines, and changes nothing in them. For each it shows how far its log goes (TERM, INDEX),
from which snapshot (SNAPSHOT), how far the node has shown its state to anybody (SHOWN),
the state at the end of the log (REVISION, DIGEST) and how old its last change is (AGE).

The best is the one whose last entry is the latest: an acknowledged change is in the logs
of a majority, and of those that are left the latest holds all that any of them holds.
What only the lost members had cannot be known. With --node the plan is that of another:
it says what would be lost of the best.

It asks where the members were last known, for at most 2 s, and says who answers ("answers"):
then the cluster is not lost, and "recover run" refuses. Two directories that end at the same
entry and differ in their states are named ("differ").

With -o json the directories are "directories", each with "dir", "node", "last_term",
"last_index", "snapshot_index", "shown_index" (0: not known), "revision", "digest",
"state_digest", "last_command_at", "whole" and "faults"; then "best" and "why", "chosen" (with --node, if that is not the best), "voters",
"missing", "majority", "answering" (each with "node", "address" and "generation"), "differ"
(pairs of directories), "unsure", "lost" and "next", the commands to run.

Exit 0 if the cluster can go on from one of them, 11 if all are damaged or of nodes
that were removed, 2 if they are not of one cluster and generation, 8 if a node runs on one or
recoveries were begun in two, 12 if one is of a newer version.`,
		Example: `  cpctl recover plan --dir /var/lib/cpctl
  cpctl recover plan --dir /srv/n1 --dir /mnt/from-n2/cpctl -o wide`,
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, release, err := outlook(dirs)
			if err != nil {
				return err
			}
			defer release()
			if name != "" {
				s, err := choose(o, name)
				if err != nil {
					return err
				}
				o.Choose(s)
			}
			if s := o.From(); s != nil && s.Begun == 0 {
				o.Ask(cmd.Context(), s, dialPlain)
			}
			return env.plan(o)
		},
	}
	cmd.Flags().StringArrayVar(&dirs, "dir", nil, "a data `DIR` of a node that does not run; several times for several")
	cmd.Flags().StringVar(&name, "node", "", "`NAME` of a node: what it would cost to go on from that one (default the best)")
	cmd.MarkFlagDirname("dir")
	return cmd
}

func (e *Env) plan(o *node.Outlook) error {
	p := planOf(o)
	err := e.show(p, p.Best, func() error { return e.planText(o, p) })
	sealed := keyless(o.All)
	if err == nil && o.Best == nil {
		refusal := store.Errorf(store.CodeIntegrity, "the cluster cannot go on from any of these directories")
		hint := "look for others, on more machines or in backups of their disks; if there are none, found a new cluster\nfrom your newest archive: cpctl restore FILE --offline --help"
		if sealed != nil {
			hint = keyHint(sealed)
		}
		err = refusal.WithHint("%s", hint)
	} else if err == nil && sealed != nil {
		e.note("%s", keyHint(sealed))
	}
	return err
}

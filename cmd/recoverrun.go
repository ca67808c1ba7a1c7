package cmd

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/store"
)

func newRecoverRun(env *Env) *cobra.Command {
	var dirs []string
	var name string
	var yes bool
	cmd := &cobra.Command{
		Use: "run --dir DIR...", Short: "Make what is left of a cluster its next generation",
		Long: `Makes the node of the best directory, or of the one that --node names, the only member
of the next generation of the cluster. All that its log holds counts from then on, also
what was perhaps never acknowledged; what the other directories hold beyond it is lost, and
said before it asks. The cluster keeps its id, its authority and its
cluster key, so people keep their certificates and contexts. The raft/ of before is kept
beside the new one.

Stop every other member first, and never start one again: they are of the generation
before. They are refused by the new one, and stop when they meet it; but two of them that
meet only each other would go on as if nothing had been. Empty their directories and join
them again. Run it on one directory only: each run makes another recovery, and the nodes
of one do not talk to those of the other.

If it is cut short, run it again, or start the node: either does what is left.

It asks for the name of the node, unless --yes is given. Exit 8 if a majority of the voters
is here and nothing has to be recovered, if something would be lost that was acknowledged,
or if two directories end at the same entry with different states: --node overrides these.

Exit 8, whatever is given, if a node of the cluster answers where a member was last known
(each is asked for 2 s): stop it first, or start this one as it is. So it is for the
directory of a node that has left or was removed, and for two begun recoveries.`,
		Example: `  cpctl recover run --dir /srv/n1 --dir /mnt/from-n2/cpctl
  cpctl recover run --dir /var/lib/cpctl --yes && cpctl node`,
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, release, err := outlook(dirs)
			if err != nil {
				return err
			}
			defer release()
			s, err := choose(o, name)
			if err != nil {
				return err
			}
			if s.Begun == 0 { // else what it was is decided
				o.Ask(cmd.Context(), s, dialPlain)
			}
			if err := unanswered(o, s); err != nil {
				return err
			}
			o.Choose(s)
			return env.recover(cmd.Context(), o, s, yes)
		},
	}
	fs := cmd.Flags()
	fs.StringArrayVar(&dirs, "dir", nil, "a data `DIR` of a node that does not run; several times for several")
	fs.StringVar(&name, "node", "", "`NAME` of the node to go on from (default the best)")
	fs.BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.MarkFlagDirname("dir")
	return cmd
}

// recovery is the JSON of `recover run`.
type recovery struct {
	FormatVersion string         `json:"format_version"`
	Kind          string         `json:"kind"` // recovery
	ClusterID     string         `json:"cluster_id"`
	Generation    uint64         `json:"generation"`
	Recovery      string         `json:"recovery"`
	Node          string         `json:"node"`
	NodeID        string         `json:"node_id"`
	Dir           string         `json:"dir"`
	Revision      uint64         `json:"revision"`
	Index         uint64         `json:"index"`
	Unsure        int            `json:"unsure"`
	Best          string         `json:"best,omitempty"`          // dir, if another was taken
	BestRevision  uint64         `json:"best_revision,omitempty"` // of that
	Lost          []recoveryLoss `json:"lost,omitzero"`           // what the others held; not known of one that was resumed
	Aside         string         `json:"aside"`
	Behind        []string       `json:"behind"`
	Resumed       bool           `json:"resumed"` // an earlier run had begun it
	Next          string         `json:"next"`
}

func (e *Env) recover(ctx context.Context, o *node.Outlook, s *node.Survivor, yes bool) error {
	what := fmt.Sprintf("make %s (%s) the only member of its cluster", s.Name, s.Dir)
	warning := "every other member is shut out: stop them first, and never start them again"
	lost := losses(o)
	if s.Begun == 0 { // else it was confirmed
		for _, l := range lost {
			warning += "\nlost: " + clean(l)
		}
		if err := e.confirm(ctx, yes, what, warning, s.Name); err != nil {
			return err
		}
	}
	unix.Umask(0o077)
	r, err := s.Recover(e.now())
	if err != nil {
		return err
	}
	message := fmt.Sprintf("generation %d, recovery %s; left behind: %s", r.Generation, r.Recovery, cmp.Or(strings.Join(r.Behind, ", "), "nobody"))
	for _, l := range lost {
		message += "; lost: " + l
	}
	e.onRecord(s.Dir, r.Name, audit.Event{Type: "recover", Target: "node/" + r.Name, Index: r.Index, Revision: r.Revision, Message: message})
	out := recovery{FormatVersion: store.FormatVersion, Kind: "recovery", ClusterID: r.ClusterID, Generation: r.Generation, Recovery: r.Recovery,
		Node: r.Name, NodeID: r.NodeID, Dir: s.Dir, Revision: r.Revision, Index: r.Index, Unsure: r.Unsure, Aside: r.Aside, Behind: r.Behind, Resumed: r.Resumed,
		Next: startAgain(s)}
	if !r.Resumed {
		out.Lost = lossesOf(o)
	}
	if o.Chosen != nil {
		out.Best, out.BestRevision = o.Best.Dir, o.Best.Image.Revision()
	}
	return e.show(out, "node/"+r.Name, func() error { return e.recoveredText(&out, lost) })
}

func (e *Env) recoveredText(r *recovery, lost []string) error {
	did := "recovered"
	if r.Resumed {
		did = "recovered: what an earlier run had begun is finished"
	}
	if err := e.line(fmt.Sprintf("cluster/%s %s", r.ClusterID, did)); err != nil {
		return err
	}
	kept := fmt.Sprintf("all entries of the log, up to %d", r.Index)
	if r.Unsure > 0 {
		kept += "; " + unsureText(r.Unsure)
	}
	lines := []pair{
		{"generation", r.Generation},
		{"member", r.Node + ", the only one"},
		{"revision", r.Revision},
		{"kept", kept},
	}
	lines = append(lines, under("lost", lost)...)
	lines = append(lines, pair{"as it was", r.Aside})
	if len(r.Behind) > 0 {
		lines = append(lines, pair{"left behind", strings.Join(r.Behind, ", ") + ": never start them again; empty their directories and join them anew"})
	}
	return e.pairs(append(lines, pair{"next", r.Next}))
}

package cmd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
what was perhaps never acknowledged. The cluster keeps its id, its authority and its
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
			return env.recover(cmd.Context(), s, yes)
		},
	}
	fs := cmd.Flags()
	fs.StringArrayVar(&dirs, "dir", nil, "a data `DIR` of a node that does not run; several times for several")
	fs.StringVar(&name, "node", "", "`NAME` of the node to go on from (default the best)")
	fs.BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.MarkFlagDirname("dir")
	return cmd
}

// choose takes the best of the directories or the one that is named.
func choose(o *node.Outlook, name string) (*node.Survivor, error) {
	best := o.Best
	if name != "" {
		if best = nil; o.Best != nil && o.Best.Begun != 0 && o.Best.Name != name {
			return nil, store.Errorf(store.CodeRefused, "a recovery from node %q was begun: finish that one", o.Best.Name).WithHint("%s", nextOf(o)[0])
		}
		for _, s := range o.All {
			if s.Name != name && s.NodeID != name {
				continue
			}
			if best != nil {
				return nil, usagef("two of the directories are of node %q: %s and %s", name, best.Dir, s.Dir).WithHint("give --dir for one of them only")
			}
			best = s
		}
		if best == nil {
			return nil, store.Errorf(store.CodeInvalid, "none of the directories is of node %q", name)
		}
	}
	switch {
	case best != nil && best.Gone != "", best == nil && gone(o.All):
		s := cmp.Or(best, o.All[0])
		return nil, store.Errorf(store.CodeRefused, "the cluster cannot go on from node %q (%s): %s", s.Name, s.Dir, s.Gone).
			WithHint("what it has is of the past; look for the directories of other members\nnothing was changed")
	case best == nil, !best.Whole() && best.Begun == 0:
		what := "all of these directories are damaged"
		if best != nil {
			what = fmt.Sprintf("the directory of node %q is damaged: %s", best.Name, strings.Join(faultsOf(best), "; "))
		}
		if s := keyless(o.All); s != nil && (best == nil || best == s) {
			return nil, store.Errorf(store.CodeIntegrity, "the cluster key does not open the directory of node %q: %s", s.Name, s.Sealed).WithHint("%s\nnothing was changed", keyHint(s))
		}
		return nil, store.Errorf(store.CodeIntegrity, "%s", what).WithHint("see: cpctl recover plan%s\nnothing was changed", dirFlags(o.All))
	case best.Begun != 0 || name != "":
	case o.Majority:
		here := "the only voter is here"
		if o.Voters > 1 {
			here = fmt.Sprintf("a majority of the %d voters is here", o.Voters)
		}
		return nil, store.Errorf(store.CodeRefused, "nothing has to be recovered: %s", here).
			WithHint("start what is here, and the cluster goes on with all that was acknowledged:\n%s\nto recover all the same, say from which: --node %s", "  "+strings.Join(nextOf(o), "\n  "), best.Name)
	case o.Costs():
		return nil, store.Errorf(store.CodeRefused, "changes that were acknowledged would be lost: another directory has shown more, and is damaged").
			WithHint("see: cpctl recover plan%s\nto go on without them, say from which: --node %s", dirFlags(o.All), best.Name)
	case len(o.Differ) > 0:
		return nil, store.Errorf(store.CodeRefused, "%s", differText(o.Differ[0])).
			WithHint("one of them is wrong. See: cpctl recover plan%s\nsay from which to go on: --node NAME", dirFlags(o.All))
	}
	return best, nil
}

// gone reports whether all directories are of nodes that are no members any more.
func gone(all []*node.Survivor) bool {
	return !slices.ContainsFunc(all, func(s *node.Survivor) bool { return s.Gone == "" })
}

// recovery is the JSON of `recover run`.
type recovery struct {
	FormatVersion string   `json:"format_version"`
	Kind          string   `json:"kind"` // recovery
	ClusterID     string   `json:"cluster_id"`
	Generation    uint64   `json:"generation"`
	Recovery      string   `json:"recovery"`
	Node          string   `json:"node"`
	NodeID        string   `json:"node_id"`
	Dir           string   `json:"dir"`
	Revision      uint64   `json:"revision"`
	Index         uint64   `json:"index"`
	Unsure        int      `json:"unsure"`
	Aside         string   `json:"aside"`
	Behind        []string `json:"behind"`
	Finished      bool     `json:"finished"` // an earlier run had begun it
	Next          string   `json:"next"`
}

func (e *Env) recover(ctx context.Context, s *node.Survivor, yes bool) error {
	what := fmt.Sprintf("make %s (%s) the only member of its cluster", s.Name, s.Dir)
	warning := "every other member is shut out: stop them first, and never start them again"
	if s.Begun == 0 { // else it was confirmed
		if err := e.confirm(ctx, yes, what, warning, s.Name); err != nil {
			return err
		}
	}
	unix.Umask(0o077)
	r, err := s.Recover(e.now())
	if err != nil {
		return err
	}
	e.onRecord(s.Dir, r.Name, audit.Event{Type: "recover", Target: "node/" + r.Name, Index: r.Index, Revision: r.Revision,
		Message: fmt.Sprintf("generation %d, recovery %s; left behind: %s", r.Generation, r.Recovery, cmp.Or(strings.Join(r.Behind, ", "), "nobody"))})
	out := recovery{FormatVersion: store.FormatVersion, Kind: "recovery", ClusterID: r.ClusterID, Generation: r.Generation, Recovery: r.Recovery,
		Node: r.Name, NodeID: r.NodeID, Dir: s.Dir, Revision: r.Revision, Index: r.Index, Unsure: r.Unsure, Aside: r.Aside, Behind: r.Behind, Finished: r.Finished,
		Next: startAgain(s)}
	return e.show(out, "node/"+r.Name, func() error { return e.recoveredText(&out) })
}

func (e *Env) recoveredText(r *recovery) error {
	did := "recovered"
	if r.Finished {
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
		{"as it was", r.Aside},
	}
	if len(r.Behind) > 0 {
		lines = append(lines, pair{"left behind", strings.Join(r.Behind, ", ") + ": never start them again; empty their directories and join them anew"})
	}
	return e.pairs(append(lines, pair{"next", r.Next}))
}

package cmd

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// checker has every member check itself.
type checker interface {
	Check(context.Context, rpc.CheckArgs) (*rpc.CheckReport, error)
}

func newClusterCheck(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Compare the files of every member with the state",
		Long: `Has every member compare the files below its data/ with the state, and its log,
snapshots, markers and keys with their checksums; digests are compared between members.
Exit 0 if all is as it should be, 11 if not, 10 if all is well but a member did not answer.

With --repair each member writes files anew from its state, and replaces damaged
snapshots and markers. A member whose state is not that of the majority of voters,
which answers nothing until then, takes the state of one that has it. A damaged log,
key or certificate cannot be repaired: the message says how such a member comes back.

In JSON each node has "drift": null, or the log index at which states were compared,
the digest of its own, that of the majority ("right", "" if there is none), and
whether a repair was asked for, which then goes on by itself ("repair").`,
		Example: "  cpctl cluster check\n  cpctl cluster check --repair",
		Args:    named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	var args rpc.CheckArgs
	cmd.Flags().BoolVar(&args.Repair, "repair", false, "put right what can be")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.check(ctx, c, args) })
	}
	return cmd
}

func (e *Env) check(ctx context.Context, c checker, args rpc.CheckArgs) error {
	p := e.progress(func() string { return "checking" })
	r, err := c.Check(ctx, args)
	p.stop()
	if err != nil {
		return err
	}
	if r.Nodes == nil {
		r.Nodes = []rpc.NodeCheck{}
	}
	if err := e.checked(r); err != nil {
		return err
	}
	return verdict(r)
}

// checked prints a line for each member that is as it should be, then a table of
// what is not. With -o name it prints the members that are not.
func (e *Env) checked(r *rpc.CheckReport) error {
	switch e.flags.output {
	case formatJSON, formatYAML:
		return e.document(r)
	case formatName:
		for _, n := range r.Nodes {
			if n.Checked && len(n.Faults) == 0 {
				continue
			}
			if err := e.line("node/" + n.Name); err != nil {
				return err
			}
		}
		return nil
	}
	t := table{titles: []string{"NODE", "PATH", "PROBLEM"}}
	for _, n := range r.Nodes {
		if !n.Checked {
			t.rows = append(t.rows, []string{n.Name, "", "not checked: " + n.Reason})
		}
		for _, f := range n.Faults {
			problem := f.Problem
			if f.Repaired {
				problem += ", repaired"
			}
			t.rows = append(t.rows, []string{n.Name, f.Path, problem})
		}
		if n.Checked && len(n.Faults) == 0 {
			if err := e.line(fmt.Sprintf("node/%s intact, index %d", n.Name, n.Index)); err != nil {
				return err
			}
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	return e.table(t)
}

// verdict makes the outcome of a check an exit code: damage counts for more than
// a member that does not answer.
func verdict(r *rpc.CheckReport) error {
	faults, damaged, silent, hint := 0, 0, "", ""
	voters, unchecked := 0, 0
	for _, n := range r.Nodes {
		if n.Voter {
			voters++
		}
		if !n.Checked {
			silent = cmp.Or(silent, n.Name)
			if n.Voter {
				unchecked++
			}
		}
		left := 0
		for _, f := range n.Faults {
			if !f.Repaired {
				left++
			}
		}
		if left > 0 {
			faults, damaged = faults+left, damaged+1
			if hint == "" && n.Hint != "" {
				hint = "node " + n.Name + ": " + n.Hint
			}
		}
	}
	switch {
	case faults > 0:
		if hint == "" && !r.Repair {
			hint = "put them right with: cpctl cluster check --repair"
		}
		return store.Errorf(store.CodeIntegrity, "%s on %d of %s", plural(faults, "fault"), damaged, plural(len(r.Nodes), "node")).WithHint("%s", hint)
	case silent != "":
		hint = "see: cpctl cluster status"
		if unchecked > 0 && 2*unchecked >= voters {
			hint += "\n" + lostForGood
		}
		return store.Errorf(store.CodeUnavailable, "node %q was not checked", silent).WithHint("%s", hint)
	}
	return nil
}

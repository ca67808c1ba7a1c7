package cmd

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// memberships changes who the members are.
type memberships interface {
	Roster(context.Context) (*rpc.Roster, error)
	Remove(context.Context, rpc.RemoveArgs) (*rpc.RemoveReply, error)
	Promote(context.Context, rpc.MemberRef) (*rpc.PromoteReply, error)
	Leave(context.Context, rpc.LeaveArgs) (*rpc.RemoveReply, error)
	SetAutoremove(context.Context, rpc.AutoremoveArgs) (*rpc.AutoremoveReply, error)
}

func newClusterRemove(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Remove a member and revoke its certificate",
		Long: "Remove a member, that answers or not, and revoke its certificates. That is one decision:\n" +
			"whatever fails on the way, whoever leads then finishes it. The node ends with exit 1 when\n" +
			"it hears of it, also if that is later; it comes back with an empty data directory only.\n\n" +
			"It is refused (exit 8) when those that are left and answer could not decide anything, and\n" +
			"when somebody else has changed the members since the command began. The leader may be\n" +
			"removed, too: another one leads first.",
		Args: named("NAME"), ValidArgsFunction: completeMembers(env),
	}
	var yes bool
	args := rpc.RemoveArgs{}
	cmd.Flags().StringVar(&args.RequestID, "request-id", "", "`ID` of the change: with the same one it happens once")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		args.Name, args.Again = names[0], args.RequestID != ""
		if err := requestID(&args.RequestID); err != nil {
			return err
		}
		what := "remove node " + string(quoted(args.Name)) + " from the cluster"
		if err := env.confirm(cmd.Context(), yes, what, "its certificate will be revoked; it cannot come back with its data", ""); err != nil {
			return err
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.remove(ctx, c, args) })
	}
	return cmd
}

// requestID checks a given id, or makes one.
func requestID(id *string) error {
	if *id == "" {
		made, err := uuid.NewV7()
		*id = made.String()
		return err
	}
	if err := store.CheckRequestID(*id); err != nil {
		return usagef("--request-id: %v", err)
	}
	return nil
}

// removal is the JSON of `cluster remove` and `cluster leave`.
type removal struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"` // member_removal
	*rpc.RemoveReply
}

func (e *Env) remove(ctx context.Context, c memberships, args rpc.RemoveArgs) error {
	if before, err := c.Roster(ctx); err != nil {
		return err
	} else if has(before.Members, args.Name) { // else the request may have been here before
		args.Members, args.Decided = before.Index, before.Decided
	}
	r, err := c.Remove(ctx, args)
	if err != nil {
		return e.unsettled(err, args.RequestID)
	}
	return e.removed(r, "removed")
}

func has(members []rpc.Member, name string) bool {
	for _, m := range members {
		if m.Name == name || m.ID == name {
			return true
		}
	}
	return false
}

func (e *Env) removed(r *rpc.RemoveReply, did string) error {
	name := "node/" + r.Removed.Name
	if err := e.show(removal{store.FormatVersion, "member_removal", r}, name, func() error {
		if r.Votes == nil { // how many are left is not known there
			return e.line(name + " " + did)
		}
		return e.line(fmt.Sprintf("%s %s, %s left", name, did, plural(r.Voters, "voter")))
	}); err != nil {
		return err
	}
	if r.Votes != nil {
		e.noteCanLose(r.Voters, r.CanLose)
	}
	return nil
}

// noteCanLose says when the next failure of a voter stops the cluster.
func (e *Env) noteCanLose(voters, canLose int) {
	if canLose == 0 {
		e.note("the cluster can lose no voter now: of %s %d must answer", plural(voters, "voter"), voters/2+1)
	}
}

func newClusterPromote(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "promote NAME", Short: "Give a vote to a member that has none",
		Long: "Give a vote to a member that joined with --non-voter. Others get theirs by themselves,\n" +
			"once they have answered for 2 s and were hardly behind.\n\n" +
			"Exit 8 says what keeps the member from it: it does not answer, is behind, does not have\n" +
			"the cluster key, or cannot write. A member that votes already is exit 0 and unchanged.",
		Args: named("NAME"), ValidArgsFunction: completeMembers(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.promote(ctx, c, args[0]) })
		},
	}
}

// promotion is the JSON of `cluster promote`.
type promotion struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"` // member_promotion
	*rpc.PromoteReply
}

func (e *Env) promote(ctx context.Context, c memberships, name string) error {
	p, err := c.Promote(ctx, rpc.MemberRef{Name: name})
	if err != nil {
		return err
	}
	name = "node/" + p.Promoted.Name
	return e.show(promotion{store.FormatVersion, "member_promotion", p}, name, func() error {
		if !p.Changed {
			return e.line(name + " unchanged")
		}
		return e.line(fmt.Sprintf("%s promoted, %s", name, plural(p.Voters, "voter")))
	})
}

func newClusterLeave(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "leave", Short: "Take the node that is asked out of the cluster",
		Long: "Tell a node, at its socket or with --server, to leave the cluster: it is removed as by\n" +
			"\"cluster remove\", and then ends with exit 0, so that nothing starts it again. If it\n" +
			"leads, another one leads first. A later start in its data directory is refused and says\n" +
			"how to join again. It is refused (exit 8) when those that are left could not decide.",
		Example: "  cpctl cluster leave --yes\n  cpctl cluster leave --server 10.0.0.3:7700",
		Args:    named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	var yes bool
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := env.options()
		if err != nil {
			return err
		}
		if len(o.Servers) != 1 {
			return usagef("which node is to leave? %d servers are named", len(o.Servers)).WithHint("name one with --server")
		}
		what := "take the node at " + o.Servers[0] + " out of the cluster"
		if err := env.confirm(cmd.Context(), yes, what, "its certificate will be revoked, and it ends; it cannot come back with its data", ""); err != nil {
			return err
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.leave(ctx, c) })
	}
	return cmd
}

func (e *Env) leave(ctx context.Context, c memberships) error {
	var args rpc.LeaveArgs
	if err := requestID(&args.RequestID); err != nil {
		return err
	}
	r, err := c.Leave(ctx, args)
	if err != nil {
		return err
	}
	return e.removed(r, "has left")
}

package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// restorer puts an archive in the place of the state.
type restorer interface {
	Restore(context.Context, io.Reader, rpc.RestoreArgs) (*rpc.RestoreReply, error)
}

func newRestore(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put an archive in the place of the state",
		Long: "Replace all tenants, clients, scopes and keys by those of an archive, on all nodes at\n" +
			"once or on none. The archive is verified first. Members, certificates and the cluster's\n" +
			"identity stay. It asks for the name of the leader, unless --yes is given.\n\n" +
			"Others may change the state until the archive takes its place, and what they change is\n" +
			"lost with the rest. --expect-revision N restores only over the state that --dry-run has\n" +
			"compared with the archive; over any other it is exit 5, with nothing changed. At most\n" +
			"512 MiB of documents may differ, and they must fit on the disk of every voter (exit 8).\n" +
			"One restore at a time: a second one is exit 5, and says whose is under way.\n\n" + offlineHelp,
		Example: "  cpctl restore backup.tgz --dry-run\n  cpctl restore backup.tgz --expect-revision 4711\n" + offlineExample,
		Args:    named("FILE"),
	}
	var args rpc.RestoreArgs
	var yes bool
	var expect uint64
	fs := cmd.Flags()
	fs.BoolVar(&args.DryRun, "dry-run", false, "show the difference and the revision of the state, change nothing")
	fs.Var(count{&expect}, "expect-revision", "only if the state is at revision `N`")
	fs.StringVar(&args.RequestID, "request-id", "", "`ID` of the change: with the same one it happens once")
	fs.BoolVarP(&yes, "yes", "y", false, "do not ask")
	offline := addOffline(cmd)
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		if err := offline.check(cmd); err != nil {
			return err
		}
		if offline.on {
			return env.restoreOffline(files[0], offline, args.DryRun)
		}
		if env.flags.tenantGiven { // must never restore more than was meant
			return usagef("this version restores the whole state, not one tenant of it; leave out -t")
		}
		if cmd.Flags().Changed("expect-revision") {
			args.ExpectRevision = &expect
		}
		if args.RequestID == "" {
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			args.RequestID = id.String()
		} else if err := store.CheckRequestID(args.RequestID); err != nil {
			return usagef("--request-id: %v", err)
		}
		return env.withArchive(files[0], func(path string) error {
			if _, err := snapshot.Verify(path); err != nil {
				return fmt.Errorf("%s: %w", files[0], err)
			}
			if err := env.confirmRestore(cmd.Context(), files[0], yes || args.DryRun); err != nil {
				return err
			}
			return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
				return env.restore(ctx, c, path, files[0], args)
			})
		})
	}
	return cmd
}

// confirmRestore asks for the name of the leader: whoever restores knows which
// cluster it is.
func (e *Env) confirmRestore(ctx context.Context, name string, yes bool) error {
	what := "restore " + name + " over the whole state"
	if yes || !e.InTerminal || !e.ErrTerminal || e.flags.noInput {
		return e.confirm(ctx, yes, what, "", "")
	}
	var leader string
	err := e.client(ctx, func(ctx context.Context, c Cluster) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if leader = st.Leader; leader == "" {
			return store.Errorf(store.CodeUnavailable, "the cluster has no leader").WithHint("see: cpctl cluster status")
		}
		e.note("the cluster now holds %s", countText(st.Counts))
		return nil
	})
	if err != nil {
		return err
	}
	return e.confirm(ctx, false, what, "", leader)
}

func (e *Env) restore(ctx context.Context, c restorer, path, name string, args rpc.RestoreArgs) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sent := &counted{w: io.Discard}
	p := e.progress(func() string { return "restoring, " + bytesText(sent.n.Load()) + " sent" })
	r, err := c.Restore(ctx, rewound{io.TeeReader(f, sent), f, sent}, args)
	p.stop()
	if err != nil {
		return e.unsettled(err, args.RequestID)
	}
	if r.Changes == nil {
		r.Changes = []rpc.Change{} // [], never null
	}
	if !r.Published && !r.DryRun {
		e.note("committed; the files of this node do not show it yet")
	}
	return e.show(r, name, func() error { return e.restoredText(r, name) })
}

// rewound is an archive that can be read again from its start, so that it is sent
// again when a leader was lost. What was sent counts from there.
type rewound struct {
	io.Reader
	file io.Seeker
	sent *counted
}

func (a rewound) Seek(offset int64, whence int) (int64, error) {
	at, err := a.file.Seek(offset, whence)
	if err == nil {
		a.sent.n.Store(at)
	}
	return at, err
}

func (e *Env) restoredText(r *rpc.RestoreReply, name string) error {
	if r.Difference == nil {
		return e.line(fmt.Sprintf("%s restored by an earlier attempt, at revision %d: %s changed", name, r.Revision, plural(r.ChangedTotal, "document")))
	}
	line := fmt.Sprintf("%s restored: %d added, %d changed, %d removed", name, r.Added, r.Changed, r.Removed)
	if r.ChangedTotal == 0 {
		line = name + " unchanged: the state is that of the archive already"
	}
	if r.DryRun {
		line += " (dry run)"
		u := e.ui()
		for _, ch := range r.Changes {
			if _, err := fmt.Fprintln(e.Out, u.change(ch.Op, clean(ch.Name))); err != nil {
				return err
			}
		}
		if more := r.ChangedTotal - len(r.Changes); more > 0 {
			e.note("and %d more", more)
		}
		e.note("compared with revision %d; to restore over that one only: --expect-revision %d", r.Revision, r.Revision)
	}
	if err := e.line(line); err != nil {
		return err
	}
	t := table{titles: []string{"", "BEFORE>", "AFTER>"}}
	for _, row := range []struct {
		what          string
		before, after int
	}{
		{"tenants", r.Before.Tenants, r.After.Tenants},
		{"clients", r.Before.Clients, r.After.Clients},
		{"scopes", r.Before.Scopes, r.After.Scopes},
		{"keys", r.Before.Keys, r.After.Keys},
	} {
		t.rows = append(t.rows, []string{row.what, strconv.Itoa(row.before), strconv.Itoa(row.after)})
	}
	return e.table(t)
}

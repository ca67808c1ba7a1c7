package cmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// auditor reads the audit logs of the members.
type auditor interface {
	Audit(context.Context, rpc.AuditArgs) (*rpc.AuditReply, error)
	AuditCheck(context.Context, rpc.AuditCheckArgs) (*rpc.AuditCheckReply, error)
}

// defaultSince is how far `cpctl audit` looks back when nobody says.
const defaultSince = 24 * time.Hour

func newAudit(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Show who did what",
		Long: `Shows the audit logs of all members, merged by time: every change that was asked for,
accepted or refused, and every export, snapshot, restore and change of membership. A
call is in the log of the node that took it, in audit/ of its data directory. A member
that does not answer is named on stderr.

Without --since it is the last day, or with --follow what comes from now on. With
--follow it goes on until it is interrupted, and lines come in the order in which the
members answer. With -o json each line is as it stands in the file.

With --verify the hash chain of each member's files is followed instead: exit 11 if a
line was changed, removed, put in or moved. It cannot tell that lines are missing at
the end, or the oldest files: for that, collect the files elsewhere.`,
		Example: `  cpctl audit --since 1h
  cpctl audit --follow
  cpctl audit --since 2026-11-24T00:00:00Z -o json | jq 'select(.result == "denied")'
  cpctl audit --verify
  cpctl audit --verify --dir /srv/n2`,
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	fs := cmd.Flags()
	since := fs.String("since", "", "from then on: a time, or a `DURATION` ago; 0 is everything (default 24h)")
	follow := fs.Bool("follow", false, "go on with what comes")
	verify := fs.Bool("verify", false, "follow the hash chain of each member's files")
	dir := fs.String("dir", "", "with --verify: files in `DIR`, a data directory or a copy of its audit/, with no node")
	cmd.MarkFlagsMutuallyExclusive("verify", "since")
	cmd.MarkFlagsMutuallyExclusive("verify", "follow")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *dir != "" && !*verify {
			return usagef("--dir goes with --verify").WithHint("the files are lines of JSON: cat, grep and jq show them")
		}
		if *dir != "" {
			return env.verifyDir(*dir)
		}
		if *verify {
			return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.verifyAll(ctx, c) })
		}
		from, err := env.sinceTime(*since, *follow)
		if err != nil {
			return err
		}
		if *follow && !env.flags.timeoutGiven {
			env.flags.timeout = 0
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.audit(ctx, c, from, *follow) })
	}
	return cmd
}

// sinceTime reads --since. Nil is the end of the logs, the zero time everything.
func (e *Env) sinceTime(s string, follow bool) (*time.Time, error) {
	at := time.Time{}
	switch {
	case s == "" && follow:
		return nil, nil
	case s == "":
		at = e.now().Add(-defaultSince)
	case s == "0":
	default:
		if d, err := store.ParseDuration(s); err == nil {
			if d > 0 {
				at = e.now().Add(-time.Duration(d))
			}
		} else if at, err = time.Parse(time.RFC3339, s); err != nil {
			return nil, usagef("%q is no value of --since", s).WithHint("it is a duration such as 15m or 7d, or a time such as 2026-01-05T10:00:00Z")
		}
	}
	return &at, nil
}

// auditCluster is what showing the logs needs of the wire.
type auditCluster interface {
	auditor
	statuser
}

func (e *Env) audit(ctx context.Context, c auditCluster, since *time.Time, follow bool) error {
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	t, err := e.openTrails(ctx, c, st.Nodes, since)
	if err != nil {
		return err
	}
	out := &auditTable{env: e}
	if err := t.merged(ctx, out.add); err != nil {
		return err
	}
	if err := out.flush(); err != nil {
		return err
	}
	if follow {
		return t.follow(ctx, c, func(line string) error {
			if err := out.add(line); err != nil {
				return err
			}
			return out.flush()
		})
	}
	if out.lines == 0 {
		e.note("nothing is on record")
	}
	return nil
}

package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// certifier knows the certificates of a cluster and its authority.
type certifier interface {
	Certs(context.Context, rpc.ReadOptions) (*rpc.CertList, error)
	Revoke(context.Context, rpc.RevokeArgs) (*rpc.RevokeReply, error)
	Rotate(context.Context, rpc.RotateArgs) (*rpc.Authorities, error)
}

func newCert(env *Env) *cobra.Command {
	return group(&cobra.Command{Use: "cert", Short: "Certificates of nodes and people"}, newCertList(env), newCertRevoke(env))
}

func newCertList(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the certificates on record and when they expire",
		Long: `List the certificates that this cluster has issued, by role and name, with the moment
of their end. They renew themselves when two thirds of their life are over: the one
before is then "renewed", and good until it ends. A "retired" one is of an authority that
was forgotten (cpctl cluster rotate-ca --retire): its holder is shut out. Expired ones are
forgotten after a day. With -o wide: the authority that signed each.`,
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	read := newReadFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.listCerts(ctx, c, read) })
	}
	return cmd
}

func (e *Env) listCerts(ctx context.Context, c certifier, read *readFlags) error {
	r, err := c.Certs(ctx, read.ReadOptions)
	if err != nil {
		return err
	}
	e.age(read, r.ReadInfo)
	l := listing{Kind: "certificate_list", Index: r.Index}
	t := table{titles: []string{"SERIAL", "ROLE", "NAME", "TENANT", "EXPIRES", "STATE"}}
	wide := e.flags.output == formatWide
	if wide {
		t.titles = append(t.titles, "ISSUED", "AUTHORITY", "LINE", "WHY")
	}
	var names []string
	for _, i := range r.Items {
		item, err := encode(i)
		if err != nil {
			return err
		}
		l.Items, names = append(l.Items, item), append(names, "cert/"+i.Serial)
		row := []string{i.Serial, i.Role, i.Name, i.Tenant, e.when(i.NotAfter), i.State}
		if wide {
			row = append(row, e.when(i.Issued), fmt.Sprintf("%.12s", i.Authority), i.Line, i.Why)
		}
		t.rows = append(t.rows, row)
	}
	return e.list(l, "certificates", func() []string { return names }, func() table { return t })
}

func newCertRevoke(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke SERIAL", Short: "Take a certificate back, with all that it was renewed from or to",
		Long: `Take a certificate back, with the one that it was renewed from and all that were renewed
from that. Every node ends the holder's connections within a second and takes no new one.

That of a node that votes is not taken back, with no way around it: the vote would go on
counting and could not be heard. "cpctl cluster remove" does both.`,
		Args: named("SERIAL"), ValidArgsFunction: completeCerts(env),
	}
	var yes bool
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := env.confirm(cmd.Context(), yes, "revoke certificate "+string(quoted(args[0])), "its holder is disconnected at once", ""); err != nil {
			return err
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.revokeCert(ctx, c, args[0]) })
	}
	return cmd
}

// revocation is the JSON of `cert revoke`.
type revocation struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"` // certificate_revocation
	rpc.CertInfo
	Index uint64 `json:"index"`
}

func (e *Env) revokeCert(ctx context.Context, c certifier, serial string) error {
	r, err := c.Revoke(ctx, rpc.RevokeArgs{Serial: serial})
	if err != nil {
		return err
	}
	return e.show(revocation{store.FormatVersion, "certificate_revocation", r.Certificate, r.Index}, "cert/"+serial, func() error {
		return e.line(fmt.Sprintf("cert/%s revoked, of %s/%s", serial, r.Certificate.Role, r.Certificate.Name))
	})
}

func completeCerts(env *Env) completing {
	return func(cmd *cobra.Command, args []string, to string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 || env.settle(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return env.completions(cmd, args, to, func(ctx context.Context, c Cluster) ([]string, error) {
			r, err := c.Certs(ctx, rpc.ReadOptions{Stale: true})
			if err != nil {
				return nil, err
			}
			var serials []string
			for _, i := range r.Items {
				if !i.Revoked {
					serials = append(serials, i.Serial)
				}
			}
			return serials, nil
		}), cobra.ShellCompDirectiveNoFileComp
	}
}

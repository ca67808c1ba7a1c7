package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func newRotateCA(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate-ca", Short: "Replace the authority that signs the cluster's certificates",
		Long: `Replace the authority (CA) that signs the certificates of nodes and people. It takes
two commands, with time between them:

    cpctl cluster rotate-ca           the members come to trust a new authority beside the
                                      one of today; once all of them do, the new one signs,
                                      and the nodes renew their certificates at once
    cpctl cluster rotate-ca --retire  the old one is forgotten

Between the two, certificates of both are good, and people go on working: they come to
know the new authority when their certificate is renewed. The first step goes on by
itself, also under another leader; given again, the command says whom it waits for. The
second is refused while somebody's newest certificate is still of the old authority;
with --force it is not, and says whom it shuts out: they log in again with new tokens.`,
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	var args rpc.RotateArgs
	var wait, yes bool
	fs := cmd.Flags()
	fs.BoolVar(&args.Retire, "retire", false, "forget the authority before")
	fs.BoolVar(&args.Force, "force", false, "with --retire: although certificates that it signed are in use")
	fs.BoolVar(&wait, "wait", false, "until the new authority signs")
	fs.BoolVarP(&yes, "yes", "y", false, "do not ask (--force asks)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if args.Force && !args.Retire {
			return usagef("--force is for --retire")
		}
		if args.Force {
			if err := env.confirmRetirement(cmd.Context(), yes); err != nil {
				return err
			}
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.rotateCA(ctx, c, args, wait) })
	}
	return cmd
}

// confirmRetirement asks before people are shut out, and says whom that meets.
// It does not ask if there is nothing to retire: the cluster says so.
func (e *Env) confirmRetirement(ctx context.Context, yes bool) error {
	var a *rpc.Authorities
	var certs *rpc.CertList
	err := e.client(ctx, func(ctx context.Context, c Cluster) (err error) {
		if a, err = c.Rotate(ctx, rpc.RotateArgs{Look: true}); err == nil {
			certs, err = c.Certs(ctx, rpc.ReadOptions{})
		}
		return err
	})
	if err != nil {
		return err
	}
	if a.Phase != "switched" {
		if a.Phase == "one" {
			e.note("there is no authority before the one that signs: nothing to retire")
		}
		return nil
	}
	warning := "nobody's newest certificate is of it"
	if out := e.shutOut(certs.Items, a.Other); len(out) > 0 {
		warning = "shut out until they log in again with a new token: " + strings.Join(out, ", ")
	}
	if yes {
		e.note("%s", warning)
	}
	return e.confirm(ctx, yes, "forget the authority before", warning, "")
}

// shutOut names those whose newest certificate is of an authority.
func (e *Env) shutOut(certs []rpc.CertInfo, authority string) (out []string) {
	own := ""
	if c, err := e.chosen(); err == nil && c != nil {
		if h := contextHolder(c); h != nil {
			own = h.Serial
		}
	}
	for _, i := range certs {
		if i.State != rpc.CertGood || i.Authority != authority {
			continue
		}
		name := access.Actor{Role: access.Role(i.Role), Name: i.Name, Tenant: i.Tenant}.String()
		if own != "" && i.Serial == own {
			name += " (you)"
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// rotation is the JSON of `cluster rotate-ca`.
type rotation struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"` // authority
	*rpc.Authorities
}

// rotateLook is how often --wait asks how far it is.
const rotateLook = 200 * time.Millisecond

func (e *Env) rotateCA(ctx context.Context, c certifier, args rpc.RotateArgs, wait bool) error {
	a, err := c.Rotate(ctx, args)
	for err == nil && wait && a.Phase == "announced" {
		select {
		case <-ctx.Done():
			return store.Errorf(store.CodeUnavailable, "the new authority does not sign yet: %s", waitingFor(a)).
				WithHint("it goes on by itself; see: cpctl cluster rotate-ca")
		case <-time.After(rotateLook):
		}
		a, err = c.Rotate(ctx, rpc.RotateArgs{Look: true})
	}
	if err != nil {
		return err
	}
	return e.show(rotation{store.FormatVersion, "authority", a}, "authority/"+a.Signs, func() error {
		switch a.Phase {
		case "announced":
			return e.line(fmt.Sprintf("authority %.12s announced, %.12s signs: %s", a.Other, a.Signs, waitingFor(a)))
		case "switched":
			return e.line(fmt.Sprintf("authority %.12s signs, %.12s is still trusted", a.Signs, a.Other))
		}
		return e.line(fmt.Sprintf("authority %.12s signs, and no other is trusted", a.Signs))
	})
}

func waitingFor(a *rpc.Authorities) string {
	if len(a.Waiting) == 0 {
		return "every member trusts both"
	}
	return "waiting for " + strings.Join(a.Waiting, ", ") + " to trust both"
}

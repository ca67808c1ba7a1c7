package cmd

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// newSecret is `client secret`: the secrets of a confidential client.
func newSecret(env *Env) *cobra.Command {
	return group(&cobra.Command{Use: "secret", Short: "Secrets of a client"},
		newSecretRotate(env), newSecretList(env), newSecretRevoke(env))
}

func newSecretRotate(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate ID", Short: "Give a client a new secret",
		Long: "Give a client a new secret. The one before stays good for --overlap. The new one is\n" +
			"shown this once: on stdout, with -o json as client_secret, or in the file of --secret-out.",
		Example: "  cpctl client secret rotate web -t acme --overlap 24h --secret-out web.secret",
		Args:    named("ID"), ValidArgsFunction: completeNames(env, "client", 1),
	}
	var overlap duration
	cmd.Flags().Var(&overlap, "overlap", "`DURATION` for which the old secret stays good")
	w, secret := newWriteFlags(cmd, false), newSecretFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ref, err := clients.target(env, args[0])
		if err != nil {
			return err
		}
		if err := w.check(1); err != nil {
			return err
		}
		req := w.request(mutation.OpClientSecretRotate, ref)
		if cmd.Flags().Changed("overlap") {
			req.Overlap = (*store.Duration)(&overlap)
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			out, err := secret.prepare(env, req)
			if err != nil {
				return err
			}
			defer out.discard()
			ans, err := env.write(ctx, c, req)
			if err != nil {
				return suggest(ctx, c, ref, err)
			}
			return env.answeredSecret(ans, out)
		})
	}
	return cmd
}

func newSecretList(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list ID", Aliases: []string{"ls"}, Short: "List the secrets of a client, without the secrets",
		Args: named("ID"), ValidArgsFunction: completeNames(env, "client", 1),
	}
	read := newReadFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ref, err := clients.target(env, args[0])
		if err != nil {
			return err
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return env.listSecrets(ctx, c, ref, read)
		})
	}
	return cmd
}

// secretItem is a client secret as it is shown: never its hash.
type secretItem struct {
	ID        string     `json:"id"`
	State     string     `json:"state"`
	Hint      string     `json:"hint"`
	CreatedAt store.Time `json:"created_at"`
	ExpiresAt store.Time `json:"expires_at"`
}

func (e *Env) listSecrets(ctx context.Context, c reader, ref store.Ref, read *readFlags) error {
	r, err := c.Get(ctx, rpc.GetArgs{Kind: ref.Kind, Tenant: ref.Tenant, Name: ref.Name, Read: read.ReadOptions})
	if err != nil {
		return suggest(ctx, c, ref, err)
	}
	e.age(read, r.ReadInfo)
	var doc struct {
		Secrets []secretItem `json:"secrets"`
	}
	if err := json.Unmarshal(r.Document, &doc); err != nil {
		return err
	}
	l := listing{Kind: "client_secret_list", Index: r.Index}
	t := table{titles: []string{"ID", "STATE", "HINT", "AGE>", "EXPIRES"}}
	if e.flags.output == formatWide {
		t.titles[3] = "CREATED"
	}
	var ids []string
	for _, s := range doc.Secrets {
		item, err := encode(s)
		if err != nil {
			return err
		}
		l.Items, ids = append(l.Items, item), append(ids, s.ID)
		t.rows = append(t.rows, []string{s.ID, s.State, s.Hint, e.when(s.CreatedAt), e.when(s.ExpiresAt)})
	}
	return e.list(l, "secrets", func() []string { return ids }, func() table { return t })
}

func newSecretRevoke(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID SECRET-ID", Short: "Revoke a secret at once",
		Args: named("ID", "SECRET-ID"), ValidArgsFunction: completeNames(env, "client", 1),
	}
	w := newWriteFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ref, err := clients.target(env, args[0])
		if err != nil {
			return err
		}
		if err := w.check(1); err != nil {
			return err
		}
		what := "revoke secret " + string(quoted(args[1])) + " of " + titled(ref)
		if err := env.confirm(cmd.Context(), w.yes || w.dryRun, what, "", ""); err != nil {
			return err
		}
		req := w.request(mutation.OpClientSecretRevoke, ref)
		req.SecretID = args[1]
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			ans, err := env.write(ctx, c, req)
			if err != nil {
				return suggest(ctx, c, ref, err)
			}
			return env.answered(ans)
		})
	}
	return cmd
}

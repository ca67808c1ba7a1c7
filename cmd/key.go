package cmd

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// keyAlgs are the algorithms of signing keys.
var keyAlgs = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}

func newKey(env *Env) *cobra.Command {
	owner := new(keyOwner)
	cmd := group(&cobra.Command{
		Use: "key", Aliases: []string{"keys"}, Short: "Signing keys of a tenant, or of the platform",
		Long: "Signing keys of a tenant (-t SLUG) or of the platform itself (--global).\n" +
			"A tenant has none until the first rotation, which makes an active and a next one.",
	}, newKeyRotate(env, owner), newKeyList(env, owner), newKeyGet(env, owner), newKeyJWKS(env, owner), newKeyExport(env, owner), newKeyRevoke(env, owner))
	cmd.PersistentFlags().BoolVar(&owner.global, "global", false, "the platform's own keys")
	return cmd
}

// keyOwner is whose keys a command is about.
type keyOwner struct{ global bool }

func (o *keyOwner) slug(e *Env) (string, error) {
	switch {
	case o.global && e.flags.tenantGiven:
		return "", usagef("-t and --global exclude each other")
	case o.global:
		return store.GlobalOwner, nil
	}
	s, err := e.tenantSetting()
	if err == nil && s.Value == "" {
		err = usagef("whose keys?").WithHint("pass -t SLUG, set CPCTL_TENANT, or --global for the platform's own")
	}
	return s.Value, err
}

// key is one key of a keyset, named by its id or in full: key/acme/KID.
func (o *keyOwner) key(e *Env, arg string) (store.Ref, error) {
	if ref, err := store.ParseRef(arg); err == nil && ref.Kind == "key" {
		if e.flags.tenantGiven && e.flags.tenant != ref.Tenant || o.global && ref.Tenant != store.GlobalOwner {
			return ref, usagef("%s is not a key of the owner given", arg)
		}
		return ref, nil
	}
	slug, err := o.slug(e)
	return store.Ref{Kind: "key", Tenant: slug, Name: arg}, err
}

func newKeyRotate(env *Env, owner *keyOwner) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make the next key the active one",
		Long: "Make the next key the active one, and a new next one. The key that was active keeps\n" +
			"verifying for the verification_ttl of the tenant's key policy.",
		Example: "  cpctl key rotate -t acme",
		Args:    named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	alg := cmd.Flags().String("alg", "", "`ALG` of the new key (default: the tenant's key policy)")
	completeFlag(cmd, "alg", completeWords(keyAlgs...))
	wait := cmd.Flags().Bool("wait", false, "until the node asked shows the new keys")
	w := newWriteFlags(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		slug, err := owner.slug(env)
		if err != nil {
			return err
		}
		if err := w.check(1); err != nil {
			return err
		}
		req := w.request(mutation.OpKeyRotate, store.Ref{Tenant: slug})
		req.Alg = *alg
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			ans, err := env.write(ctx, c, req)
			if err != nil {
				return suggestOwner(ctx, c, slug, err)
			}
			if *wait && !ans.DryRun && !ans.Published {
				read := rpc.ReadOptions{MinIndex: ans.Index}
				if _, err := c.Get(ctx, rpc.GetArgs{Kind: "keyset", Tenant: slug, Read: read}); err != nil {
					return err
				}
			}
			return env.answered(ans)
		})
	}
	return cmd
}

// suggestOwner is suggest for a tenant whose keys were asked for.
func suggestOwner(ctx context.Context, c reader, slug string, err error) error {
	return suggest(ctx, c, store.Ref{Kind: "keyset", Tenant: slug, Name: slug}, err)
}

func newKeyList(env *Env, owner *keyOwner) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List keys, never their private parts",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	read := newReadFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		slug, err := owner.slug(env)
		if err != nil {
			return err
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return env.listKeys(ctx, c, slug, read)
		})
	}
	return cmd
}

// keyItem is one key as it is shown. It has no member for the private part.
type keyItem struct {
	FormatVersion string          `json:"format_version"`
	Kind          string          `json:"kind"` // key
	Tenant        string          `json:"tenant"`
	KID           string          `json:"kid"`
	Alg           string          `json:"alg"`
	State         string          `json:"state"`
	PublicJWK     json.RawMessage `json:"public_jwk"`
	CreatedAt     store.Time      `json:"created_at"`
	PublishedAt   store.Time      `json:"published_at"`
	ActivatedAt   store.Time      `json:"activated_at"`
	RetiringAt    store.Time      `json:"retiring_at"`
	VerifyUntil   store.Time      `json:"verify_until"`
	RevokedAt     store.Time      `json:"revoked_at"`
	RevokeReason  string          `json:"revoke_reason"`
	Exports       []export        `json:"exports"` // the last ones of its private part
}

// export is one time that the private part of a key was handed out.
type export struct {
	At    store.Time `json:"exported_at"`
	Actor string     `json:"actor"`
	Node  string     `json:"node"`
}

// keys reads the keys of an owner. A tenant without any has an empty list.
func (e *Env) keys(ctx context.Context, c reader, slug string, read *readFlags) ([]keyItem, rpc.ReadInfo, error) {
	r, err := c.Get(ctx, rpc.GetArgs{Kind: "keyset", Tenant: slug, Read: read.ReadOptions})
	if errors.Is(err, store.ErrNotFound) {
		return e.noKeys(ctx, c, slug, read)
	}
	if err != nil {
		return nil, rpc.ReadInfo{}, err
	}
	var set struct {
		Keys []keyItem `json:"keys"`
	}
	if err := json.Unmarshal(r.Document, &set); err != nil {
		return nil, rpc.ReadInfo{}, err
	}
	for i := range set.Keys {
		k := &set.Keys[i]
		k.FormatVersion, k.Kind, k.Tenant, k.Exports = store.FormatVersion, "key", slug, []export{}
		for _, x := range r.Exports {
			if x.KID == k.KID {
				k.Exports = append(k.Exports, export{x.At, x.Actor, x.Node})
			}
		}
	}
	return set.Keys, r.ReadInfo, nil
}

// noKeys tells a tenant without keys from one that is not there.
func (e *Env) noKeys(ctx context.Context, c reader, slug string, read *readFlags) ([]keyItem, rpc.ReadInfo, error) {
	if slug == store.GlobalOwner {
		return nil, rpc.ReadInfo{}, nil
	}
	r, err := c.Get(ctx, rpc.GetArgs{Kind: "tenant", Tenant: slug, Name: slug, Read: read.ReadOptions})
	if err != nil {
		return nil, rpc.ReadInfo{}, suggestOwner(ctx, c, slug, err)
	}
	return nil, r.ReadInfo, nil
}

func (e *Env) listKeys(ctx context.Context, c reader, slug string, read *readFlags) error {
	keys, info, err := e.keys(ctx, c, slug, read)
	if err != nil {
		return err
	}
	e.age(read, info)
	l := listing{Kind: "key_list", Index: info.Index}
	t := table{titles: []string{"KID", "ALG", "STATE", "AGE>", "VERIFIES"}}
	if e.flags.output == formatWide {
		t.titles = []string{"KID", "ALG", "STATE", "CREATED", "ACTIVATED", "VERIFY UNTIL", "REVOKED", "REASON"}
	}
	var names []string
	for _, k := range keys {
		item, err := encode(k)
		if err != nil {
			return err
		}
		l.Items = append(l.Items, item)
		names = append(names, "key/"+slug+"/"+k.KID)
		row := []string{k.KID, k.Alg, k.State, e.when(k.CreatedAt), e.when(k.VerifyUntil)}
		if e.flags.output == formatWide {
			row = []string{k.KID, k.Alg, k.State, e.when(k.CreatedAt), e.when(k.ActivatedAt),
				e.when(k.VerifyUntil), e.when(k.RevokedAt), k.RevokeReason}
		}
		t.rows = append(t.rows, row)
	}
	return e.list(l, "keys", func() []string { return names }, func() table { return t })
}

func newKeyGet(env *Env, owner *keyOwner) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get KID", Short: "Show a key, never its private part",
		Args: named("KID"), ValidArgsFunction: completeKeys(env, owner),
	}
	read := newReadFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ref, err := owner.key(env, args[0])
		if err != nil {
			return err
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			keys, info, err := env.keys(ctx, c, ref.Tenant, read)
			if err != nil {
				return err
			}
			env.age(read, info)
			for _, k := range keys {
				if k.KID == ref.Name {
					doc, err := encode(k)
					if err != nil {
						return err
					}
					return env.show(json.RawMessage(doc), ref.String(), func() error { return env.describe(doc) })
				}
			}
			return store.NotFound(ref).WithHint("see: cpctl key list")
		})
	}
	return cmd
}

func newKeyJWKS(env *Env, owner *keyOwner) *cobra.Command {
	cmd := &cobra.Command{
		Use: "jwks", Short: "Print the public key set (RFC 7517)",
		Long: "Print the public key set as it is published: JSON in every format but yaml.",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	read := newReadFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		slug, err := owner.slug(env)
		if err != nil {
			return err
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			r, err := c.Get(ctx, rpc.GetArgs{Kind: "jwks", Tenant: slug, Read: read.ReadOptions})
			if err != nil {
				return suggestOwner(ctx, c, slug, err)
			}
			env.age(read, r.ReadInfo)
			return env.document(r.Document)
		})
	}
	return cmd
}

func newKeyRevoke(env *Env, owner *keyOwner) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke KID...", Short: "Revoke a key at once",
		Long: "Revoke a key: it leaves the public set now, and what it signed no longer verifies.\n" +
			"When the active key is revoked the next one takes its place.",
		Args: several("KID"), ValidArgsFunction: completeKeys(env, owner),
	}
	reason := cmd.Flags().String("reason", "", "`TEXT` that is kept with the key")
	w := newWriteFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := w.check(len(args)); err != nil {
			return err
		}
		refs := make([]store.Ref, len(args))
		for i, arg := range args {
			ref, err := owner.key(env, arg)
			if err != nil {
				return err
			}
			what := "revoke key " + string(quoted(ref.Name)) + " of " + string(quoted(ref.Tenant))
			if err := env.confirm(cmd.Context(), w.yes || w.dryRun, what, "", ""); err != nil {
				return err
			}
			refs[i] = ref
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return each(ctx, env, refs, func(ref store.Ref) error {
				req := w.request(mutation.OpKeyRevoke, store.Ref{Tenant: ref.Tenant})
				req.KID, req.Reason = ref.Name, *reason
				ans, err := env.write(ctx, c, req)
				if err != nil {
					return suggestOwner(ctx, c, ref.Tenant, err)
				}
				return env.answered(ans)
			})
		})
	}
	return cmd
}

// completeKeys completes key ids from a live server, as completeNames does.
func completeKeys(env *Env, owner *keyOwner) completing {
	return func(cmd *cobra.Command, args []string, to string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const done = cobra.ShellCompDirectiveNoFileComp
		if env.settle(cmd) != nil {
			return nil, done
		}
		slug, err := owner.slug(env)
		if err != nil {
			return nil, done
		}
		return env.completions(cmd, args, to, func(ctx context.Context, c Cluster) ([]string, error) {
			keys, _, err := env.keys(ctx, c, slug, &readFlags{rpc.ReadOptions{Stale: true}})
			ids := make([]string, len(keys))
			for i, k := range keys {
				ids[i] = k.KID
			}
			return ids, err
		}), done
	}
}

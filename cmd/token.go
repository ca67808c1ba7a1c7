package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// tokens makes, lists and revokes them.
type tokens interface {
	CreateToken(context.Context, rpc.TokenArgs) (*rpc.TokenReply, error)
	ListTokens(context.Context, rpc.ReadOptions) (*rpc.TokenList, error)
	RevokeToken(ctx context.Context, id string) (*rpc.TokenReply, error)
}

func newToken(env *Env) *cobra.Command {
	return group(&cobra.Command{
		Use: "token", Aliases: []string{"tokens"}, Short: "Tokens by which nodes and people get into the cluster",
		Long: "A token lets one newcomer in, once: a node with \"cpctl node --join HOST:PORT\", a person\n" +
			"with \"cpctl login\". It carries the fingerprint of the cluster's authority, so that the\n" +
			"newcomer knows whom it talks to; the cluster keeps only a hash of its secret.",
	}, newTokenCreate(env), newTokenList(env), newTokenRevoke(env))
}

// tokenLife is how long a token is good unless --ttl says else: time to walk to
// the other machine.
const tokenLife = time.Hour

func newTokenCreate(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token for one node or person",
		Long: "Make a token for one node or person. It goes into --out FILE (mode 0600), else alone to\n" +
			"stdout. The name is that of the node or person, and the role what the certificate will\n" +
			"allow (cpctl help roles); operator and reader may be bound to a tenant with -t SLUG.",
		Example: "  cpctl token create --role node --name n2 --out n2.token\n" +
			"  cpctl token create --role operator --name ana -t acme --ttl 15m --out ana.token",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	var args rpc.TokenArgs
	fs := cmd.Flags()
	fs.StringVar(&args.Role, "role", "", "`ROLE` of the certificate: node, admin, operator, reader")
	completeFlag(cmd, "role", completeWords(string(access.Node), string(access.Admin), string(access.Operator), string(access.Reader)))
	fs.StringVar(&args.Name, "name", "", "`NAME` of the node or person, unique in its role")
	ttl := duration(tokenLife)
	fs.Var(&ttl, "ttl", "`DURATION` for which it is good, at most 7d")
	out := fs.String("out", "", "new `FILE` for the token, mode 0600 (default stdout)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case args.Role == "":
			return usagef("which role?").WithHint("pass --role node, admin, operator or reader")
		case args.Name == "":
			return usagef("for whom?").WithHint("pass --name, that of the node or the person")
		case *out == "" && env.flags.output == formatName:
			return usagef("-o name shows no token").WithHint("pass --out FILE")
		}
		args.TTL = store.Duration(ttl)
		if env.flags.tenantGiven { // a tenant of the environment would bind somebody by accident
			args.Tenant = env.flags.tenant
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.createToken(ctx, c, args, *out) })
	}
	return cmd
}

func (e *Env) createToken(ctx context.Context, c Cluster, args rpc.TokenArgs, out string) error {
	var file *pending
	if out != "" && out != "-" { // before the token is made: one that cannot be put down is lost
		f, err := beginNew(out)
		if err != nil {
			return err
		}
		defer f.discard()
		file = f
	}
	t, err := pki.NewToken()
	if err != nil {
		return err
	}
	args.ID, args.Hash = t.ID, t.Hash()
	made, err := c.CreateToken(ctx, args)
	if err != nil {
		return err
	}
	if t.CA, err = pki.Fingerprint([]byte(made.CA)); err != nil {
		return fmt.Errorf("the authority that the cluster sent: %w", err)
	}
	more := []member{{"index", made.Index}}
	if file != nil {
		if _, err = file.Write(t.Encode()); err == nil {
			err = file.commit()
		}
		if err != nil {
			return fmt.Errorf("token/%s created, but it is lost: %w", t.ID, err)
		}
		more = append(more, member{"file", out})
	} else {
		more = append(more, member{"token", strings.TrimSuffix(string(t.Encode()), "\n")})
	}
	doc, err := tokenDocument(made.Token, more...)
	if err != nil {
		return err
	}
	err = e.show(doc, "token/"+t.ID, func() error {
		if file != nil {
			return e.line("token/" + t.ID + " created, in " + out)
		}
		_, err := e.Out.Write(t.Encode())
		return err
	})
	if out == "" || out == "-" {
		out = "FILE"
	}
	e.note("good once, until %s; next, %s", made.ExpiresAt.Std().Format(time.RFC3339), nextStep(ctx, c, args, out))
	return err
}

// nextStep is the command for the newcomer, with the addresses of the members if
// they are known in a moment.
func nextStep(ctx context.Context, c statuser, args rpc.TokenArgs, file string) string {
	servers := "HOST:PORT"
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if st, err := c.Status(ctx); err == nil && len(st.Nodes) > 0 {
		var all []string
		for _, n := range st.Nodes {
			all = append(all, n.Address)
		}
		servers = strings.Join(all, ",")
	}
	if args.Role == string(access.Node) {
		return fmt.Sprintf("on the new node: cpctl node --name %s --listen HOST:PORT --join %s --token-file %s", args.Name, servers, file)
	}
	return fmt.Sprintf("where %s works: cpctl login %s --token-file %s --name CONTEXT", args.Name, servers, file)
}

// tokenDocument is the JSON of a token.
func tokenDocument(t rpc.Token, more ...member) (json.RawMessage, error) {
	raw, err := encode(t)
	if err != nil {
		return nil, err
	}
	have, err := members(raw)
	if err != nil {
		return nil, err
	}
	return with(object(append([]rawMember{{"format_version", quoted(store.FormatVersion)}, {"kind", quoted("token")}}, have...)), more...)
}

func newTokenList(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the tokens, those of the last day that are no longer good included",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	read := newReadFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.listTokens(ctx, c, read) })
	}
	return cmd
}

func (e *Env) listTokens(ctx context.Context, c tokens, read *readFlags) error {
	all, err := c.ListTokens(ctx, read.ReadOptions)
	if err != nil {
		return err
	}
	e.age(read, all.ReadInfo)
	l := listing{Kind: "token_list", Index: all.Index}
	t := table{titles: []string{"ID", "ROLE", "NAME", "TENANT", "STATE", "EXPIRES"}}
	wide := e.flags.output == formatWide
	if wide {
		t.titles = append(t.titles, "CREATED", "BY", "USED", "SERIAL")
	}
	var names []string
	for _, one := range all.Items {
		item, err := tokenDocument(one)
		if err != nil {
			return err
		}
		l.Items, names = append(l.Items, item), append(names, "token/"+one.ID)
		row := []string{one.ID, one.Role, one.Name, one.Tenant, one.State, e.when(one.ExpiresAt)}
		if wide {
			row = append(row, e.when(one.CreatedAt), one.CreatedBy, e.when(one.UsedAt), one.Serial)
		}
		t.rows = append(t.rows, row)
	}
	return e.list(l, "tokens", func() []string { return names }, func() table { return t })
}

func newTokenRevoke(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID...", Short: "End a token that nobody has used",
		Args: several("ID"), ValidArgsFunction: completeTokens(env),
	}
	var yes bool
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for i, id := range args {
			args[i] = strings.TrimPrefix(id, "token/")
			if err := env.confirm(cmd.Context(), yes, "revoke token "+string(quoted(args[i])), "", ""); err != nil {
				return err
			}
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return each(ctx, env, args, func(id string) error { return env.revokeToken(ctx, c, id) })
		})
	}
	return cmd
}

func (e *Env) revokeToken(ctx context.Context, c tokens, id string) error {
	r, err := c.RevokeToken(ctx, id)
	if err != nil {
		return err
	}
	doc, err := tokenDocument(r.Token, member{"index", r.Index})
	if err != nil {
		return err
	}
	return e.show(doc, "token/"+id, func() error { return e.line("token/" + id + " " + r.State) })
}

// completeTokens completes the ids of tokens that can be revoked.
func completeTokens(env *Env) completing {
	return func(cmd *cobra.Command, args []string, to string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if env.settle(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return env.completions(cmd, args, to, func(ctx context.Context, c Cluster) ([]string, error) {
			all, err := c.ListTokens(ctx, rpc.ReadOptions{Stale: true})
			if err != nil {
				return nil, err
			}
			var ids []string
			for _, t := range all.Items {
				if t.State == "open" {
					ids = append(ids, t.ID)
				}
			}
			return ids, nil
		}), cobra.ShellCompDirectiveNoFileComp
	}
}

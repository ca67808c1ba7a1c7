package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func newCreate(env *Env, n *noun) *cobra.Command {
	args := n.arg + "..."
	if n.optional {
		args = "[" + n.arg + "]..."
	}
	cmd := &cobra.Command{
		Use: "create " + args, Short: "Create a " + n.kind,
		Long: "Create a " + n.kind + ". It is an error if it exists, unless --if-not-exists is given.\n" +
			"With -f the name may be left out: the document has it.",
		Example: "  cpctl " + n.kind + " create " + n.example,
		Args:    atMost(manyNames),
	}
	in, w := newInput(env, cmd, n), newWriteFlags(cmd, false)
	ifNotExists := cmd.Flags().Bool("if-not-exists", false, "what exists already is left as it is, and no error")
	var secret *secretFlags
	if n.kind == "client" {
		secret = newSecretFlags(cmd)
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := w.check(len(names)); err != nil {
			return err
		}
		if cmd.Flags().Changed("if-revision") && w.ifRevision != 0 {
			return usagef("create makes what is not there: no --if-revision but 0 can hold")
		}
		if err := secret.check(len(names)); err != nil {
			return err
		}
		if len(names) > 1 && in.file == "-" {
			return usagef("-f - can be read for one name, not %d", len(names))
		}
		if len(names) == 0 {
			names = []string{""} // the document has the name, or the server makes one
		}
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return each(ctx, env, names, func(name string) error {
				req := w.request(n.create, store.Ref{})
				req.IfRevision, req.IfNotExists = nil, *ifNotExists
				src, err := in.request(req)
				if err != nil {
					return err
				}
				ref, err := n.newName(env, name, src)
				if err != nil {
					return err
				}
				req.Tenant, req.Name = ref.Tenant, ref.Name
				return env.create(ctx, c, n, req, src, secret)
			})
		})
	}
	return cmd
}

// manyNames is more than a command line holds.
const manyNames = 1 << 20

// create sends the request and prints the answer; a generated secret goes where
// it was asked for.
func (e *Env) create(ctx context.Context, c Cluster, n *noun, req *mutation.Request, src *source, secret *secretFlags) error {
	out, err := secret.prepare(e, req)
	if err != nil {
		return err
	}
	defer out.discard()
	ans, err := e.write(ctx, c, req)
	if err != nil {
		return src.point(suggest(ctx, c, store.Ref{Kind: n.kind, Tenant: req.Tenant, Name: req.Name}, err))
	}
	return e.answeredSecret(ans, out)
}

// newName is the object that create is about: named on the command line, else
// in the document.
func (n *noun) newName(e *Env, arg string, src *source) (store.Ref, error) {
	if arg != "" {
		return n.target(e, arg)
	}
	var doc store.Ref
	if src != nil {
		doc = identify(withKind(src.json, n.kind))
	}
	if doc.Tenant == "" || n.inTenant() && e.flags.tenantGiven {
		s, err := e.tenantSetting()
		if err != nil {
			return doc, err
		}
		doc.Tenant = s.Value // the server compares it with the document's
	}
	switch {
	case doc.Name == "" && !n.optional:
		return doc, usagef("missing %s", n.arg).WithHint("see: cpctl %s create --help", n.kind)
	case !n.inTenant():
		doc.Tenant = doc.Name
	case doc.Tenant == "":
		_, err := e.tenant()
		return doc, err
	}
	doc.Kind = n.kind
	return doc, nil
}

// withKind gives a document its kind where it has none, as input may.
func withKind(doc []byte, kind string) []byte {
	if d, err := with(doc, member{"kind", kind}); err == nil {
		return d
	}
	return doc
}

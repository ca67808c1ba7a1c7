package cmd

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// noun is a kind of document that is created, read, changed and deleted by the
// verbs that all three have in common.
type noun struct {
	kind, plural string
	arg          string // what a name of it is called: SLUG
	member       string // the field that holds the name: slug
	example      string // flags for the example of create
	optional     bool   // create makes a name when none is given

	create, update, delete mutation.Op

	fields func(*input)                                 // flags for its fields
	table  func(*Env, []json.RawMessage) (table, error) // of a list
	erase  func(*cobra.Command) func(*mutation.Request) // further flags of delete; may be nil
}

// inTenant reports whether objects of the kind belong to a tenant.
func (n *noun) inTenant() bool { return n.kind != "tenant" }

// target finds the object that an argument names: by its name, in the tenant of
// -t, or in full as -o name prints it.
func (n *noun) target(e *Env, arg string) (store.Ref, error) {
	if ref, err := store.ParseRef(arg); err == nil && ref.Kind == n.kind {
		if n.inTenant() && e.flags.tenantGiven && e.flags.tenant != ref.Tenant {
			return ref, usagef("%s is not in tenant %q", arg, e.flags.tenant).WithHint("leave out -t, or the tenant in the name")
		}
		if !n.inTenant() {
			ref.Name = ref.Tenant // requests name a tenant twice
		}
		return ref, nil
	}
	if !n.inTenant() {
		return store.Ref{Kind: n.kind, Tenant: arg, Name: arg}, n.bare(arg)
	}
	tenant, err := e.tenant()
	if err != nil {
		return store.Ref{}, err
	}
	return store.Ref{Kind: n.kind, Tenant: tenant, Name: arg}, n.bare(arg)
}

// bare refuses the full name of something else. Names of scopes may hold a
// slash and are what they are.
func (n *noun) bare(arg string) error {
	if n.kind != "scope" && strings.Contains(arg, "/") {
		return usagef("%q does not name a %s", arg, n.kind)
	}
	return nil
}

// objectName is how an object is printed and accepted: tenant/acme, client/acme/web.
func objectName(ref store.Ref) string {
	switch ref.Kind {
	case "tenant", "keyset", "jwks": // in requests they bear their tenant as a name
		ref.Name = ""
	}
	return ref.String()
}

// titled is an object in the words of a sentence: client "web" of tenant "acme".
func titled(ref store.Ref) string {
	if ref.Kind == "tenant" {
		return "tenant " + string(quoted(ref.Name))
	}
	return ref.Kind + " " + string(quoted(ref.Name)) + " of tenant " + string(quoted(ref.Tenant))
}

// nounCommand is the noun with its verbs and what else it has.
func nounCommand(env *Env, n *noun, short string, more ...*cobra.Command) *cobra.Command {
	return group(&cobra.Command{Use: n.kind, Aliases: []string{n.plural}, Short: short},
		append([]*cobra.Command{
			newCreate(env, n), newGet(env, n), newList(env, n), newUpdate(env, n), newDelete(env, n),
		}, more...)...)
}

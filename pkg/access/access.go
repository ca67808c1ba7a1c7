// Package access says who may do what: the roles, the actors that bear them,
// and one table of rights. It authenticates nobody and does no I/O; package pki
// says who somebody is, packages rpc and node ask here before they answer or
// carry out. What the table does not allow is denied.
package access

import (
	"github.com/cpctl/cpctl/pkg/store"
)

// Role is what the holder of a certificate may do.
type Role string

// The roles. A node speaks raft and serves; an admin may do everything that an
// operator asks for; an operator writes; a reader reads. The last two may be
// bound to one tenant.
const (
	Node     Role = "node"
	Admin    Role = "admin"
	Operator Role = "operator"
	Reader   Role = "reader"
)

// Actor is somebody who was authenticated, and where from. Between nodes it is
// carried along with what they asked for, so that the node which carries it out
// decides about the one who asked, not about the node that passed it on.
type Actor struct {
	Role   Role   `json:"role"`
	Name   string `json:"name"`             // of the certificate's holder; on the socket the uid, in digits
	Tenant string `json:"tenant,omitempty"` // of a bound operator or reader
	Serial string `json:"serial,omitempty"` // of the certificate; none on the socket
	Source string `json:"source,omitempty"` // unix, or the address that the first node saw
}

// Unix is the source of who came by the socket of a node.
const Unix = "unix"

// Local is whoever may open a node's socket: root or the node's own user. They
// could read its memory, so nothing is kept from them.
func Local(uid string) Actor { return Actor{Role: Admin, Name: uid, Source: Unix} }

// Newcomer is who shows a token and has no certificate yet. The table gives it
// nothing: it may have what the token is for, and the token decides that.
func Newcomer(token, source string) Actor {
	return Actor{Role: "token", Name: token, Source: source}
}

// String is the form that commands, logs and audit lines use: "unix/1000",
// "node/n1", "operator/ana", "reader/ci@acme", "token/00112233445566ff".
func (a Actor) String() string {
	switch {
	case a.Source == Unix:
		return "unix/" + a.Name
	case a.Tenant != "":
		return string(a.Role) + "/" + a.Name + "@" + a.Tenant
	}
	return string(a.Role) + "/" + a.Name
}

// Check is nil if the actor may do that to the tenant, "" for what is no one
// tenant's. Else it is a *store.Error of CodeDenied.
func Check(a Actor, do Action, tenant string) error {
	for _, r := range table {
		if r.Action != do {
			continue
		}
		switch {
		case !r.Allows(a.Role):
			return denied(a, "%s may not %s", a, r.Words)
		case a.Tenant == "", r.Bound && a.Tenant == tenant:
			return nil
		case r.Bound && tenant != "":
			return denied(a, "%s may not %s of %q: it is bound to tenant %q", a, r.Words, tenant, a.Tenant)
		}
		return denied(a, "%s may not %s: it is bound to tenant %q", a, r.Words, a.Tenant)
	}
	return denied(a, "%s may not do that (%s)", a, do) // an action without a row is nobody's
}

func denied(a Actor, format string, args ...any) error {
	return store.Errorf(store.CodeDenied, format, args...).
		WithHint("what the role %s may do: cpctl help roles", a.Role)
}

package access

import (
	"slices"

	"github.com/cpctl/cpctl/pkg/mutation"
)

// Action is something that is allowed or denied as a whole.
type Action string

// The actions. Each has one row in the table.
const (
	Health   Action = "health"   // whether a write would succeed
	Renew    Action = "renew"    // one's own certificate
	Read     Action = "read"     // clients, scopes, public keys, one's tenant
	Write    Action = "write"    // clients, scopes, signing keys
	Tenants  Action = "tenants"  // make, change, delete tenants
	Status   Action = "status"   // the cluster's members and how they are
	Save     Action = "save"     // a snapshot of everything
	Restore  Action = "restore"  // from a snapshot
	Export   Action = "export"   // private keys
	Inspect  Action = "inspect"  // the files of all members
	Members  Action = "members"  // admit, remove, promote, hand leadership over
	Tokens   Action = "tokens"   // make, list, revoke
	Certs    Action = "certs"    // list, revoke
	Rotate   Action = "rotate"   // the cluster key, the cluster's authority
	Auditing Action = "auditing" // read what was done
)

// Row is one line of the table.
type Row struct {
	Action Action
	Words  string // what is done, as it follows "may"
	Roles  []Role // who may
	Bound  bool   // also who is bound to a tenant, in that one
}

// Allows says whether a role may, if it is not bound to a tenant.
func (r Row) Allows(role Role) bool { return slices.Contains(r.Roles, role) }

var table = []Row{
	{Health, "ask for the health", []Role{Admin, Operator, Reader}, true},
	{Renew, "renew its certificate", []Role{Node, Admin, Operator, Reader}, true},
	{Read, "read clients, scopes, public keys or the tenant", []Role{Admin, Operator, Reader}, true},
	{Write, "change clients, scopes or signing keys", []Role{Admin, Operator}, true},
	{Tenants, "create, change or delete tenants", []Role{Admin, Operator}, false},
	{Status, "see the members or their state", []Role{Admin, Operator, Reader}, false},
	{Save, "save a snapshot", []Role{Admin}, false},
	{Restore, "restore a snapshot", []Role{Admin}, false},
	{Inspect, "check or repair the members' files", []Role{Admin}, false},
	{Export, "export private keys, at the socket of a node", []Role{Admin}, false},
	{Members, "admit, remove or promote members, or hand leadership over", []Role{Admin}, false},
	{Tokens, "create or revoke tokens", []Role{Admin}, false},
	{Certs, "list or revoke certificates", []Role{Admin}, false},
	{Rotate, "rotate the cluster key or the authority", []Role{Admin}, false},
	{Auditing, "read the audit log", []Role{Admin}, false},
}

// Table is the whole of it, for people.
func Table() []Row { return slices.Clone(table) }

// OfRequest is the action that a write is, and the tenant whose it is.
func OfRequest(r *mutation.Request) (Action, string) {
	switch r.Op {
	case mutation.OpTenantCreate, mutation.OpTenantUpdate, mutation.OpTenantDelete:
		return Tenants, r.Name
	}
	return Write, r.Tenant
}

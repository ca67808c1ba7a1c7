// Package mutation is the catalogue of every change that can enter the log:
// one kind, one payload and one encoding each, and the request that a caller
// makes before the leader has completed it. It does no I/O and decides
// nothing; package applier says what a mutation does to the store.
package mutation

import "github.com/cpctl/cpctl/pkg/store"

// Kind names one change. The catalogue is closed: an entry with another kind
// comes from a newer build, and this one stops rather than skip it.
type Kind string

// What an operator's request may become.
const (
	TenantCreate Kind = "tenant.create"
	TenantUpdate Kind = "tenant.update"
	TenantDelete Kind = "tenant.delete"
	ClientCreate Kind = "client.create"
	ClientUpdate Kind = "client.update"
	ClientDelete Kind = "client.delete"
	ScopeCreate  Kind = "scope.create" // with Replace: the change of a scope
	ScopeDelete  Kind = "scope.delete"
	KeyRotate    Kind = "key.rotate" // the whole next keyset: rotation, revocation, expiry
)

// The cluster's own bookkeeping. No operator's request can name these.
const (
	SysEpoch       Kind = "sys.epoch"        // a leader of a new term has seen everything before it
	SysFound       Kind = "sys.found"        // the first command of a cluster
	SysRecover     Kind = "sys.recover"      // the cluster goes on from what one member has, as its next generation
	SysLevel       Kind = "sys.level"        // raise the level of rules
	SysCert        Kind = "sys.cert"         // a certificate was issued
	SysRevoke      Kind = "sys.revoke"       // certificates of a node, or of a line, are no longer good
	SysCA          Kind = "sys.ca"           // a step from one authority to the next
	SysAnswer      Kind = "sys.answer"       // what a request was told that is not to be done any more
	SysExport      Kind = "sys.export"       // the private part of a key is about to be given to a process
	SysToken       Kind = "sys.token"        // a token was made
	SysTokenRevoke Kind = "sys.token.revoke" // it is no longer good
	SysEnrol       Kind = "sys.enrol"        // a token was used: a certificate was issued for it
	SysRekey       Kind = "sys.rekey"        // a step from one cluster key to the next
	SysRewrap      Kind = "sys.rewrap"       // what was sealed under the old cluster key, under the new one
	SysLeave       Kind = "sys.leave"        // a member is to be one no longer
	SysVote        Kind = "sys.vote"         // a member without a vote wants one
	SysAutoremove  Kind = "sys.autoremove"   // when members that are lost are removed
	SysStageBegin  Kind = "sys.stage.begin"  // open an upload of documents
	SysStagePut    Kind = "sys.stage.put"    // add documents to it
	SysStageCommit Kind = "sys.stage.commit" // switch them in at one revision
	SysStageAbort  Kind = "sys.stage.abort"  // forget them
)

var kinds = map[Kind]bool{
	TenantCreate: true, TenantUpdate: true, TenantDelete: true,
	ClientCreate: true, ClientUpdate: true, ClientDelete: true,
	ScopeCreate: true, ScopeDelete: true, KeyRotate: true,
	SysEpoch: true, SysFound: true, SysRecover: true, SysLevel: true, SysCert: true, SysRevoke: true, SysCA: true, SysAnswer: true, SysExport: true,
	SysToken: true, SysTokenRevoke: true, SysEnrol: true,
	SysRekey: true, SysRewrap: true,
	SysLeave: true, SysVote: true, SysAutoremove: true,
	SysStageBegin: true, SysStagePut: true, SysStageCommit: true, SysStageAbort: true,
}

// Flags change what a mutation does or how strict it is.
type Flags uint8

const (
	Replace  Flags = 1 << iota // scope.create: the scope must exist and is replaced
	Detach                     // scope.delete: take the scope from its users in the same command
	Expected                   // the caller gave the revision: a conflict is the answer, not a reason to try again
)

// Level is the newest level of rules that this build knows. A command names
// the level it was made under.
const Level uint32 = 1

// Mutation is one change: complete, so that applying it reads nothing but the
// state. Payload is the final document in canonical form, whose create_revision
// and revision are 0 and are put in by applying.
type Mutation struct {
	Kind    Kind
	Tenant  string
	Name    string // client id or scope name; empty for tenants and keysets
	Base    uint64 // revision of the document it was computed from; 0 if there was none
	Flags   Flags
	Payload []byte
}

// Ref is the object that the mutation is about.
func (m Mutation) Ref() store.Ref {
	switch m.Kind {
	case TenantCreate, TenantUpdate, TenantDelete:
		return store.Ref{Kind: "tenant", Tenant: m.Tenant}
	case ClientCreate, ClientUpdate, ClientDelete:
		return store.Ref{Kind: "client", Tenant: m.Tenant, Name: m.Name}
	case ScopeCreate, ScopeDelete:
		return store.Ref{Kind: "scope", Tenant: m.Tenant, Name: m.Name}
	case KeyRotate:
		return store.Ref{Kind: "keyset", Tenant: m.Tenant}
	}
	return store.Ref{Kind: "system", Name: string(m.Kind)}
}

// Command is what one request became. All of its mutations take effect at one
// revision, or none does.
type Command struct {
	ID        string              // of the request; commands with the same id take effect once
	Digest    store.RequestDigest // of the request as the caller sent it
	Op        string              // what was asked for, such as client.create
	Actor     string              // who asked: unix/1000, operator/ana, system
	Time      store.Time          // read by the leader, once
	Asked     store.Time          // when the request was first made; 0 if its id tells nothing of its age
	Level     uint32
	Mutations []Mutation
}

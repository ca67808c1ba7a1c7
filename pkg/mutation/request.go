package mutation

import (
	"encoding/json"

	"github.com/cpctl/cpctl/pkg/store"
)

// Op is what a caller may ask for. Several become the same kind of mutation.
type Op string

const (
	OpTenantCreate       Op = "tenant.create"
	OpTenantUpdate       Op = "tenant.update"
	OpTenantDelete       Op = "tenant.delete"
	OpClientCreate       Op = "client.create"
	OpClientUpdate       Op = "client.update"
	OpClientDelete       Op = "client.delete"
	OpClientSecretRotate Op = "client.secret.rotate"
	OpClientSecretRevoke Op = "client.secret.revoke"
	OpScopeCreate        Op = "scope.create"
	OpScopeUpdate        Op = "scope.update"
	OpScopeDelete        Op = "scope.delete"
	OpKeyRotate          Op = "key.rotate"
	OpKeyRevoke          Op = "key.revoke"
)

// Request is a change as its caller asks for it, before the leader completes
// it. ID, Age and Seed are about the call, not the change: they are no part of
// its digest, and neither are DryRun and Again.
type Request struct {
	ID     string `json:"id"`
	AgeUS  int64  `json:"age_us,omitempty"`  // since the caller first made the request, microseconds
	NoTime bool   `json:"no_time,omitempty"` // the id was given by the caller and is no UUIDv7: its age is unknown
	Seed   []byte `json:"seed,omitempty"`    // 32 random bytes that a generated client secret is derived from
	DryRun bool   `json:"dry_run,omitempty"`
	Again  bool   `json:"again,omitempty"` // an earlier attempt may be on its way still

	Op     Op     `json:"op"`
	Tenant string `json:"tenant,omitempty"` // slug, or global for the platform's own keys
	Name   string `json:"name,omitempty"`   // slug of a tenant, client id, scope name; empty client id: make one

	Patch  json.RawMessage `json:"patch,omitempty"`  // the fields that are given (RFC 7396)
	Set    []store.Element `json:"set,omitempty"`    // one field each, by its path
	Add    []store.Element `json:"add,omitempty"`    // one element of a list each
	Remove []store.Element `json:"remove,omitempty"` // likewise

	IfRevision     *uint64 `json:"if_revision,omitempty"`
	IfNotExists    bool    `json:"if_not_exists,omitempty"`    // create: what exists is not an error
	IgnoreNotFound bool    `json:"ignore_not_found,omitempty"` // delete: what does not exist is not an error
	Detach         bool    `json:"detach,omitempty"`           // scope.delete: take it from its users

	Secret   *string         `json:"secret,omitempty"`    // client.create, client.secret.rotate: imported, in place of a generated one
	Overlap  *store.Duration `json:"overlap,omitempty"`   // client.secret.rotate: how long the old secret stays good
	SecretID string          `json:"secret_id,omitempty"` // client.secret.revoke
	Alg      string          `json:"alg,omitempty"`       // key.rotate: of the new key, the tenant's policy if empty
	KID      string          `json:"kid,omitempty"`       // key.revoke
	Reason   string          `json:"reason,omitempty"`    // key.revoke
}

// Outcome says what a write did.
type Outcome string

const (
	Created   Outcome = "created"
	Updated   Outcome = "updated"
	Deleted   Outcome = "deleted"
	Rotated   Outcome = "rotated"
	Revoked   Outcome = "revoked"
	Unchanged Outcome = "unchanged"
)

// OutcomeOf is what an operation does when it is accepted.
func OutcomeOf(op Op) Outcome {
	switch op {
	case OpTenantCreate, OpClientCreate, OpScopeCreate:
		return Created
	case OpTenantDelete, OpClientDelete, OpScopeDelete:
		return Deleted
	case OpKeyRotate, OpClientSecretRotate:
		return Rotated
	case OpKeyRevoke, OpClientSecretRevoke:
		return Revoked
	}
	return Updated
}

// MaxListed bounds the names in an Answer, which is one message.
const MaxListed = 1000

// Answer is what came of a request that was accepted. Refusals are errors.
type Answer struct {
	Outcome      Outcome         `json:"outcome"`
	Name         string          `json:"name"`                    // of the object: client/acme/web
	Deleted      []string        `json:"deleted,omitempty"`       // what a delete took away, the object first; at most MaxListed names
	DeletedTotal int             `json:"deleted_total,omitempty"` // how many it were
	Document     json.RawMessage `json:"document,omitempty"`      // as it is shown to people; none after a delete
	Secret       string          `json:"secret,omitempty"`        // generated, shown this once
	Note         string          `json:"note,omitempty"`          // for people
	Index        uint64          `json:"index"`                   // of the log entry that holds the change
	Revision     uint64          `json:"revision"`                // of the state after it
	Replayed     bool            `json:"replayed"`                // the request was done before: this is that answer
	Published    bool            `json:"published"`               // the node asked shows it in its files
	DryRun       bool            `json:"dry_run,omitempty"`       // checked, not committed
	Changed      bool            `json:"changed,omitempty"`       // Replayed: the document has changed or gone since
}

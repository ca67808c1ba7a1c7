// Package rpc is the wire to a node: net/rpc with typed errors, over the unix
// socket for operators on the machine and over TLS between nodes, and the
// streams beside it that carry archives. It knows what a node can do by the
// interface Node and nothing of raft.
package rpc

import (
	"encoding/json"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// ReadOptions say how new a read must be. The zero value is linearizable.
type ReadOptions struct {
	Stale    bool   `json:"stale,omitempty"`     // this node's state now, with or without a leader
	MinIndex uint64 `json:"min_index,omitempty"` // wait until this log index is applied here; implies Stale
}

// ReadInfo says what a read was answered from.
type ReadInfo struct {
	Index    uint64 `json:"index"`
	Revision uint64 `json:"revision"`
	Node     string `json:"node"`
	AgeMS    int64  `json:"age_ms"` // Stale: since the node last heard of a leader; -1 if it never did
}

// GetArgs names one document: a tenant (Name is its slug), client, scope,
// keyset or jwks (Tenant alone).
type GetArgs struct {
	Kind   string      `json:"kind"`
	Tenant string      `json:"tenant"`
	Name   string      `json:"name"`
	Read   ReadOptions `json:"read"`
}

// GetReply carries the document as it is shown to people.
type GetReply struct {
	ReadInfo
	Document json.RawMessage     `json:"document,omitempty"`
	Exports  []mutation.Exported `json:"exports,omitempty"` // of a keyset: who was given private parts, the last ones
}

// ListArgs asks for the documents of a kind (tenant, client, scope), sorted by
// file name. Limit 0 means all.
type ListArgs struct {
	Kind     string            `json:"kind"`
	Tenant   string            `json:"tenant"`
	Labels   map[string]string `json:"labels,omitempty"` // all must match
	Limit    int               `json:"limit,omitempty"`
	Continue string            `json:"continue,omitempty"` // the name after which to go on
	Read     ReadOptions       `json:"read"`
}

// ListReply is a page of documents as they are shown to people. Continue is
// empty when nothing is left.
type ListReply struct {
	ReadInfo
	Items    []json.RawMessage `json:"items"`
	Continue string            `json:"continue,omitempty"`
}

// ClusterStatus is the JSON of `cluster status`.
type ClusterStatus struct {
	FormatVersion string       `json:"format_version"`
	Kind          string       `json:"kind"` // cluster_status
	ClusterID     string       `json:"cluster_id"`
	Leader        string       `json:"leader"` // its name, empty if there is none
	Term          uint64       `json:"term"`
	CommitIndex   uint64       `json:"commit_index"`
	CanLose       int          `json:"can_lose"`   // how many voters may fail now before writes stop
	Autoremove    *Autoremove  `json:"autoremove"` // when members that are lost are removed; null: never
	Rekey         string       `json:"rekey"`      // a roll-over of the cluster key that is not at its end: begun, switched; else ""
	Counts        store.Counts `json:"counts"`
	Nodes         []NodeStatus `json:"nodes"` // sorted by name
}

// NodeStatus is one member of the cluster as the node asked sees it.
type NodeStatus struct {
	Name           string   `json:"name"`
	ID             string   `json:"id"`
	Address        string   `json:"address"`
	Role           string   `json:"role"`    // leader, follower, non-voter
	State          string   `json:"state"`   // alive, degraded, lost
	Reason         string   `json:"reason"`  // "", drift, leaving, disk_full, io_error, clock_skew, cluster_key, certificate_revoked, certificate_expired, authority_replaced, audit_log
	Leaving        *Leaving `json:"leaving"` // that it is removed was decided and is not done yet; null: it was not
	AppliedIndex   uint64   `json:"applied_index"`
	PublishedIndex uint64   `json:"published_index"`
	Revision       uint64   `json:"revision"`
	Lag            uint64   `json:"lag"`
	LastContactMS  int64    `json:"last_contact_ms"`
	ClockSkewMS    int64    `json:"clock_skew_ms"` // how far its clock is ahead of the median of the voters; 0 if by no more than 5 s
	Digest         string   `json:"digest"`
	StateDigest    string   `json:"state_digest"`
	Version        string   `json:"version"`
}

// Leaving is a decision about a member that is not carried out yet.
type Leaving struct {
	Why   string     `json:"why"` // removed by unix/0
	Since store.Time `json:"since"`
}

// HealthReply answers `cluster health`.
type HealthReply struct {
	Node   string `json:"node"`
	Leader string `json:"leader"`
	Index  uint64 `json:"index"`
	Ready  bool   `json:"ready"`  // a write would succeed through this node now
	Reason string `json:"reason"` // why not
}

// CheckArgs asks every member to check itself.
type CheckArgs struct {
	Repair bool `json:"repair,omitempty"` // put right what can be
}

// CheckReport is the JSON of `cluster check`.
type CheckReport struct {
	FormatVersion string      `json:"format_version"`
	Kind          string      `json:"kind"` // check_report
	ClusterID     string      `json:"cluster_id"`
	Repair        bool        `json:"repair"`
	Nodes         []NodeCheck `json:"nodes"` // sorted by name
}

// NodeCheck is what one member found.
type NodeCheck struct {
	Name        string  `json:"name"`
	ID          string  `json:"id"`
	Voter       bool    `json:"voter"`
	Checked     bool    `json:"checked"`
	Reason      string  `json:"reason"` // why it, or its files, were not checked
	Index       uint64  `json:"index"`
	StateDigest string  `json:"state_digest"`
	Faults      []Fault `json:"faults"`
	Drift       *Drift  `json:"drift"` // how its state differs from the majority's; null: it does not
	Hint        string  `json:"hint"`  // what to do about faults that cannot be repaired
}

// RestoreArgs goes before the archive.
type RestoreArgs struct {
	RequestID string `json:"request_id"`
	AgeUS     int64  `json:"age_us,omitempty"`  // since the caller first made it, microseconds
	NoTime    bool   `json:"no_time,omitempty"` // the id tells nothing of its age
	DryRun    bool   `json:"dry_run,omitempty"`

	ExpectRevision *uint64 `json:"expect_revision,omitempty"` // that the archive is to replace; none: any
}

// RestoreReply is the JSON of `restore`.
type RestoreReply struct {
	FormatVersion string            `json:"format_version"`
	Kind          string            `json:"kind"` // restore
	Archive       snapshot.Manifest `json:"archive"`
	*Difference                     // nil if an earlier attempt did it: how it was before is not known any more
	Changes       []Change          `json:"changes"`       // at most MaxChanges
	ChangedTotal  int               `json:"changed_total"` // how many there were
	Digest        string            `json:"digest"`        // of tenants/ and keys/ afterwards
	Revision      uint64            `json:"revision"`
	Index         uint64            `json:"index"`
	Replayed      bool              `json:"replayed"` // an earlier attempt did it; then no changes are listed
	Published     bool              `json:"published"`
	DryRun        bool              `json:"dry_run"`
}

// Difference is how a restore changes the state.
type Difference struct {
	Before  store.Counts `json:"before"`
	After   store.Counts `json:"after"`
	Added   int          `json:"added"`
	Changed int          `json:"changed"`
	Removed int          `json:"removed"`
}

// MaxChanges bounds the list of differences in a RestoreReply.
const MaxChanges = 1000

// Change is one document in which an archive and the state differ.
type Change struct {
	Op   string `json:"op"`   // "+" only in the archive, "-" only in the state, "~" in both
	Name string `json:"name"` // client/acme/web
}

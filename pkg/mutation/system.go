package mutation

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// Epoch is the payload of sys.epoch.
type Epoch struct {
	Node string `json:"node"`
	Term uint64 `json:"term"`
}

// Found is the payload of sys.found: what makes a cluster this one.
type Found struct {
	ClusterID  string       `json:"cluster_id"`
	Generation uint64       `json:"generation"`
	Recovery   string       `json:"recovery,omitempty"` // id of the recovery that made this generation; none: the founding
	CA         string       `json:"ca"`                 // certificate, PEM
	CAKey      store.Sealed `json:"ca_key"`             // its private key, sealed under the cluster key
	KeyCheck   string       `json:"key_check"`          // by which a node finds out that it has the right cluster key
	KeyID      string       `json:"key_id"`
	Level      uint32       `json:"level"`
	// RequestKey makes the digests of requests, sealed as well. Clusters that were
	// founded without one get it with their first change of the cluster key.
	RequestKey *store.Sealed `json:"request_key,omitempty"`
	Heirs
}

// Recover is the payload of sys.recover: the first command of a generation. The
// cluster goes on with one node, by what that node has; every other node of the
// generations before is removed.
type Recover struct {
	Generation  uint64      `json:"generation"`
	Recovery    string      `json:"recovery"`
	Certificate Certificate `json:"certificate"` // of the node, in its new generation
}

// Raise is the payload of sys.level.
type Raise struct {
	Level uint32 `json:"level"`
}

// Certificate is the payload of sys.cert and what system/certs/<serial>.json
// holds: who got it, and whether it is still good.
type Certificate struct {
	Serial   string     `json:"serial"`
	Role     string     `json:"role"`
	Name     string     `json:"name"`
	NodeID   string     `json:"node_id,omitempty"`
	Voter    bool       `json:"voter,omitempty"` // the node wants a vote once it has caught up
	NotAfter store.Time `json:"not_after"`
	IssuedAt store.Time `json:"issued_at"`
	Revoked  bool       `json:"revoked"`
	Why      string     `json:"why,omitempty"`

	// Only this certificate and those of its line are no longer good; without it
	// a revoked one is of a node that was removed.
	LineRevoked bool `json:"line_revoked,omitempty"`

	Tenant    string `json:"tenant,omitempty"`    // of a bound operator or reader
	Line      string `json:"line,omitempty"`      // serial of the first certificate, of which this one is a renewal; none: this is the first
	Authority string `json:"authority,omitempty"` // id of the one that signed it; none: the founding one
}

// Removed reports whether it is of a node that was removed.
func (c *Certificate) Removed() bool { return c.Revoked && !c.LineRevoked && c.NodeID != "" }

// Left reports whether that node was told to leave by itself.
func (c *Certificate) Left() bool { return c.Removed() && strings.HasPrefix(c.Why, leftAs) }

// Fate says of a revoked certificate what became of it: "was revoked by admin/ana",
// "was revoked: tenant acme was deleted by unix/0".
func (c *Certificate) Fate() string {
	switch {
	case strings.HasPrefix(c.Why, "revoked by "):
		return "was " + c.Why
	case c.Left():
		return "was revoked: its node " + c.Why
	}
	return "was revoked: " + c.Why
}

// LineOf is the serial by which a certificate and all its renewals are known.
func (c *Certificate) LineOf() string {
	if c.Line == "" {
		return c.Serial
	}
	return c.Line
}

// Revoke is the payload of sys.revoke: every certificate of a node, which is
// removed, or of a line.
type Revoke struct {
	NodeID string `json:"node_id"`
	Name   string `json:"name"`
	Why    string `json:"why"`
	Line   string `json:"line,omitempty"`
}

// Export is the payload of sys.export. It is in the log before the key is handed
// out, so that no export goes unrecorded; one that then failed is on record too.
type Export struct {
	Tenant string `json:"tenant"`        // slug, or global
	KID    string `json:"kid,omitempty"` // none: the active key, whichever that is by then
	Node   string `json:"node"`          // at whose socket it was asked for
}

// Exports is what system/exports/<slug>.json holds.
type Exports struct {
	Total uint64     `json:"total"`
	Last  []Exported `json:"last"` // the newest last, at most MaxExports
}

// MaxExports bounds the exports that are remembered of one owner's keys.
const MaxExports = 100

// Exported says who was given the private part of a key, where and when.
type Exported struct {
	KID   string     `json:"kid"`
	Actor string     `json:"actor"`
	Node  string     `json:"node"`
	At    store.Time `json:"at"`
}

// StageBegin is the payload of sys.stage.begin.
type StageBegin struct {
	Stage string `json:"stage"`
}

// StagePut is the payload of sys.stage.put: documents of one stage.
type StagePut struct {
	Stage string     `json:"stage"`
	Docs  []StageDoc `json:"docs"`
}

// StageDoc is one document as it will be, byte for byte; no bytes: deleted.
type StageDoc struct {
	Path  string `json:"path"`
	Bytes []byte `json:"bytes,omitempty"`
}

// StageCommit is the payload of sys.stage.commit. The stage was computed from
// the state at revision Base; Digest is what tenants/ and keys/ must come to.
type StageCommit struct {
	Stage    string  `json:"stage"`
	Base     uint64  `json:"base"`
	Digest   string  `json:"digest"`
	Revision uint64  `json:"revision"`         // of the archive: the state's goes on above both
	Expect   *uint64 `json:"expect,omitempty"` // the revision at which the caller wants the state to be; none: at any
}

// StageAbort is the payload of sys.stage.abort.
type StageAbort struct {
	Stage string `json:"stage"`
}

// systemPayload returns an empty payload of the kind, nil for the operators' own.
func systemPayload(kind Kind) any {
	switch kind {
	case SysEpoch:
		return new(Epoch)
	case SysFound:
		return new(Found)
	case SysRecover:
		return new(Recover)
	case SysLevel:
		return new(Raise)
	case SysCert:
		return new(Certificate)
	case SysRevoke:
		return new(Revoke)
	case SysCA:
		return new(Succession)
	case SysAnswer:
		return new(Answered)
	case SysExport:
		return new(Export)
	case SysToken:
		return new(Token)
	case SysTokenRevoke:
		return new(TokenRevoke)
	case SysEnrol:
		return new(Enrol)
	case SysRekey:
		return new(Rekey)
	case SysRewrap:
		return new(Rewrap)
	case SysLeave:
		return new(Leave)
	case SysVote:
		return new(Vote)
	case SysAutoremove:
		return new(Autoremove)
	case SysStageBegin:
		return new(StageBegin)
	case SysStagePut:
		return new(StagePut)
	case SysStageCommit:
		return new(StageCommit)
	case SysStageAbort:
		return new(StageAbort)
	}
	return nil
}

// System returns the decoded payload of one of the cluster's own mutations, a
// pointer. An unknown member is an error: this build would not do what it says.
func (m *Mutation) System() (any, error) {
	v := systemPayload(m.Kind)
	if v == nil {
		return nil, errors.New("not one of the cluster's own")
	}
	d := json.NewDecoder(bytes.NewReader(m.Payload))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("bytes after the payload")
	}
	return v, nil
}

package rpc

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// The protocols that a node speaks to others, by ALPN on its port and by the
// first line of a connection to its socket.
const (
	ProtocolRPC    = "cpctl-rpc/1"
	ProtocolStream = "cpctl-stream/1"
)

// Node is what the server needs of the raft node. What only a leader can do
// returns an error of CodeUnavailable elsewhere, with nothing changed.
type Node interface {
	Name() string
	ID() string
	ClusterID() string

	Image() *store.Image
	Readable() error                                                                  // whether stale reads may be answered
	ReadIndex(ctx context.Context) (uint64, error)                                    // leader only
	WaitApplied(ctx context.Context, index uint64) error                              // by this node
	WaitPublished(ctx context.Context, index uint64) error                            // in this node's files
	Stopping() bool                                                                   // it applies nothing more
	SinceContact() time.Duration                                                      // since it heard of a leader; negative: never
	Write(context.Context, *mutation.Request, access.Actor) (*mutation.Answer, error) // leader only

	Progress() Progress
	Check(ctx context.Context, repair bool) *SelfCheck
	Sound() *store.Error                                                       // why nothing is answered from this node's state; nil: it is
	DigestAt(ctx context.Context, index uint64, theirs string) (string, error) // of this node's state then; theirs is the asking node's
	Ready(ctx context.Context, by access.Actor) (uint64, error)                // leader only: whether a change would be made now, and the read index
	LastHeard(nodeID string) (Progress, bool)                                  // what another member said of itself before
	Members() []Member
	Roster() (members []Member, index uint64) // with the index of the entry that made them so
	Leader() (Member, bool)
	NameOf(nodeID string) string

	RecordExport(ctx context.Context, tenant, kid, node string, by access.Actor) (exported string, index uint64, err error) // leader only
	PrivateJWK(tenant, kid string) ([]byte, error)                                                                          // of this node's image

	Enrol(ctx context.Context, req EnrolArgs, by access.Actor) (*Enrolment, error)                                                  // leader only
	Admit(ctx context.Context, req AdmitArgs) error                                                                                 // leader only
	CreateToken(ctx context.Context, args TokenArgs, by access.Actor) (*Recorded, error)                                            // leader only
	RevokeToken(ctx context.Context, id string, by access.Actor) (*Recorded, error)                                                 // leader only
	Remove(ctx context.Context, args RemoveArgs, by access.Actor) (*Removal, error)                                                 // leader only
	Promote(ctx context.Context, name string, by access.Actor) (*Promotion, error)                                                  // leader only
	SetAutoremove(ctx context.Context, a mutation.Autoremove, seen *mutation.Autoremove, by access.Actor) (index uint64, err error) // leader only
	Departing() (done func())                                                                                                       // somebody has told this node to leave, and waits for an answer
	Depart(by string)                                                                                                               // it has left: it ends
	Transfer(ctx context.Context, args TransferArgs, by access.Actor) (*Transferred, error)                                         // leader only
	Restore(ctx context.Context, archive io.Reader, args RestoreArgs, by access.Actor) (*Restored, error)                           // leader only

	Rekey(ctx context.Context, args RekeyArgs, by access.Actor) (*RekeyReply, error) // leader only
	ClusterKey(keyID string) ([]byte, error)                                         // for another node

	Renew(ctx context.Context, csr []byte, by access.Actor) (*Enrolment, error)                                         // leader only
	Revoke(ctx context.Context, serial string, by access.Actor) (revoked mutation.Certificate, index uint64, err error) // leader only
	Rotate(ctx context.Context, args RotateArgs, by access.Actor) (*Authorities, error)                                 // leader only

	Good(by access.Actor) error                                      // what is wrong with somebody's certificate, as far as this node knows
	Farewell(serial, nodeID string) (why *store.Error, removed bool) // why the holder of a certificate is not served; nil: it is
	Dial(ctx context.Context, m Member, protocol string) (net.Conn, error)
	Listener(protocol string) net.Listener
}

// Member is one server of the cluster.
type Member struct {
	ID      string
	Name    string
	Address string // host:port
	Voter   bool
}

// Progress is how far a node has come and how it is, in its own words.
type Progress struct {
	Name        string
	ID          string
	Address     string
	Version     string
	Leads       bool
	Term        uint64
	Commit      uint64
	Applied     uint64
	Published   uint64
	Revision    uint64
	Digest      string
	StateDigest string
	Degraded    bool
	Reason      string
	KeyCheck    string
	KeyChecks   []string
	KeyLess     bool
	LogDir      string
	LogFree     uint64
	LogTotal    uint64
	Short       bool
	ContactMS   int64
	Unrecorded  string // why its audit log cannot be written
	Clock       int64
	SkewMS      int64

	Serial   string
	Trusts   string
	Standing string

	Drifted bool // its state is not the majority's
	Split   bool // its state is not that of others, and no majority tells which is right

	Seen time.Time `json:"-"`
}

// EnrolArgs is how a newcomer asks for a certificate: a node at the socket of
// another, or whoever shows a token. A person has no node id; the name may be
// empty, it is the token's.
type EnrolArgs struct {
	NodeID string
	Name   string
	CSR    []byte // DER
	Voter  bool
	Token  string // its id; none at a socket
	Secret []byte // of the token
}

// Enrolment is what it gets; who renews a certificate gets no cluster key.
type Enrolment struct {
	ClusterID  string
	Generation uint64
	CertPEM    []byte
	CAPEM      []byte
	ClusterKey []byte // of a node alone
}

// AdmitArgs asks for membership of a node that is enrolled and answers.
type AdmitArgs struct {
	NodeID  string
	Address string
	Moved   bool // it is a member, and was at another address before
}

// Restored says what a restore did, or would do.
type Restored struct {
	Archive  snapshot.Manifest
	Before   store.Counts
	After    store.Counts
	Changes  []snapshot.Change
	Digest   string
	Revision uint64
	Index    uint64
	Replayed bool
	Total    int
}

// SelfCheck is what a node found wrong with its own files.
type SelfCheck struct {
	Index       uint64 // of the state with which the files were compared
	StateDigest string
	Faults      []Fault
	Unchecked   string // why the files could not be compared, "" if they were
	Hint        string // how to bring back a node with faults that cannot be repaired
	Drift       *Drift // its state is not the majority's
}

// Drift is how the state of a node differs from that of the majority.
type Drift struct {
	Index  uint64 `json:"index"`  // of the log, at which they were compared
	Digest string `json:"digest"` // of this node's state there
	Right  string `json:"right"`  // of the majority's, "" if there is none
	Repair bool   `json:"repair"` // it was asked for, and goes on by itself
}

// Fault is one file that is not as it should be.
type Fault struct {
	Path     string `json:"path"` // in the data directory
	Problem  string `json:"problem"`
	Repaired bool   `json:"repaired"`
}

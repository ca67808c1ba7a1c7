// Package node is one raft member: it completes requests, carries commands
// through the log, and keeps the state machine, the files and the membership of
// the cluster. It knows nothing of the wire to its callers: package rpc asks it
// through an interface of its own, and cmd joins the two.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// The protocols on a node's one port, told apart by ALPN.
const (
	ProtocolRaft   = "cpctl-raft/1"
	ProtocolRPC    = "cpctl-rpc/1"
	ProtocolStream = "cpctl-stream/1"
	ProtocolEnrol  = "cpctl-enrol/1" // the only one without a certificate
)

// Config is how a node runs. The zero value of every field but Dir works.
type Config struct {
	Dir       string // the data directory, made if it is not there
	Name      string // unique in the cluster; the host name if empty
	Listen    string // host:port; 127.0.0.1:7700 if empty, port 0 picks one once and keeps it
	Advertise string // host:port by which the others reach this node; Listen if empty
	NonVoter  bool   // joins without a vote
	Group     int    // owner group of data/, 0 if the files are the node's alone
	Version   string // of the program, for status

	SnapshotInterval  time.Duration // how often to see whether a snapshot is due; 30 s if zero
	SnapshotThreshold uint64        // entries after which it is; 1024 if zero
	TrailingLogs      uint64        // entries kept behind a snapshot; 4096 if zero, at least 1024
	HeartbeatTimeout  time.Duration // 500 ms if zero
	ElectionTimeout   time.Duration // 500 ms if zero
	CertTTL           time.Duration // how long the certificates are good that this node signs while it leads; 90 days if zero, at least MinCertTTL

	Log  *slog.Logger
	Now  func() time.Time // the leader's clock; time.Now if nil
	Stop func(error)      // called once when the node cannot go on; ends the process (see ExitCode)

	Join Joiner // how a new node gets into a cluster; nil: it founds one

	space  func(dir string) (free, total uint64) // of the disk; diskSpace if nil, tests have others
	disk   disk.FS                               // the real one if nil, tests have others
	steady time.Duration                         // that a member keeps up before it votes; promoteAfter if zero
	step   func(n *Node, at string) error        // in a removal; nothing if nil, tests end a leader there
	boot   string                                // id of the boot; the kernel's if empty

	keptLog int64                                                       // bytes that stay of a log that is cut; keptLogBytes if zero, tests have less
	before  func(*mutation.Command)                                     // is told of each command before this node proposes it; may block
	dialer  func(ctx context.Context, address string) (net.Conn, error) // to other members; of TCP if nil, tests have others

	between func(raft.BatchingFSM) raft.BatchingFSM // stands between raft and the state machine; nil, but in tests

	// FetchKey asks another member for a cluster key, by its id. Nil: nobody is asked.
	FetchKey func(ctx context.Context, m Member, keyID string) ([]byte, error)

	// Probe asks another member how it is. Nil: only what raft knows is used.
	// Its error is of ErrRemoved or ErrRevoked when that member said so.
	Probe func(ctx context.Context, m Member) (Progress, error)

	// DigestAt asks another member for the digest of its state at a log index, and
	// tells it this node's, "" if that does not matter. Nil: states are not compared.
	DigestAt func(ctx context.Context, m Member, index uint64, own string) (string, error)
	// FetchState has another member send its state, of an index or a later one:
	// take gets what the archive will be, and the archive. Nil: there is no repair.
	FetchState func(ctx context.Context, m Member, behind uint64, take func(snapshot.Manifest, io.Reader) error) error
	// Seek are addresses, HOST:PORT, where other members may be found when none is
	// where this node knows it to be.
	Seek []string
	// Move asks another member to tell the leader that this node is at another
	// address now. Nil: a node that does not lead cannot say so.
	Move func(ctx context.Context, to Member, req AdmitRequest) error

	// Record puts on record what a leader does of its own accord. Nil: nobody does.
	Record func(audit.Event)
	// Refused is told of connections that were refused to somebody with a
	// certificate of this cluster. Nil: nobody wants to know.
	Refused func(by access.Actor, protocol string, err error)
	// Renew asks the leader for the next certificate of this node. Nil: a node
	// that does not lead cannot renew.
	Renew func(ctx context.Context, leader Member, csr []byte) (*Enrolment, error)
}

// ErrRemoved is given to Stop when this node is no longer a member.
var ErrRemoved = errors.New("this node was removed from the cluster")

// ExitCode is the process's exit code for an error given to Stop.
func ExitCode(err error) int {
	switch {
	case errors.Is(err, mutation.ErrUnreadable), errors.Is(err, store.ErrNewer):
		return 12
	case errors.Is(err, store.ErrIntegrity): // also of a log entry: it was written, and is no longer what it was
		return 11
	case errors.Is(err, ErrLog), errors.Is(err, fsm.ErrMarker):
		return 13
	}
	return 1
}

// Node is a running member.
type Node struct {
	cfg  Config
	dir  *dataDir
	self *identity
	keys keyring
	own  atomic.Pointer[own] // certificate, its key, and who is trusted

	selfMade atomic.Pointer[own] // the own that this node has signed itself; see findBack

	logs      *logStore
	committed *publish.CommittedMarker
	files     *publish.Publisher
	fsm       *fsm.FSM
	port      net.Listener // held until mux has it
	mux       *Mux
	running   atomic.Pointer[running]      // raft and its transport; made anew by restartRaft
	stale     chan struct{}                // raft's memory of its log is wrong: restart it
	lifecycle sync.Mutex                   // one of restartRaft and Close at a time
	loaded    bool                         // the state is what it was before the start
	begun     uint64                       // index of the state that the node started with
	ends      struct{ index, term uint64 } // the last entry of the log at the start

	proposer   *proposer
	confirm    confirmer
	lead       atomic.Pointer[leadership]
	ledger     ledger
	spareLook  lastLook // at the disk of the log
	dirLook    lastLook // at the one that was asked about
	ration     allowance
	handing    atomic.Pointer[string]    // name of the voter to which leadership is being handed
	spaces     atomic.Pointer[spaces]    // the disks of the other voters; kept by watch
	look       chan struct{}             // makes watch look at once
	clocks     clocks                    // of the other members
	median     atomic.Pointer[reading]   // the time of the cluster; nil while it is not known
	skewed     atomic.Bool               // that it was said of this node's clock
	clockYield atomic.Pointer[time.Time] // when this node last handed leadership over because of its clock
	settling   sync.Mutex                // held while settled changes
	unnoted    publish.Committed         // what would be in raft/committed if it were settled
	settled    atomic.Bool               // the image is not older than what this node showed before its start

	notes                 chan bool // raft's notes of leadership won and lost
	peers                 peerStates
	members               turn // one change of membership at a time
	spells                spells
	hints                 hints
	moving                atomic.Bool // it is telling the leader where it is
	moved                 time.Time   // since when, zero if it has not to; and unmoved: of that goroutine
	unmoved               said
	departing             atomic.Int32 // callers who have told this node to leave, and wait
	dismissals            dismissals
	parting               sync.Once
	unfinished, unremoved said // of tend
	copied                lockedSaid
	writers               gate // shut while a restore commits
	requests              atomic.Pointer[knownRequestKey]
	rekeying              chan struct{} // holds one token while nobody rolls the cluster key over here
	restoring             restoring
	open                  *conns                // connections to whoever has a certificate
	swept                 chan struct{}         // makes sweeping look at them
	trust                 chan struct{}         // makes keepCertificate look at once
	tlsFiles              sync.Mutex            // held while tls/ is changed, or compared
	renewing              sync.Mutex            // one renewal of a person at a time: they are counted
	rotating              sync.Mutex            // one step of a roll-over of the authority at a time
	refused               atomic.Pointer[error] // why the others do not talk to this node
	strangers             strangers
	closing               chan struct{}
	alive                 context.Context // ends with closing
	stop                  context.CancelFunc
	stopped               sync.Once
	done                  sync.WaitGroup

	drift     atomic.Pointer[Drift] // set while the state is known not to be the majority's
	driftKept atomic.Pointer[Drift] // what of it is on the disk
	split     atomic.Bool           // states differ, and no majority tells which is right
	doubt     chan struct{}         // another node has found that its state differs from this one's
	mend      chan struct{}         // makes repairing look at once
	repairs   repairs
	adopting  chan adoption

	// The rest belongs to watch.
	heardAt     time.Time     // when the voters were last asked for their digests
	hearPause   time.Duration // before they are asked again
	splits      int           // how often in a row no majority was found
	driftOthers string        // who was said to differ
}

// Image returns the newest state of this node. It never changes.
func (n *Node) Image() *store.Image { return n.fsm.Image() }

// Name returns the node's name.
func (n *Node) Name() string { return n.self.Name }

// ID returns the node's id.
func (n *Node) ID() string { return n.self.NodeID }

// ClusterID returns the id of the cluster.
func (n *Node) ClusterID() string { return n.self.ClusterID }

// Address returns the host:port by which the others reach this node.
func (n *Node) Address() string { return n.self.Advertise }

// Listener returns the accepted connections of one protocol of the port. Their
// peers hold a good certificate of this cluster, but for those of ProtocolEnrol.
func (n *Node) Listener(protocol string) net.Listener { return n.mux.Listener(protocol) }

// Dial connects to another member with one of the port's protocols. The peer is
// the member, or the connection fails.
func (n *Node) Dial(ctx context.Context, m Member, protocol string) (net.Conn, error) {
	return n.hints.dial(m.ID, m.Address, func(address string) (net.Conn, error) { return n.dial(ctx, m.ID, address, protocol) })
}

func (n *Node) dial(ctx context.Context, nodeID, address, protocol string) (net.Conn, error) {
	cfg, err := n.dialTLS(nodeID, protocol)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	return n.open.dial(ctx, cfg, address)
}

// Revoked reports whether a certificate was taken back, as far as this node knows.
func (n *Node) Revoked(serial string) bool {
	if n.fsm == nil {
		return false
	}
	return certificateOf(n.fsm.Image(), serial).Revoked
}

// WaitApplied returns when this node has applied a log index.
func (n *Node) WaitApplied(ctx context.Context, index uint64) error {
	if err := n.sound(); err != nil {
		return err
	}
	ctx, cancel := n.whileAlive(ctx)
	defer cancel()
	if err := n.fsm.Wait(ctx, index); err != nil {
		if n.Stopping() {
			return store.Errorf(store.CodeUnavailable, "node %s is stopping", n.self.Name)
		}
		return store.Errorf(store.CodeUnavailable, "node %s has applied index %d, not %d yet", n.self.Name, n.fsm.Image().Index, index)
	}
	return nil
}

// WaitPublished returns when this node's files show a log index. It fails when
// they cannot be written now.
func (n *Node) WaitPublished(ctx context.Context, index uint64) error {
	ctx, cancel := n.whileAlive(ctx)
	defer cancel()
	return n.files.Wait(ctx, index)
}

// Stopping reports whether this node is about to end: it applies nothing more.
func (n *Node) Stopping() bool { return n.alive.Err() != nil }

// whileAlive ends a wait also when this node stops.
func (n *Node) whileAlive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(n.alive, cancel)
	return ctx, func() { forget(); cancel() }
}

// Readable reports whether stale reads may be answered: after a start without a
// marker the node first has to hear from a quorum, and a wrong state is not read.
func (n *Node) Readable() error {
	if err := n.sound(); err != nil {
		return err
	}
	if n.settled.Load() {
		return nil
	}
	return store.Errorf(store.CodeUnavailable, "node %s does not know yet how far it had come before its start; it needs a leader first", n.self.Name)
}

// fail ends the node's work: the process is about to end.
func (n *Node) fail(err error) {
	n.stopped.Do(func() {
		if ExitCode(err) != 13 { // a log that cannot be written ends the process also on its way out: raft must not go on
			select {
			case <-n.closing:
				return
			default:
			}
		}
		if errors.Is(err, ErrLeft) {
			n.cfg.Log.Info("the node stops, and is not to be started again", "reason", err)
		} else {
			n.cfg.Log.Error("the node stops", "error", err)
		}
		n.cfg.Stop(n.advise(err))
	})
}

// Close hands leadership over, stops raft, publishes what is pending and closes
// every file.
func (n *Node) Close() error {
	if n.raft().State() == raft.Leader && n.voters() > 1 {
		n.handOver()
	}
	close(n.closing)
	n.stop()
	n.lifecycle.Lock()
	ended := n.running.Load().stop()
	n.lifecycle.Unlock()
	if errors.Is(ended, errStuck) {
		n.cfg.Log.Warn("stopping all the same", "error", ended)
		ended = nil
	}
	errs := []error{ended, n.mux.Close()}
	n.proposer.close()
	n.done.Wait()
	if err := n.files.Close(); err != nil { // they are put right at the next start; the log has everything
		n.cfg.Log.Warn("stopping with files that are not up to date", "error", err)
	}
	errs = append(errs, n.committed.Close(), n.logs.Close(), n.dir.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop node %s: %w", n.self.Name, err)
	}
	return nil
}

// handOver lets another voter lead before this node stops: the best one, or
// whoever answers. It is a courtesy that spares the cluster an election, and ends
// once another leads: until then this node's vote may be needed.
func (n *Node) handOver() {
	for _, to := range n.successors() {
		if !to.answers {
			break
		}
		term := n.raft().CurrentTerm()
		err := n.handTo(to.Member)
		if err == nil {
			ctx, cancel := context.WithTimeout(n.alive, 2*n.cfg.ElectionTimeout)
			_, err = n.succeeded(ctx, to.Member, term)
			cancel()
		}
		if err == nil || n.raft().State() != raft.Leader {
			return
		}
		n.cfg.Log.Warn("leadership was not handed over", "to", to.Name, "error", err)
	}
}

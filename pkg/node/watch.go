package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
)

// Progress is how far a node has come and how it is.
type Progress struct {
	Name        string
	ID          string
	Address     string
	Version     string
	Leads       bool
	Term        uint64
	Commit      uint64 // as far as the node knows
	Applied     uint64
	Published   uint64
	Revision    uint64
	Digest      string // of tenants/ and keys/
	StateDigest string
	Degraded    bool
	Reason      string   // disk_full, io_error, drift
	KeyCheck    string   // of the first cluster key that it has
	KeyChecks   []string // of all that it has, on its disk
	KeyLess     bool     // it does not have the key that seals, by its own state
	LogDir      string   // raft/, with what is free on its disk, bytes; no total: it could not be asked
	LogFree     uint64
	LogTotal    uint64
	Short       bool   // too little is free there: the leader takes no changes
	ContactMS   int64  // since it last heard of a leader; -1 never
	Unrecorded  string // why its audit log cannot be written; package rpc knows
	Clock       int64  // what its clock shows, microseconds since 1970
	SkewMS      int64  // how far that is ahead of the median of the voters, if it is off by more than it may be

	Serial   string // of the certificate that it uses
	Trusts   string // names the authorities that it trusts (pki.BundleID)
	Standing string // certificate_revoked, certificate_expired, authority_replaced; "" if its certificate is good

	Drifted bool // its state is not the majority's: it answers nothing from it
	Split   bool // its state is not that of others, and no majority tells which is right

	Seen time.Time `json:"-"` // when this node last heard it, by this node's clock
}

const (
	watchEvery = 500 * time.Millisecond
	lostAfter  = 5 * time.Second // without an answer a member counts as lost

	followerTurns = 6 // a follower asks the others this many times less often: only status wants to know
)

// peerStates is what the others last said of themselves.
type peerStates struct {
	mu sync.Mutex
	m  map[string]peerState
}

type peerState struct {
	Progress
	settled uint64 // of the ledger, before it was asked
}

// fresh reports whether it was said a moment ago; what is older says nothing
// about a member any more.
func (p peerState) fresh() bool { return time.Since(p.Seen) < lostAfter }

func (p *peerStates) state(id string) (peerState, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.m[id]
	return s, ok
}

func (p *peerStates) set(id string, s peerState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil {
		p.m = map[string]peerState{}
	}
	p.m[id] = s
}

// heard returns what a member said of itself a moment ago.
func (n *Node) heard(nodeID string) (Progress, bool) {
	p, ok := n.peers.state(nodeID)
	return p.Progress, ok && p.fresh()
}

// LastHeard returns what a member last said of itself, and when in Seen.
func (n *Node) LastHeard(nodeID string) (Progress, bool) {
	p, ok := n.peers.state(nodeID)
	return p.Progress, ok
}

// Progress tells how this node is.
func (n *Node) Progress() Progress {
	img, files, disk, ring := n.Image(), n.files.Status(), n.space(), n.ring()
	p := Progress{Name: n.self.Name, ID: n.self.NodeID, Address: n.self.Advertise, Version: n.cfg.Version, Leads: n.Leads(),
		Term: n.raft().CurrentTerm(), Commit: n.raft().CommitIndex(), Applied: img.Index, Published: files.PublishedIndex,
		Revision: img.Revision(), Digest: img.DataDigest(), StateDigest: img.StateDigest(), Degraded: files.Degraded, Reason: files.Reason,
		KeyCheck: ring.First().Check(), KeyChecks: ring.Checks(), KeyLess: n.lacksKey(img), LogDir: disk.dir, LogFree: disk.free, LogTotal: disk.total, Short: disk.left(false) <= 0,
		ContactMS: n.SinceContact().Milliseconds(), Standing: n.standing(), Clock: n.cfg.Now().UnixMicro(), SkewMS: n.skew().Milliseconds(), Drifted: n.Drifted() != nil, Split: n.split.Load()}
	own := n.own.Load()
	p.Serial, p.Trusts = own.id.Serial, pki.BundleID(own.CAPEM)
	if n.SinceContact() < 0 {
		p.ContactMS = -1
	}
	return p
}

// has reports whether the node has a cluster key, on its disk.
func (p *Progress) has(key mutation.KeyName) bool {
	return p.KeyCheck == key.Check || slices.Contains(p.KeyChecks, key.Check)
}

// SinceContact is how long ago this node last heard of a leader: 0 while it
// leads, negative if it never did.
func (n *Node) SinceContact() time.Duration {
	if n.raft().State() == raft.Leader {
		return 0
	}
	at := n.raft().LastContact()
	if at.IsZero() {
		return -1
	}
	return time.Since(at)
}

// watch keeps an eye on this node and, while it leads, on the others.
func (n *Node) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	asked := false
	for turn := 0; ; turn++ {
		self := n.Progress()
		self.Seen = time.Now()
		n.peers.set(n.self.NodeID, peerState{Progress: self})
		if !n.settled.Load() && n.caughtUp() {
			if n.settle() != nil { // said and done by the marker's OnFail
				return
			}
		}
		if n.raft().State() == raft.Shutdown {
			n.hearWhy()
			n.fail(ErrRemoved)
			return
		}
		if n.cfg.Probe != nil && (n.Leads() || turn%followerTurns == 0 || n.median.Load() == nil) {
			n.probeAll()
		}
		n.noteSpaces()
		n.keepAddress()
		n.lookAtClock()
		n.keepDrift()
		n.compareStates(asked)
		asked = false
		select {
		case <-tick.C:
		case <-n.look:
		case <-n.doubt:
			asked = true
		case a := <-n.adopting:
			a.done <- n.takeOver(a)
		case <-n.stale:
			if err := n.restartRaft(); err != nil {
				n.fail(err)
				return
			}
		case <-n.closing:
			return
		}
	}
}

// askAround finds out at once how the others are, and what time it is.
func (n *Node) askAround() {
	if n.cfg.Probe != nil {
		n.probeAll()
		n.lookAtClock()
	}
}

// probeAll asks every other member how it is, all at once.
func (n *Node) probeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*watchEvery)
	defer cancel()
	var asked sync.WaitGroup
	l, all := n.lead.Load(), n.Members()
	var mu sync.Mutex
	self := n.self.NodeID
	answered, well := map[string]bool{self: true}, map[string]bool{self: true}
	for _, m := range all {
		if m.ID == self {
			continue
		}
		asked.Add(1)
		go func() {
			defer asked.Done()
			settled, began := n.ledger.settled.Load(), time.Now()
			p, err := n.cfg.Probe(ctx, m)
			if err != nil {
				n.cfg.Log.Debug("a member does not answer", "name", m.Name, "error", err)
				n.heed(m, err)
				return
			}
			n.clocks.read(m.ID, p.Clock, began)
			p.Seen = time.Now()
			n.peers.set(m.ID, peerState{p, settled})
			mu.Lock()
			answered[m.ID], well[m.ID] = true, n.wellNow(&p)
			mu.Unlock()
			n.noteSpaces() // one that does not answer must not make the others' answers old
		}()
	}
	asked.Wait()
	if l != nil && l == n.lead.Load() {
		n.spells.round(l, time.Now(), all, answered, well)
	}
}

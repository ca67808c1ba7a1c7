package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// The timings of raft. 500 ms brings a new leader within about a second; on
// slow links they are raised by flags.
const (
	defaultTimeout  = 500 * time.Millisecond
	commitTimeout   = 5 * time.Millisecond // how long a follower may be behind what the leader has answered
	minTrailingLogs = 1024
	keepSnapshots   = 3
	applyBatch      = 64
)

// Open starts the node in cfg.Dir: a new cluster of one in an empty directory,
// or with cfg.Join a new member of an existing one; else the member that the
// directory belongs to, to which cfg.Join means nothing. It returns when the node
// has all that it showed before its last stop, with or without peers.
func Open(ctx context.Context, cfg Config) (n *Node, err error) {
	cfg = cfg.withDefaults()
	if err := checkConfig(cfg); err != nil {
		return nil, err
	}
	dir, err := openDir(cfg.disk, cfg.Dir, cfg.Group != 0)
	if err != nil {
		return nil, err
	}
	n = &Node{cfg: cfg, dir: dir, closing: make(chan struct{}), notes: make(chan bool, 64), stale: make(chan struct{}, 1), look: make(chan struct{}, 1),
		doubt: make(chan struct{}, 1), mend: make(chan struct{}, 1), adopting: make(chan adoption),
		swept: make(chan struct{}, 1), trust: make(chan struct{}, 1), rekeying: make(chan struct{}, 1), members: newTurn()}
	n.hints.known = map[string]hint{}
	n.alive, n.stop = context.WithCancel(context.Background())
	n.open = newConns(n.barred)
	n.open.met = n.met
	if cfg.dialer != nil {
		n.open.dialer = cfg.dialer
	}
	n.rekeying <- struct{}{}
	opened := n // a return of an error sets n to nil
	defer func() {
		if err != nil {
			err = opened.advise(err)
			opened.release()
		}
	}()
	birth, err := n.become(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.loadSecrets(); err != nil {
		return nil, err
	}
	if err := n.openState(); err != nil {
		return nil, err
	}
	n.refresh()
	if err := n.openRaft(birth != nil); err != nil {
		return nil, err
	}
	n.proposer = newProposer(n)
	joining := n.self.Phase == phaseJoining // before anybody may change it
	n.goRun(n.proposer.run)
	n.goRun(func() { n.follow(birth) })
	n.goRun(n.watch)
	n.goRun(n.watchSilence)
	n.goRun(n.sweeping)
	n.goRun(n.keepLogShort)
	n.goRun(n.keepCertificate)
	n.goRun(n.watchKeys)
	n.goRun(n.repairing)
	if joining {
		n.goRun(n.join)
	}
	return n, nil
}

func (n *Node) goRun(f func()) {
	n.done.Add(1)
	go func() { defer n.done.Done(); f() }()
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name, _ = os.Hostname()
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:7700"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.disk = disk.Or(c.disk)
	if c.space == nil {
		c.space = diskSpace
	}
	if c.keptLog == 0 {
		c.keptLog = keptLogBytes
	}
	if c.Record == nil {
		c.Record = func(audit.Event) {}
	}
	if c.Refused == nil {
		c.Refused = func(access.Actor, string, error) {}
	}
	if c.SnapshotInterval == 0 {
		c.SnapshotInterval = 30 * time.Second
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = 1024
	}
	if c.TrailingLogs == 0 {
		c.TrailingLogs = 4096
	}
	c.TrailingLogs = max(c.TrailingLogs, minTrailingLogs) // fewer lets a slow follower loop on snapshots
	if c.HeartbeatTimeout == 0 {
		c.HeartbeatTimeout = defaultTimeout
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = defaultTimeout
	}
	if c.steady == 0 {
		c.steady = promoteAfter
	}
	if c.CertTTL == 0 {
		c.CertTTL = defaultCertTTL
	}
	return c
}

// become finds out who this node is, and makes it somebody in an empty
// directory. It returns the founding that is still to be put on record.
func (n *Node) become(ctx context.Context) (*founding, error) {
	switch begun, err := n.dir.recovering(); {
	case err != nil:
		return nil, err
	case begun != nil:
		if err := n.dir.finishRecovery(begun); err != nil {
			return nil, fmt.Errorf("finish the recovery that was begun in %s: %w", n.dir.path, err)
		}
		n.cfg.Log.Warn("finished the recovery that was begun here", "cluster", begun.Self.ClusterID, "generation", begun.Self.Generation, "log of before", n.dir.file(begun.Aside))
	}
	if _, err := os.Lstat(n.dir.file(offlineFile)); err == nil {
		return nil, store.Errorf(store.CodeRefused, "the restore of an archive into %s was cut short", n.dir.path).
			WithHint("run it again, it removes what it has left: cpctl restore FILE --offline --data-dir %s", n.dir.path)
	}
	if err := n.dir.tidy(); err != nil {
		return nil, err
	}
	if err := n.dir.checkModes(); err != nil {
		return nil, err
	}
	id, err := n.dir.load()
	if err != nil {
		return nil, err
	}
	if err := n.dir.checkGone(id); err != nil {
		return nil, err
	}
	if id != nil && id.Phase != phaseFounding { // left by a crash behind the last step of founding
		if err := disk.Remove(n.cfg.disk, n.dir.file("founding.json")); err != nil {
			return nil, err
		}
	}
	if _, err := os.Lstat(n.dir.file(newcomerFile)); err == nil {
		switch {
		case id != nil: // likewise, of enrolment
			if err := disk.Remove(n.cfg.disk, n.dir.file(newcomerFile)); err != nil {
				return nil, err
			}
		case n.cfg.Join == nil:
			return nil, store.Errorf(store.CodeInvalid, "this directory was on its way into a cluster that others have founded").
				WithHint("start it with --join to finish that; to found a new cluster, take an empty directory")
		}
	}
	var birth *founding
	switch {
	case id == nil && n.cfg.Join == nil && n.cfg.NonVoter:
		return nil, store.Errorf(store.CodeInvalid, "a node without a vote cannot found a cluster").WithHint("name one to join with --join")
	case id == nil && n.cfg.Join == nil:
		if err := n.holdPort(); err != nil {
			return nil, err
		}
		if id, birth, err = n.dir.found(n.cfg.Name, n.cfg.CertTTL, n.cfg.Now()); err != nil {
			return nil, fmt.Errorf("found a cluster: %w", err)
		}
		n.cfg.Log.Info("founded a new cluster", "cluster", id.ClusterID, "node", id.NodeID)
	case id == nil:
		if id, err = n.enrol(ctx); err != nil {
			return nil, err
		}
	case n.cfg.Join != nil && id.Phase != phaseJoining:
		n.cfg.Log.Info("this directory belongs to a cluster already: --join and --token-file are ignored, but that --join says where others may be", "cluster", id.ClusterID, "node", id.NodeID)
	}
	if id.Phase == phaseJoining && n.cfg.Join == nil {
		return nil, store.Errorf(store.CodeInvalid, "this directory was on its way into cluster %s; start it with --join to finish that", id.ClusterID)
	}
	if id.Phase == phaseFounding && birth == nil {
		birth = new(founding)
		if _, err := n.dir.loadRecord("founding.json", birth); err != nil {
			return nil, err
		}
	}
	n.self = id
	return birth, nil
}

func (n *Node) raftConfig() *raft.Config {
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(n.self.NodeID)
	cfg.HeartbeatTimeout, cfg.ElectionTimeout = n.cfg.HeartbeatTimeout, n.cfg.ElectionTimeout
	cfg.LeaderLeaseTimeout = n.cfg.HeartbeatTimeout / 2
	cfg.CommitTimeout = commitTimeout
	cfg.MaxAppendEntries = applyBatch
	cfg.SnapshotInterval, cfg.SnapshotThreshold = n.cfg.SnapshotInterval, n.cfg.SnapshotThreshold
	cfg.TrailingLogs = n.cfg.TrailingLogs
	cfg.NoSnapshotRestoreOnStart = true // openState has done it, and gone further
	cfg.NoLegacyTelemetry = true
	cfg.ShutdownOnRemove = true
	cfg.NotifyCh = n.notes
	cfg.Logger = raftLogger(n.cfg.Log)
	return cfg
}

// release closes what a failed Open has opened.
func (n *Node) release() {
	if n.mux != nil {
		n.mux.Close()
	}
	if n.port != nil {
		n.port.Close()
	}
	if n.files != nil {
		n.files.Close()
	}
	if n.committed != nil {
		n.committed.Close()
	}
	if n.logs != nil {
		n.logs.Close()
	}
	n.dir.close()
}

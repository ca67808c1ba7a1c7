package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// The timings of raft. 500 ms brings a new leader within about a second; on
// slow links they are raised by flags.
const (
	defaultTimeout  = 500 * time.Millisecond
	commitTimeout   = 5 * time.Millisecond // how long a follower may be behind what the leader has answered
	minTrailingLogs = 1024
	cachedLogs      = 128 // newest entries kept in memory for followers; at most 32 MiB, since most hold less than 256 KiB
	keepSnapshots   = 3
	applyBatch      = 64
)

// Open starts the node in cfg.Dir: a new cluster of one in an empty directory,
// or with cfg.Join a new member of an existing one; else the member that the
// directory belongs to, to which cfg.Join means nothing. It returns when the node
// has all that it showed before its last stop, with or without peers.
func Open(ctx context.Context, cfg Config) (n *Node, err error) {
	cfg = cfg.withDefaults()
	dir, err := openDir(cfg.Dir, cfg.Group != 0)
	if err != nil {
		return nil, err
	}
	n = &Node{cfg: cfg, dir: dir, closing: make(chan struct{}), notes: make(chan bool, 64), stale: make(chan struct{}, 1)}
	opened := n // a return of an error sets n to nil
	defer func() {
		if err != nil {
			opened.release()
		}
	}()
	birth, err := n.become(ctx)
	if err != nil {
		return nil, err
	}
	if n.key, n.tls, err = dir.loadSecrets(); err != nil {
		return nil, fmt.Errorf("read the node's secrets: %w", err)
	}
	if err := n.openState(); err != nil {
		return nil, err
	}
	if err := n.openRaft(birth != nil); err != nil {
		return nil, err
	}
	n.proposer = newProposer(n.running.Load, n.cfg.Now)
	joining := n.self.Phase == phaseJoining // before anybody may change it
	n.goRun(n.proposer.run)
	n.goRun(func() { n.follow(birth) })
	n.goRun(n.watch)
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
	if c.space == nil {
		c.space = diskSpace
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
	return c
}

// become finds out who this node is, and makes it somebody in an empty
// directory. It returns the founding that is still to be put on record.
func (n *Node) become(ctx context.Context) (*founding, error) {
	if err := n.dir.tidy(); err != nil {
		return nil, err
	}
	id, err := n.dir.load()
	if err != nil {
		return nil, err
	}
	var birth *founding
	switch {
	case id == nil && n.cfg.Join == nil:
		if id, birth, err = n.dir.found(n.cfg.Name, n.cfg.Now()); err != nil {
			return nil, fmt.Errorf("found a cluster: %w", err)
		}
		n.cfg.Log.Info("founded a new cluster", "cluster", id.ClusterID, "node", id.NodeID)
	case id == nil:
		if id, err = n.enrol(ctx); err != nil {
			return nil, err
		}
	case n.cfg.Join != nil && id.Phase != phaseJoining:
		n.cfg.Log.Info("this directory belongs to a cluster already: --join is ignored", "cluster", id.ClusterID, "node", id.NodeID)
	}
	if id.Phase == phaseJoining && n.cfg.Join == nil {
		return nil, store.Errorf(store.CodeInvalid, "this directory was on its way into cluster %s; start it with --join to finish that", id.ClusterID)
	}
	if id.Phase == phaseFounding && birth == nil {
		b, err := os.ReadFile(n.dir.file("founding.json"))
		if err != nil {
			return nil, err
		}
		birth = new(founding)
		if err := json.Unmarshal(b, birth); err != nil {
			return nil, store.Errorf(store.CodeIntegrity, "%s cannot be read: %v", n.dir.file("founding.json"), err)
		}
	}
	n.self = id
	return birth, nil
}

// openState brings the state in memory to where it was: the newest snapshot,
// and the log up to the index that this node has shown.
func (n *Node) openState() error {
	raftDir := n.dir.file("raft")
	if err := os.MkdirAll(raftDir, 0o700); err != nil {
		return err
	}
	var err error
	if n.logs, err = openLog(filepath.Join(raftDir, "raft.db"), func(err error) { n.fail(fmt.Errorf("%w: %w", ErrLog, err)) }); err != nil {
		return err
	}
	var shown publish.Committed
	var known bool
	if n.committed, shown, known, err = publish.OpenCommitted(filepath.Join(raftDir, "committed"), n.self.ClusterID); err != nil {
		return err
	}
	n.committed.OnFail(func(err error) { n.fail(fmt.Errorf("%w: %w", fsm.ErrMarker, err)) })
	img, err := n.newestSnapshot()
	if err != nil {
		return err
	}
	if n.files, err = publish.Open(publish.Config{Dir: n.cfg.Dir, ClusterID: n.self.ClusterID, Group: group(n.cfg.Group), Log: n.cfg.Log}); err != nil {
		return err
	}
	n.fsm = fsm.New(fsm.Config{Image: img, ClusterID: func() string { return n.self.ClusterID }, Commit: n.committed.Write, Files: n.files, Stop: n.fail})
	last, err := n.logs.LastIndex()
	if err != nil {
		return err
	}
	if known && shown.Index > img.Index {
		if err := n.replay(shown, last); err != nil {
			return err
		}
	}
	n.settled.Store(known || last == 0)
	n.begun = n.fsm.Image().Index
	n.files.Start(n.fsm.Image())
	return nil
}

// group is how package publish writes "no group".
func group(gid int) int {
	if gid == 0 {
		return -1
	}
	return gid
}

// replay applies the local log up to what this node has shown: it is known to
// be committed.
func (n *Node) replay(shown publish.Committed, last uint64) error {
	rejoin := "to bring this node back: stop it, remove it (cpctl cluster remove " + n.self.Name + "), empty its data directory and join it again"
	if last < shown.Index {
		return store.Errorf(store.CodeIntegrity, "the log ends at index %d, but this node has shown index %d: it is not the disk it was", last, shown.Index).WithHint("%s", rejoin)
	}
	var term uint64
	entries := make([]*raft.Log, 0, applyBatch)
	for i := n.fsm.Image().Index + 1; i <= shown.Index; i++ {
		e := new(raft.Log)
		if err := n.logs.GetLog(i, e); err != nil {
			return store.Errorf(store.CodeIntegrity, "log entry %d cannot be read: %v", i, err).WithHint("%s", rejoin)
		}
		if e.Term < term {
			return store.Errorf(store.CodeIntegrity, "log entry %d has term %d, the one before it %d", i, e.Term, term).WithHint("%s", rejoin)
		}
		term = e.Term
		if entries = append(entries, e); len(entries) == applyBatch || i == shown.Index {
			if err := n.fsm.Replay(entries); err != nil {
				return err
			}
			entries = entries[:0]
		}
	}
	img := n.fsm.Image()
	if term != shown.Term || img.StateDigest() != shown.Digest {
		return store.Errorf(store.CodeIntegrity, "the log replayed to index %d gives digest %.12s in term %d; this node has shown %.12s in term %d",
			shown.Index, img.StateDigest(), term, shown.Digest, shown.Term).WithHint("%s", rejoin)
	}
	n.cfg.Log.Info("replayed the log to what was shown before", "index", shown.Index)
	return nil
}

// newestSnapshot reads the newest snapshot of raft's that is good. One that
// cannot be read is moved away: raft would trust it unread.
func (n *Node) newestSnapshot() (*store.Image, error) {
	snaps, err := n.snapshots()
	if err != nil {
		return nil, err
	}
	metas, err := snaps.List()
	if err != nil {
		return nil, err
	}
	for _, m := range metas {
		var c *snapshot.Contents
		_, archive, err := snaps.Open(m.ID) // fails when raft's own checksum does not hold
		if err == nil {
			c, err = snapshot.Read(archive, snapshot.Limits{})
			archive.Close()
		}
		switch {
		case errors.Is(err, store.ErrNewer), errors.Is(err, os.ErrPermission):
			return nil, fmt.Errorf("snapshot %s: %w", m.ID, err)
		case err == nil && c.Manifest.Index == m.Index && c.Manifest.ClusterID == n.self.ClusterID:
			return c.Image, nil
		case err == nil:
			err = fmt.Errorf("it is of index %d of cluster %s", c.Manifest.Index, c.Manifest.ClusterID)
		}
		bad := n.dir.file("raft", "bad-"+m.ID)
		n.cfg.Log.Error("a snapshot cannot be read and is put aside", "snapshot", m.ID, "moved", bad, "error", err)
		if err := os.Rename(n.dir.file("raft", "snapshots", m.ID), bad); err != nil {
			return nil, err
		}
	}
	return store.NewImage(), nil
}

func (n *Node) snapshots() (*raft.FileSnapshotStore, error) {
	return raft.NewFileSnapshotStoreWithLogger(n.dir.file("raft"), keepSnapshots, raftLogger(n.cfg.Log))
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

// listen opens the port. Port 0 picks one the first time and keeps it.
func (n *Node) listen() error {
	want := n.cfg.Listen
	if host, port, err := net.SplitHostPort(want); err != nil {
		return store.Errorf(store.CodeInvalid, "cannot read %q as HOST:PORT", want)
	} else if kept, keptPort, err := net.SplitHostPort(n.self.Listen); port == "0" && err == nil && kept == host {
		want = net.JoinHostPort(host, keptPort)
	}
	ln, err := net.Listen("tcp", want)
	if err != nil {
		return err
	}
	cfg, err := pki.ServerTLS(n.tls, n.self.ClusterID, n.self.Generation, n.Revoked, []string{ProtocolRaft, ProtocolRPC, ProtocolStream})
	if err != nil {
		ln.Close()
		return err
	}
	n.mux = newMux(ln, cfg)
	listen := ln.Addr().String()
	advertise := n.cfg.Advertise
	if advertise == "" {
		advertise = listen
	}
	if host, port, err := net.SplitHostPort(advertise); err != nil {
		return store.Errorf(store.CodeInvalid, "cannot read %q as HOST:PORT", advertise)
	} else if ip := net.ParseIP(host); host == "" || port == "" || port == "0" || ip != nil && ip.IsUnspecified() {
		return store.Errorf(store.CodeInvalid, "others cannot reach this node at %s; say how with --advertise HOST:PORT", advertise)
	}
	if n.self.Listen != listen || n.self.Advertise != advertise {
		n.self.Listen, n.self.Advertise = listen, advertise
		return n.dir.save(n.self)
	}
	return nil
}

// release closes what a failed Open has opened.
func (n *Node) release() {
	if n.mux != nil {
		n.mux.Close()
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

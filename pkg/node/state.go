package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// openState brings the state in memory to where it was: the newest snapshot,
// and the log up to the index that this node has shown.
func (n *Node) openState() error {
	begun := time.Now()
	raftDir := n.dir.file("raft")
	if err := disk.MakeAll(n.cfg.disk, raftDir); err != nil {
		return err
	}
	var err error
	if n.logs, err = openLog(filepath.Join(raftDir, "raft.db"), func(err error) { n.fail(fmt.Errorf("%w: %w", ErrLog, err)) }); err != nil {
		return err
	}
	var shown publish.Committed
	var known bool
	if n.committed, shown, known, err = publish.OpenCommitted(n.cfg.disk, filepath.Join(raftDir, "committed"), n.self.ClusterID); err != nil {
		return err
	}
	n.committed.OnFail(func(err error) { n.fail(fmt.Errorf("%w: %w", fsm.ErrMarker, err)) })
	logged := time.Now()
	img, err := n.newestSnapshot()
	if err != nil {
		return err
	}
	loaded := time.Now()
	if n.files, err = publish.Open(publish.Config{Dir: n.cfg.Dir, ClusterID: n.self.ClusterID, Group: group(n.cfg.Group), Log: n.cfg.Log, BootID: n.cfg.boot, Disk: n.cfg.disk}); err != nil {
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
	if last > 0 {
		n.cfg.Log.Info("the state is loaded", "index", n.fsm.Image().Index, "snapshot", img.Index, slog.Group("took",
			"log", logged.Sub(begun), "snapshot", loaded.Sub(logged), "replay", time.Since(loaded)))
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
	return nil
}

// newestSnapshot reads the newest snapshot of raft's that is good. One that
// cannot be read is moved away: raft would trust it unread.
func (n *Node) newestSnapshot() (*store.Image, error) {
	snaps, err := n.snapshots()
	if err != nil {
		return nil, err
	}
	metas, bad, err := snaps.scan()
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, b := range bad {
		if errors.Is(b.err, os.ErrPermission) {
			return nil, fmt.Errorf("snapshot %s: %w", b.id, b.err)
		}
		if err := snaps.putAside(b.id, b.err); err != nil {
			return nil, err
		}
	}
	for _, m := range metas {
		c, err := readSnapshot(snaps, &m.Meta, n.self.ClusterID)
		switch {
		case errors.Is(err, store.ErrNewer), errors.Is(err, os.ErrPermission):
			return nil, fmt.Errorf("snapshot %s: %w", m.Meta.ID, err)
		case err == nil:
			return c.Image, nil
		}
		if err := snaps.putAside(m.Meta.ID, err); err != nil {
			return nil, err
		}
	}
	return store.NewImage(), nil
}

// readSnapshot reads a snapshot of this cluster.
func readSnapshot(snaps *snapStore, m *raft.SnapshotMeta, clusterID string) (*snapshot.Contents, error) {
	_, archive, err := snaps.Open(m.ID)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	c, err := snapshot.Read(archive, snapshot.Limits{})
	if err == nil && (c.Manifest.Index != m.Index || c.Manifest.ClusterID != clusterID) {
		err = fmt.Errorf("it is of index %d of cluster %s", c.Manifest.Index, c.Manifest.ClusterID)
	}
	return c, err
}

func (n *Node) snapshots() (*snapStore, error) {
	return openSnapshots(n.cfg.disk, n.dir.file("raft", "snapshots"), keepSnapshots, n.cfg.Log)
}

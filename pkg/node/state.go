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
// and the log up to the index that this node has shown. What is damaged beyond
// what the rest can replace is refused; nothing older is shown in its place.
func (n *Node) openState() error {
	begun := time.Now()
	raftDir := n.dir.file("raft")
	if err := disk.MakeAll(n.cfg.disk, raftDir); err != nil {
		return logFailure(ErrLog, err, n.cfg.Dir)
	}
	// A start that was cut short may have made a directory and not synced its name.
	for _, dir := range []string{n.cfg.Dir, raftDir} {
		if err := disk.SyncDir(n.cfg.disk, dir); err != nil {
			return logFailure(ErrLog, err, n.cfg.Dir)
		}
	}
	if err := n.dir.lostLog(n.self); err != nil {
		return err
	}
	if err := n.recallDrift(); err != nil {
		return err
	}
	var err error
	if n.logs, err = openLog(n.cfg.disk, filepath.Join(raftDir, "raft.db"), n.stopLog); err != nil {
		return noLog(err, raftDir)
	}
	if err := n.logs.whole(); err != nil {
		return err
	}
	var shown publish.Committed
	var known bool
	if n.committed, shown, known, err = publish.OpenCommitted(n.cfg.disk, filepath.Join(raftDir, "committed"), n.self.ClusterID); err != nil {
		if errors.Is(err, store.ErrIntegrity) {
			return err
		}
		return logFailure(fsm.ErrMarker, err, raftDir)
	}
	n.committed.OnFail(n.stopMarker)
	logged := time.Now()
	img, aside, err := n.newestSnapshot()
	if err != nil {
		return err
	}
	loaded := time.Now()
	if n.files, err = publish.Open(n.filesConfig()); err != nil {
		return err
	}
	if why := n.Sound(); why != nil {
		n.files.Withdraw(why.Message)
	}
	n.fsm = fsm.New(fsm.Config{Image: img, ClusterID: func() string { return n.self.ClusterID }, Commit: n.note, Files: n.files, Hold: n.holdSnapshot, Trust: n.trustChanged, Stop: n.fail})
	if err := n.bounds(img, aside); err != nil {
		return err
	}
	if known && shown.Index > img.Index {
		if err := n.replay(shown); err != nil {
			return err
		}
	}
	if n.ends.index > 0 {
		n.cfg.Log.Info("the state is loaded", "index", n.fsm.Image().Index, "snapshot", img.Index, slog.Group("took",
			"log", logged.Sub(begun), "snapshot", loaded.Sub(logged), "replay", time.Since(loaded)))
	}
	n.loaded = true
	if known && !n.committed.Damaged() { // else it is judged by a state that is not old (see watchKeys)
		if err := n.judgeKeys(n.fsm.Image()); err != nil {
			return err
		}
	}
	if err := n.dir.checkAgainst(n.fsm.Image(), n.own.Load().Credentials); err != nil {
		return err
	}
	n.begun = n.fsm.Image().Index
	if n.committed.Damaged() {
		n.cfg.Log.Warn("one of the two records of raft/committed is damaged: nothing is shown before a leader has said how far the cluster is")
	}
	// A damaged record may have been the newer one.
	if known && !n.committed.Damaged() || n.caughtUp() {
		if err := n.settle(); err != nil {
			return logFailure(fsm.ErrMarker, err, raftDir)
		}
	}
	return nil
}

// filesConfig is how the files are published. Where they share the log's disk,
// they leave it its part of the reserve.
func (n *Node) filesConfig() publish.Config {
	cfg := publish.Config{Dir: n.cfg.Dir, ClusterID: n.self.ClusterID, Group: group(n.cfg.Group), Log: n.cfg.Log, BootID: n.cfg.boot, Disk: n.cfg.disk}
	if n.sharesDisk(n.cfg.Dir) {
		cfg.Spare = n.spare
	}
	return cfg
}

// note writes raft/committed, before the image that it is about can be seen. A
// node that does not know how far it had come writes nothing until it does: the
// next start would take an early record for all that was ever shown.
func (n *Node) note(c publish.Committed) error {
	n.settling.Lock()
	defer n.settling.Unlock()
	if !n.settled.Load() {
		n.unnoted = c
		return nil
	}
	return n.committed.Write(c)
}

// settle lets the state be read, here and in the files: it is not older than
// what this node has shown before. From now on that is on record.
func (n *Node) settle() error {
	n.settling.Lock()
	defer n.settling.Unlock()
	img := n.fsm.Image()
	c := n.unnoted // may be about an image that becomes visible in a moment
	if c.Index < img.Index {
		c = publish.Committed{Index: img.Index, Term: img.Term, Digest: img.StateDigest(), ClusterID: n.self.ClusterID}
	}
	if c.Index > 0 {
		if err := n.committed.Write(c); err != nil {
			return err
		}
	}
	n.files.Start(img)
	n.settled.Store(true)
	return nil
}

// caughtUp reports whether the state is not older than what was shown before a
// start that did not know how far that was. What was shown was in the log or in
// the snapshot before it, or was committed before anything of a later term.
func (n *Node) caughtUp() bool {
	img := n.Image()
	return img.Index >= n.ends.index || img.Index > n.begun && img.Term > n.ends.term
}

// bounds finds where the log ends, and refuses one that does not begin where the
// snapshot ends: what is between the two is lost.
func (n *Node) bounds(img *store.Image, aside []string) error {
	first, last, err := n.logs.ends()
	if err != nil {
		return err
	}
	if last == 0 {
		if len(aside) > 0 { // it may be all that there was of the log
			return store.Errorf(store.CodeIntegrity, "snapshot %s is damaged, and there is no log behind it: what was in it is lost", aside[0])
		}
		return nil
	}
	var e raft.Log
	if err := n.logs.GetLog(last, &e); err != nil {
		return err
	}
	n.ends.index, n.ends.term = last, e.Term
	switch {
	case first <= img.Index+1:
		return nil
	case len(aside) > 0:
		return store.Errorf(store.CodeIntegrity, "snapshot %s is damaged, and the log begins at entry %d: what was before it is lost", aside[0], first)
	}
	return store.Errorf(store.CodeIntegrity, "%s begins at entry %d, and no snapshot in %s goes that far: what was before it is lost",
		n.logs.path, first, n.dir.file("raft", "snapshots"))
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
func (n *Node) replay(shown publish.Committed) error {
	if n.ends.index < shown.Index {
		return store.Errorf(store.CodeIntegrity, "%s ends at entry %d, but this node has shown entry %d: it is not the log it was", n.logs.path, n.ends.index, shown.Index)
	}
	var term uint64
	entries := make([]*raft.Log, 0, applyBatch)
	for i := n.fsm.Image().Index + 1; i <= shown.Index; i++ {
		e := new(raft.Log)
		if err := n.logs.GetLog(i, e); err != nil {
			return store.Errorf(store.CodeIntegrity, "%s: entry %d cannot be read: %v", n.logs.path, i, err)
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
	switch {
	case term == shown.Term && img.StateDigest() == shown.Digest:
	case term == shown.Term && n.Drifted() != nil: // what it has shown was wrong, or this is
		n.cfg.Log.Warn("the log gives another state than this node had, which was not the majority's", "index", shown.Index, "digest", img.StateDigest(), "had", shown.Digest)
	default:
		return store.Errorf(store.CodeIntegrity, "%s replayed to entry %d gives digest %.12s in term %d; this node has shown %.12s in term %d",
			n.logs.path, shown.Index, img.StateDigest(), term, shown.Digest, shown.Term)
	}
	return nil
}

// newestSnapshot reads the newest snapshot of raft's that is good. One that
// cannot be read is moved away: raft would trust it unread.
func (n *Node) newestSnapshot() (img *store.Image, aside []string, err error) {
	snaps, err := n.snapshots()
	if err != nil {
		return nil, nil, err
	}
	metas, bad, err := snaps.scan()
	if err != nil {
		return nil, nil, fmt.Errorf("list snapshots: %w", err)
	}
	put := func(id string, why error) error {
		aside = append(aside, filepath.Join(snaps.path, id))
		return snaps.putAside(id, why)
	}
	for _, b := range bad {
		if errors.Is(b.err, os.ErrPermission) {
			return nil, nil, fmt.Errorf("snapshot %s: %w", b.id, b.err)
		}
		if err := put(b.id, b.err); err != nil {
			return nil, nil, err
		}
	}
	for _, m := range metas {
		c, err := readSnapshot(snaps, &m.Meta, n.self.ClusterID)
		switch {
		case errors.Is(err, store.ErrNewer), errors.Is(err, os.ErrPermission):
			return nil, nil, fmt.Errorf("snapshot %s: %w", m.Meta.ID, err)
		case err == nil:
			return c.Image, aside, nil
		}
		if err := put(m.Meta.ID, err); err != nil {
			return nil, nil, err
		}
	}
	return store.NewImage(), aside, nil
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

package node

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// adoption is a state that takes the place of this node's own.
type adoption struct {
	img          *store.Image
	sink         raft.SnapshotSink // all of it is written, and it has no name yet
	membersIndex uint64            // of the configuration in it
	done         chan error
}

// stage writes a state as a snapshot of raft's up to its last step.
func (n *Node) stage(img *store.Image) (sink raft.SnapshotSink, membersIndex uint64, err error) {
	snaps, err := n.snapshots()
	if err != nil {
		return nil, 0, err
	}
	members := n.raft().GetConfiguration()
	if err := members.Error(); err != nil {
		return nil, 0, err
	}
	if members.Index() > img.Index {
		return nil, 0, errMembersChange
	}
	sink, err = (&sparing{SnapshotStore: snaps, spare: n.spare}).Create(raft.SnapshotVersionMax, img.Index, img.Term, members.Configuration(), members.Index(), nil)
	if err != nil {
		return nil, 0, err
	}
	if err := snapshot.Write(sink, img, n.self.ClusterID); err != nil {
		return nil, 0, errors.Join(err, sink.Cancel())
	}
	return sink, members.Index(), nil
}

var errMembersChange = store.Errorf(store.CodeUnavailable, "a change of membership is under way")

// takeOver puts a state in the place of this node's, and raft behind it. It is a
// part of watch, like everything that makes raft anew.
func (n *Node) takeOver(a adoption) error {
	n.lifecycle.Lock()
	defer n.lifecycle.Unlock()
	select {
	case <-n.closing:
		return errors.Join(notProposed("this node is stopping"), a.sink.Cancel())
	default:
	}
	if n.raft().State() == raft.Leader {
		return errors.Join(store.Errorf(store.CodeUnavailable, "this node was elected meanwhile"), a.sink.Cancel())
	}
	n.cfg.Log.Warn("restarting raft behind the state that replaces this node's", "index", a.img.Index)
	old := n.running.Load()
	if err := old.stop(); err != nil { // what still runs might apply entries to the state
		err = errors.Join(fmt.Errorf("repair: %w", err), a.sink.Cancel())
		n.fail(err)
		return err
	}
	err := n.replaceState(a)
	if err != nil {
		a.sink.Cancel()
	}
	n.fsm.Restarted()
	if failed := n.startRaft(); failed != nil {
		n.fail(failed)
		return errors.Join(err, failed)
	}
	return err
}

// replaceState does it on the disk and in memory while there is no raft. Up to
// its last step the node is as drifted as before, whatever fails or ends it.
func (n *Node) replaceState(a adoption) error {
	snaps, err := n.snapshots()
	if err != nil {
		return err
	}
	metas, err := snaps.List()
	if err != nil {
		return err
	}
	members := n.raft().GetConfiguration()
	if err := members.Error(); err != nil {
		return err
	}
	switch {
	case members.Index() != a.membersIndex:
		return errMembersChange
	case len(metas) > 0 && metas[0].Index > a.img.Index:
		return store.Errorf(store.CodeUnavailable, "a leader gave this node a newer state meanwhile")
	case n.Image().Index < a.img.Index:
		return store.Errorf(store.CodeUnavailable, "this node has not applied index %d yet", a.img.Index)
	}
	if err := a.sink.Close(); err != nil {
		return err
	}
	if err := snaps.only(a.sink.ID()); err != nil {
		return fmt.Errorf("snapshots of the wrong state: %w", err)
	}
	if err := n.logs.followSnapshots(snaps, n.noteStale); err != nil {
		return err
	}
	if err := n.fsm.Adopt(a.img); err != nil {
		return err
	}
	if err := n.committed.Sync(); err != nil {
		return err
	}
	if err := n.endDrift(); err != nil {
		return err
	}
	n.files.Readmit(a.img)
	return nil
}

// only removes every snapshot but one, those that cannot be read included.
func (s *snapStore) only(id string) error {
	good, bad, err := s.scan()
	if err != nil {
		return err
	}
	dir, err := disk.Open(s.path)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var errs []error
	for _, m := range good {
		bad = append(bad, badSnapshot{id: m.Meta.ID})
	}
	for _, b := range bad {
		if b.id != id {
			errs = append(errs, s.remove(dir, filepath.Base(b.id)))
		}
	}
	return errors.Join(errs...)
}

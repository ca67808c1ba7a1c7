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
	img     *store.Image
	sink    raft.SnapshotSink // all of it is written, and it has no name yet
	members uint64            // index of the configuration in it
	done    chan error
}

// membersIn is the configuration that belongs into a snapshot of an index. One
// that is newer may never be committed.
func (n *Node) membersIn(index uint64) (confMark, error) {
	c, err := n.logs.membership()
	switch {
	case err != nil:
		return c, err
	case c.index > index:
		return c, errMembersChange
	case c.index == 0: // it was in a snapshot that is damaged; raft knows it, and not since when
		current := n.raft().GetConfiguration()
		return confMark{index, current.Configuration()}, current.Error()
	}
	return c, nil
}

// stage writes a state as a snapshot of raft's up to its last step.
func (n *Node) stage(img *store.Image, members confMark) (raft.SnapshotSink, error) {
	snaps, err := n.snapshots()
	if err != nil {
		return nil, err
	}
	sink, err := (&sparing{SnapshotStore: snaps, spare: n.spare}).Create(raft.SnapshotVersionMax, img.Index, img.Term, members.is, members.index, nil)
	if err != nil {
		return nil, err
	}
	if err := snapshot.Write(sink, img, n.self.ClusterID); err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return sink, nil
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
	err := n.continues(a)
	if err == nil {
		err = n.replaceState(a)
	}
	if err != nil {
		err = errors.Join(err, a.sink.Cancel()) // nothing, once it was closed
	}
	n.fsm.Restarted()
	if failed := n.startRaft(); failed != nil {
		n.fail(failed)
		return errors.Join(err, failed)
	}
	return err
}

// continues looks whether the state still continues what this node has, now that
// nothing moves any more.
func (n *Node) continues(a adoption) error {
	newest, err := n.logs.newest()
	if err != nil {
		return err
	}
	members, err := n.membersIn(a.img.Index)
	switch {
	case err != nil:
		return err
	case members.index != a.members:
		return errMembersChange
	case newest.index > a.img.Index:
		return store.Errorf(store.CodeUnavailable, "a leader gave this node a newer state meanwhile")
	case n.Image().Index < a.img.Index:
		return store.Errorf(store.CodeUnavailable, "this node has not applied index %d yet", a.img.Index)
	}
	return nil
}

// replaceState does it on the disk and in memory while there is no raft. Up to
// its last steps the node is as drifted as before, whatever fails or ends it: the
// mark goes when no snapshot and no record of the wrong state is left.
func (n *Node) replaceState(a adoption) error {
	snaps, err := n.snapshots()
	if err != nil {
		return err
	}
	if err := a.sink.Close(); err != nil {
		return err
	}
	if err := snaps.only(a.sink.ID()); err != nil {
		return fmt.Errorf("remove the snapshots of the wrong state: %w", err)
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

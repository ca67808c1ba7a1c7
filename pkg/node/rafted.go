package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
)

// rafted is what a directory raft/ holds, read without a change to it: the state
// at the end of its log, whether the last entries were committed or not.
type rafted struct {
	image    *store.Image // nil if it cannot be made
	members  raft.Configuration
	snapshot snapshotMark // that the image began with
	entries  []entryMark  // behind the snapshot
	last     entryMark    // of the log, or the snapshot if there is nothing behind it
	term     uint64       // that raft has come to
	shown    publish.Committed
	known    bool    // shown is: the file is there and whole
	faults   []error // what is damaged; the image may be there all the same
}

// entryMark is what tells one entry from another of the same index.
type entryMark struct {
	index, term uint64
	command     bool // it says something; not only that somebody leads, or who is a member
}

func (r *rafted) fault(err error) { r.faults = append(r.faults, err) }

// termAt is the term of an entry, 0 if it is not there. What the snapshot holds
// was committed, and is what everybody has there.
func (r *rafted) termAt(index uint64) (term uint64, within bool) {
	switch at := index - r.snapshot.index - 1; {
	case index <= r.snapshot.index:
		return 0, true
	case at < uint64(len(r.entries)):
		return r.entries[at].term, false
	}
	return 0, false
}

// has reports whether the log, or the snapshot below it, holds an entry.
func (r *rafted) has(index, term uint64) bool {
	t, within := r.termAt(index)
	return within || t == term
}

// readRaft reads the directory of a node that does not run. What is damaged is
// among its faults; the error is of an entry, a snapshot or a disk that cannot be
// read at all.
func readRaft(dir, clusterID string) (*rafted, error) {
	r := &rafted{image: store.NewImage()}
	switch whole, err := publish.ReadMarker(filepath.Join(dir, "committed"), &r.shown); {
	case errors.Is(err, os.ErrNotExist):
	case errors.Is(err, store.ErrIntegrity):
		r.fault(err)
	case err != nil:
		return nil, err
	case !whole:
		r.fault(store.Errorf(store.CodeIntegrity, "one of the two records of %s is damaged", filepath.Join(dir, "committed")))
	case r.shown.ClusterID != clusterID:
		r.fault(store.Errorf(store.CodeIntegrity, "%s belongs to cluster %s", filepath.Join(dir, "committed"), r.shown.ClusterID))
	default:
		r.known = r.shown.Index > 0
	}
	aside, err := r.loadSnapshot(filepath.Join(dir, "snapshots"), clusterID)
	if err != nil {
		return nil, err
	}
	logs, err := readLog(filepath.Join(dir, "raft.db"))
	if errors.Is(err, store.ErrIntegrity) || errors.Is(err, os.ErrNotExist) {
		r.image = nil
		r.fault(err)
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	if err := r.loadLog(logs, aside); errors.Is(err, store.ErrIntegrity) {
		r.image = nil
		r.fault(err)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return r, nil
}

// loadSnapshot reads the newest snapshot that is good.
func (r *rafted) loadSnapshot(dir, clusterID string) (aside bool, err error) {
	snaps := &snapStore{disk: disk.Real{}, path: dir, keep: keepSnapshots, log: slog.New(slog.DiscardHandler)}
	metas, bad, err := snaps.scan()
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, b := range bad {
		if errors.Is(b.err, os.ErrPermission) {
			return false, b.err
		}
		r.fault(fmt.Errorf("snapshot %s: %w", b.id, b.err))
	}
	for _, m := range metas {
		c, err := readSnapshot(snaps, &m.Meta, clusterID)
		if err == nil {
			r.image, r.members = c.Image, m.Meta.Configuration
			r.snapshot = snapshotMark{m.Meta.ID, m.Meta.Index, m.Meta.Term}
			r.last = entryMark{index: m.Meta.Index, term: m.Meta.Term}
			break
		}
		err = fmt.Errorf("snapshot %s: %w", filepath.Join(dir, m.Meta.ID), err)
		if errors.Is(err, store.ErrNewer) || errors.Is(err, os.ErrPermission) {
			return false, err
		}
		r.fault(err)
	}
	return len(r.faults) > 0, nil
}

// loadLog brings the state to the end of the log. The digest must come out as it
// was noted for the index that the node has shown.
func (r *rafted) loadLog(logs *logStore, aside bool) error {
	if err := logs.whole(); err != nil {
		return err
	}
	if term, err := logs.GetUint64(raftKeys[0]); err == nil {
		r.term = term
	}
	first, last, err := logs.ends()
	if err != nil {
		return err
	}
	from, err := r.goesOn(logs, first, last)
	if err != nil {
		return err
	}
	if from > r.snapshot.index+1 {
		why := ""
		if aside {
			why = ", and the newer ones are damaged"
		}
		return store.Errorf(store.CodeIntegrity, "%s begins at entry %d, and no snapshot goes that far%s: what was before it is lost", logs.path, first, why)
	}
	state := fsm.New(fsm.Config{Image: r.image})
	check := func() error {
		if img := state.Image(); r.known && r.shown.Index == img.Index && (img.Term != r.shown.Term || img.StateDigest() != r.shown.Digest) {
			return store.Errorf(store.CodeIntegrity, "%s comes to digest %.12s in term %d at entry %d; this node has shown %.12s in term %d",
				logs.path, img.StateDigest(), img.Term, img.Index, r.shown.Digest, r.shown.Term)
		}
		return nil
	}
	if err := check(); err != nil {
		return err
	}
	for i := from; i > 0 && i <= last; i++ { // one at a time: a log may be larger than the memory
		e, _, _, err := logs.read(i)
		if err != nil {
			return err
		}
		if e.Type == raft.LogConfiguration {
			r.members = raft.DecodeConfiguration(e.Data)
		}
		r.last = entryMark{e.Index, e.Term, e.Type == raft.LogCommand}
		r.entries = append(r.entries, r.last)
		if e.Type != raft.LogCommand && e.Type != raft.LogConfiguration { // raft keeps it for itself
			continue
		}
		if err := state.Replay([]*raft.Log{e}); err != nil {
			return err
		}
		if err := check(); err != nil {
			return err
		}
	}
	r.image, r.term = state.Image(), max(r.term, r.last.term)
	if r.known && r.shown.Index > r.last.index {
		return store.Errorf(store.CodeIntegrity, "%s ends at entry %d, but this node has shown entry %d: it is not the log it was", logs.path, r.last.index, r.shown.Index)
	}
	return nil
}

// goesOn is the index of the entry by which a log goes on from the snapshot, 0
// if there is none. A log may hold others, of a leader that was deposed, if the
// machine stopped right after the snapshot was installed: they were never committed.
func (r *rafted) goesOn(logs *logStore, first, last uint64) (from uint64, err error) {
	if first == 0 || last <= r.snapshot.index {
		return 0, nil
	}
	from = max(first, r.snapshot.index+1)
	for _, at := range []uint64{r.snapshot.index, from} {
		if at < first {
			continue
		}
		e, _, _, err := logs.read(at)
		if err != nil || e.Term < r.snapshot.term || at == r.snapshot.index && e.Term != r.snapshot.term {
			return 0, err
		}
	}
	return from, nil
}

package node

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// snapStore is the directory raft/snapshots: for each snapshot a directory
// <term>-<index>-<milliseconds> with state.bin, which is an archive, and
// meta.json, which is what raft has to know of it. A name with .tmp at its end
// is on its way in or out.
//
// It does what raft.FileSnapshotStore does, and more: what failed is removed at
// once, so that a full disk does not fill further; a bit that changed in
// meta.json is found; files are the node's alone; a state is read once; and all
// of it goes through package disk.
type snapStore struct {
	disk disk.FS
	path string
	keep int // how many of the newest stay
	log  *slog.Logger
}

var _ raft.SnapshotStore = (*snapStore)(nil)

const (
	snapTmp  = ".tmp"
	snapGone = ".gone" + snapTmp // on its way out
)

// openSnapshots opens or makes the store at path.
func openSnapshots(fs disk.FS, path string, keep int, log *slog.Logger) (*snapStore, error) {
	if err := disk.MakeAll(fs, path); err != nil {
		return nil, err
	}
	return &snapStore{disk: fs, path: path, keep: keep, log: log}, nil
}

// badSnapshot is one that raft is not told of.
type badSnapshot struct {
	id  string
	err error
}

// scan reads every meta, and returns the newest first.
func (s *snapStore) scan() (good []*snapMeta, bad []badSnapshot, err error) {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), snapTmp) {
			continue
		}
		m, err := readSnapMeta(filepath.Join(s.path, e.Name()))
		if err != nil {
			bad = append(bad, badSnapshot{e.Name(), err})
			continue
		}
		good = append(good, m)
	}
	slices.SortFunc(good, func(a, b *snapMeta) int {
		x, y := &b.Meta, &a.Meta
		return cmp.Or(cmp.Compare(x.Index, y.Index), cmp.Compare(x.Term, y.Term),
			cmp.Compare(len(x.ID), len(y.ID)), cmp.Compare(x.ID, y.ID)) // of two at one index the later
	})
	return good, bad, nil
}

// List returns what raft has to know of each snapshot, the newest first.
func (s *snapStore) List() ([]*raft.SnapshotMeta, error) {
	good, bad, err := s.scan()
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, b := range bad { // the next start puts it aside
		s.log.Warn("a snapshot cannot be read", "snapshot", b.id, "error", b.err)
	}
	var metas []*raft.SnapshotMeta
	for _, m := range good[:min(len(good), s.keep)] {
		metas = append(metas, &m.Meta)
	}
	return metas, nil
}

// Open returns a snapshot. The reader fails before its last byte if the state is damaged.
func (s *snapStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	dir := filepath.Join(s.path, id)
	m, err := readSnapMeta(dir)
	if err == nil {
		var r *snapReader
		if r, err = openSnapState(filepath.Join(dir, stateFile), m); err == nil {
			return &m.Meta, r, nil
		}
	}
	return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
}

// putAside moves a snapshot to where raft does not see it.
func (s *snapStore) putAside(id string, why error) error {
	to := filepath.Join(filepath.Dir(s.path), "bad-"+id)
	s.log.Error("a snapshot cannot be read and is put aside", "snapshot", id, "moved", to, "error", why)
	return disk.Move(s.disk, filepath.Join(s.path, id), to)
}

// reap removes all but the newest, and what an earlier attempt has left.
func (s *snapStore) reap() error {
	good, _, err := s.scan()
	if err != nil {
		return err
	}
	gone, err := filepath.Glob(filepath.Join(s.path, "*"+snapGone))
	if err != nil {
		return err
	}
	dir, err := disk.Open(s.path)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var errs []error
	for _, path := range gone {
		errs = append(errs, disk.Remove(s.disk, path))
	}
	for _, m := range good[min(len(good), s.keep):] {
		errs = append(errs, s.remove(dir, m.Meta.ID))
	}
	return errors.Join(errs...)
}

// remove deletes a snapshot. Under its name there is a whole one or none.
func (s *snapStore) remove(dir int, id string) error {
	if err := s.disk.Rename(dir, id, dir, id+snapGone); err != nil {
		return err
	}
	return disk.Remove(s.disk, filepath.Join(s.path, id+snapGone))
}

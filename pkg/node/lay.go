package node

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// beginning is a raft that begins with a state: a snapshot of it that knows one
// member, and a first entry behind that, which is committed, since a majority of
// one has it.
type beginning struct {
	clusterID string
	state     *store.Image
	self      raft.Server
	command   *mutation.Command // of the first entry
	term      uint64            // of it, in which the node has voted for itself
}

// lay makes the directory raft/ of a node that begins so. All of it is on the disk
// when it returns, and was read back.
func (b *beginning) lay(fs disk.FS, dir string) (*store.Image, error) {
	after := b.state.Begin()
	if res := applier.Apply(after, b.state.Index+1, b.command); res.Refusal != nil {
		return nil, res.Refusal
	}
	img, _ := after.Freeze(b.state.Index+1, b.term)
	if err := b.laySnapshot(fs, filepath.Join(dir, "snapshots")); err != nil {
		return nil, err
	}
	if err := b.layLog(fs, filepath.Join(dir, "raft.db"), img); err != nil {
		return nil, err
	}
	if err := b.layShown(fs, filepath.Join(dir, "committed"), img); err != nil {
		return nil, err
	}
	if err := disk.SyncDir(fs, dir); err != nil {
		return nil, err
	}
	is, err := readRaft(dir, b.clusterID)
	if err == nil && len(is.faults) > 0 {
		err = is.faults[0]
	}
	if err == nil && (is.image.Index != img.Index || is.image.StateDigest() != img.StateDigest() || len(is.members.Servers) != 1) {
		err = store.Errorf(store.CodeIntegrity, "%s holds another state than was put into it", dir)
	}
	return img, err
}

func (b *beginning) laySnapshot(fs disk.FS, dir string) error {
	snaps, err := openSnapshots(fs, dir, keepSnapshots, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	members := raft.Configuration{Servers: []raft.Server{b.self}}
	sink, err := snaps.Create(raft.SnapshotVersionMax, b.state.Index, b.state.Term, members, b.state.Index, nil)
	if err != nil {
		return err
	}
	if err := snapshot.Write(sink, b.state, b.clusterID); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (b *beginning) layLog(fs disk.FS, path string, img *store.Image) error {
	logs, err := openLog(fs, path, func(error) {})
	if err != nil {
		return err
	}
	entry := &raft.Log{Index: img.Index, Term: b.term, Type: raft.LogCommand, Data: mutation.EncodeEntry([][]byte{mutation.AppendCommand(nil, b.command)})}
	err = logs.SetUint64(raftKeys[0], b.term)
	if err == nil {
		err = logs.SetUint64(raftKeys[1], b.term)
	}
	if err == nil {
		err = logs.Set(raftKeys[2], []byte(b.self.Address))
	}
	if err == nil {
		err = logs.StoreLog(entry)
	}
	if err := errors.Join(err, logs.Close()); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	return nil
}

func (b *beginning) layShown(fs disk.FS, path string, img *store.Image) error {
	shown, _, _, err := publish.OpenCommitted(fs, path, b.clusterID)
	if err != nil {
		return err
	}
	return errors.Join(shown.Write(publish.Committed{Index: img.Index, Term: img.Term, Digest: img.StateDigest()}), shown.Close())
}

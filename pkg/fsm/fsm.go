// Package fsm is what raft sees of the state: committed entries go in, frozen
// images come out. It holds no rule of its own (package applier has them) and
// waits for nothing: files are the publisher's work, beside applying.
//
// The contract: Apply, Snapshot and Restore run on one goroutine of raft's;
// Persist and every reader run beside them on images that no longer move.
package fsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// Files is what the state machine needs of the publisher. None of it blocks.
type Files interface {
	Publish(img *store.Image, changed []string)
	Replace(img *store.Image)
	Idle(index uint64)
}

// Config is what a state machine starts with.
type Config struct {
	Image     *store.Image                  // the state to go on from
	ClusterID func() string                 // for archives and markers
	Commit    func(publish.Committed) error // notes how far this node shows; called before anybody can see it
	Files     Files
	Hold      func() error // why no snapshot may be taken of the state, nil if it may; may be nil
	Trust     func()       // called when a state is visible in which somebody's certificate may be another; may be nil
	Stop      func(error)  // ends the process; the state machine does nothing after it
}

// ErrStopped is the result of every entry after the state machine has stopped.
var ErrStopped = errors.New("the state machine has stopped")

// ErrMarker is wrapped by the error given to Stop when Commit failed.
var ErrMarker = errors.New("cannot note how far the log is applied")

// Outcome is what raft's future of one entry holds: a result a command.
type Outcome struct {
	Index   uint64
	Results []applier.Result
}

// FSM implements raft.BatchingFSM.
type FSM struct {
	cfg       Config
	tx        *store.Tx // owned by the applying goroutine
	image     atomic.Pointer[store.Image]
	delivered uint64 // last index that raft gave us; below the image's until it has caught up after a start
	stopped   bool
	trust     bool // the entries since the last image may have changed who is trusted
	past      past

	mu      sync.Mutex
	applied chan struct{} // closed and replaced when the image changes
}

var _ raft.BatchingFSM = (*FSM)(nil)

// New returns a state machine that goes on from the image.
func New(cfg Config) *FSM {
	f := &FSM{cfg: cfg, tx: cfg.Image.Begin(), applied: make(chan struct{})}
	f.image.Store(cfg.Image)
	f.past.restart(cfg.Image)
	return f
}

// Image returns the newest state. It never changes; callers hold it as long as they like.
func (f *FSM) Image() *store.Image { return f.image.Load() }

// Apply is ApplyBatch of one.
func (f *FSM) Apply(entry *raft.Log) any { return f.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch applies committed entries and returns one *Outcome an entry that
// holds commands. A change that the rules refuse is a result, the same on every
// node. An entry that cannot be read stops the node: skipping it would leave
// this replica quietly different from its peers.
func (f *FSM) ApplyBatch(entries []*raft.Log) []any {
	out := make([]any, len(entries))
	before := f.Image().Index
	index, term := before, f.Image().Term
	for i, e := range entries {
		if f.stopped {
			out[i] = ErrStopped
			continue
		}
		f.delivered = e.Index
		if e.Index <= index {
			continue // applied before the restart; nobody waits for it
		}
		if e.Type == raft.LogCommand {
			o, err := f.apply(e)
			if err != nil {
				f.halt(err)
				out[i] = ErrStopped
				continue
			}
			out[i] = o
		}
		index, term = e.Index, e.Term
		f.past.note(index, f.tx.StateSum())
	}
	if index > before && !f.stopped {
		img, changed := f.tx.Freeze(index, term)
		f.show(img, func() {
			if len(changed) > 0 {
				f.cfg.Files.Publish(img, changed)
			} else {
				f.cfg.Files.Idle(index)
			}
		})
		if f.stopped { // committed, but never shown here: nobody is told that it was applied
			for i := range out {
				out[i] = ErrStopped
			}
		}
	}
	return out
}

// Replay applies entries of the local log that are known to be committed and
// were shown before: no marker is written for them and no file. It is called
// before raft starts, which will deliver them once more.
func (f *FSM) Replay(entries []*raft.Log) error {
	for _, e := range entries {
		if e.Type == raft.LogCommand {
			if _, err := f.apply(e); err != nil {
				return err
			}
		}
		img, _ := f.tx.Freeze(e.Index, e.Term)
		f.image.Store(img)
		f.past.note(img.Index, img.StateSum())
	}
	return nil
}

// Restarted is called between two rafts on the same state machine: the next one
// delivers again what follows its newest snapshot.
func (f *FSM) Restarted() { f.delivered = 0 }

func (f *FSM) apply(e *raft.Log) (*Outcome, error) {
	commands, err := mutation.DecodeEntry(e.Data)
	if err != nil {
		return nil, fmt.Errorf("log entry %d (term %d): %w", e.Index, e.Term, err)
	}
	o := &Outcome{Index: e.Index, Results: make([]applier.Result, len(commands))}
	for i := range commands {
		o.Results[i] = applier.Apply(f.tx, e.Index, &commands[i])
		f.trust = f.trust || slices.ContainsFunc(commands[i].Mutations, func(m mutation.Mutation) bool { return m.Kind.Trust() })
	}
	return o, nil
}

// show makes an image the visible one, in the order that lets a restarted node
// never show less: the marker, then the image, then the files.
func (f *FSM) show(img *store.Image, files func()) {
	err := f.cfg.Commit(publish.Committed{Index: img.Index, Term: img.Term, Digest: img.StateDigest(), ClusterID: f.cfg.ClusterID()})
	if err != nil {
		f.halt(fmt.Errorf("%w: %w", ErrMarker, err))
		return
	}
	f.image.Store(img)
	files()
	f.mu.Lock()
	close(f.applied)
	f.applied = make(chan struct{})
	f.mu.Unlock()
	if f.trust && f.cfg.Trust != nil {
		f.cfg.Trust()
	}
	f.trust = false
}

func (f *FSM) halt(err error) {
	f.stopped = true
	f.cfg.Stop(err)
}

// Wait returns when the image has reached a log index, or with the context's error.
func (f *FSM) Wait(ctx context.Context, index uint64) error {
	for {
		f.mu.Lock()
		next := f.applied
		f.mu.Unlock()
		if f.Image().Index >= index {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// frozen is an image on its way into an archive.
type frozen struct {
	image     *store.Image
	clusterID string
	applied   func() uint64 // the index of the state as it goes on
}

// Snapshot freezes the state in constant time. It is refused until raft has
// delivered again what was replayed at start: raft would label the archive with
// the older index.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	img := f.Image()
	if f.stopped {
		return nil, ErrStopped
	}
	if f.cfg.Hold != nil {
		if err := f.cfg.Hold(); err != nil {
			return nil, err
		}
	}
	if f.delivered < img.Index {
		return nil, fmt.Errorf("raft has delivered up to index %d of %d since the start", f.delivered, img.Index)
	}
	return &frozen{img, f.cfg.ClusterID(), func() uint64 { return f.Image().Index }}, nil
}

func (s *frozen) Persist(sink raft.SnapshotSink) error {
	if err := snapshot.Write(snapshot.Paced(sink, s.applied), s.image, s.clusterID); err != nil {
		return errors.Join(fmt.Errorf("write snapshot %s: %w", sink.ID(), err), sink.Cancel())
	}
	return sink.Close()
}

func (s *frozen) Release() {}

// Restore replaces the state by an archive that a leader sent. An archive that
// is not newer than the state is ignored: raft goes on from the archive's index
// and what is known already is skipped. It changes nothing unless the whole
// archive is good. One of a newer level stops the node, as an entry does.
func (f *FSM) Restore(archive io.ReadCloser) error {
	defer archive.Close()
	if f.stopped {
		return ErrStopped
	}
	c, err := snapshot.Read(archive, snapshot.Limits{})
	if errors.Is(err, store.ErrNewer) {
		f.halt(fmt.Errorf("the leader's snapshot: %w", err))
		return ErrStopped
	}
	if err != nil {
		return fmt.Errorf("restore from the leader's snapshot: %w", err)
	}
	if id := f.cfg.ClusterID(); id != "" && c.Manifest.ClusterID != id {
		return fmt.Errorf("restore from the leader's snapshot: it is of cluster %s, not %s", c.Manifest.ClusterID, id)
	}
	f.delivered = c.Image.Index
	if c.Image.Index <= f.Image().Index {
		return nil
	}
	f.adopt(c.Image)
	if f.stopped { // it was not shown; raft must not take it for installed
		return ErrStopped
	}
	return nil
}

// Adopt replaces the state by one that is not what came of the log here, between
// two rafts: the next one goes on behind its index.
func (f *FSM) Adopt(img *store.Image) error {
	if f.stopped {
		return ErrStopped
	}
	f.delivered = 0
	f.adopt(img)
	if f.stopped {
		return ErrStopped
	}
	return nil
}

func (f *FSM) adopt(img *store.Image) {
	f.tx = img.Begin()
	f.trust = true
	f.past.restart(img)
	f.show(img, func() { f.cfg.Files.Replace(img) })
}

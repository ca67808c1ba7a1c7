package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// Restored says what a restore did, or would do.
type Restored struct {
	Archive  snapshot.Manifest
	Before   store.Counts
	After    store.Counts
	Changes  []snapshot.Change
	Digest   string // of tenants/ and keys/ afterwards
	Revision uint64
	Index    uint64
	Replayed bool // an earlier attempt did it; what it changed is not known any more
}

// opRestore is what the request table remembers of a restore.
const opRestore = "restore"

// RestoreRequest is about the call of a restore; the archive is the change.
type RestoreRequest struct {
	ID     string
	AgeUS  int64 // since the caller first made it, microseconds
	NoTime bool  // the id tells nothing of its age
	DryRun bool
}

// Restore brings tenants/ and keys/ to what an archive holds, on all nodes at
// one revision or on none. It goes through the log like every change: the
// documents that differ are staged, in commands of their own, and one command
// switches them in. Only the leader does it; system/ stays as it is.
//
// raft.Restore is never called: it changes the leader first, and a leader that
// is cut off meanwhile can end with another state than its followers.
func (n *Node) Restore(ctx context.Context, archive io.Reader, req RestoreRequest, by access.Actor) (*Restored, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := n.may(by, access.Restore, ""); err != nil {
		return nil, err
	}
	if err := store.CheckRequestID(req.ID); err != nil {
		return nil, store.Errorf(store.CodeInvalid, "%v", err)
	}
	c, err := snapshot.Read(archive, snapshot.Limits{})
	if err != nil {
		return nil, err
	}
	if err := n.opens(c.Image); err != nil {
		return nil, err
	}
	done, err := n.restoring.enter(ctx, req.ID)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := n.confirmed(ctx); err != nil {
		return nil, err
	}
	return n.restore(ctx, c, req, by)
}

// restore does it, with no other restore under way on this node.
func (n *Node) restore(ctx context.Context, c *snapshot.Contents, req RestoreRequest, by access.Actor) (*Restored, error) {
	live := n.Image()
	r := &Restored{Archive: c.Manifest, Before: live.Counts(), After: c.Image.Counts(), Digest: c.Manifest.Digest, Index: live.Index, Revision: live.Revision()}
	for ch := range snapshot.Diff(live, c.Image) {
		r.Changes = append(r.Changes, ch)
	}
	key, err := n.requestKey(live)
	if err != nil {
		return nil, err
	}
	now := n.proposer.time()
	u := &upload{node: n, target: c.Image, archive: c.Manifest.Revision, id: uuid.NewString(), staged: map[string]bool{}, command: mutation.Command{
		ID: req.ID, Digest: key.Restore([]byte(c.SHA256)), Op: opRestore, Actor: by.String(), Level: n.level(), Time: now}}
	if !req.NoTime {
		u.command.Asked = now - store.Time(max(req.AgeUS, 0))
	}
	if known := applier.Remembered(live, &u.command); known != nil {
		if known.Refusal != nil {
			return nil, known.Refusal
		}
		r.Index, r.Revision, r.Replayed, r.Changes = known.Replayed.Index, known.Revision, true, nil
		return r, nil
	}
	if req.DryRun || len(r.Changes) == 0 {
		return r, nil
	}
	if err := n.Changeable(); err != nil {
		return nil, err
	}
	if open := live.OpenStage(); open != nil { // nobody is left to finish it
		u.abort(open.ID)
	}
	n.cfg.Log.Info("restore begins", "changes", len(r.Changes), "archive", c.SHA256, "actor", by.String())
	s := u.run(ctx, live)
	if s.err != nil {
		n.cfg.Log.Warn("restore failed", "error", s.err)
		return nil, s.err
	}
	r.Index, r.Revision = s.index, s.result.Revision
	n.cfg.Log.Info("restore is done", "index", r.Index, "revision", r.Revision)
	return r, nil
}

// restoring lets one restore at a time through. A second call with the same
// request id waits for the first: it will find its answer.
type restoring struct {
	mu   sync.Mutex
	id   string
	done chan struct{} // nil: none is under way
}

func (r *restoring) enter(ctx context.Context, id string) (leave func(), err error) {
	for {
		r.mu.Lock()
		if r.done == nil {
			done := make(chan struct{})
			r.id, r.done = id, done
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.done = nil
				close(done)
			}, nil
		}
		other, done := r.id, r.done
		r.mu.Unlock()
		if other != id {
			return nil, store.Errorf(store.CodeConflict, "another restore is under way (request id %s)", other).WithHint("wait for it to end, then try again")
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, unknownOutcome("the restore is still under way")
		}
	}
}

// Changeable is nil when a write may be proposed now: every voter has room for it.
func (n *Node) Changeable() error {
	if full := n.full(false); full != nil {
		return full
	}
	return nil
}

// upload is the documents of one restore on their way into the log.
type upload struct {
	node    *Node
	target  *store.Image
	archive uint64           // revision of the archive
	command mutation.Command // that commits, without its mutation
	id      string           // of the stage
	staged  map[string]bool  // paths
}

// run stages what differs while others go on writing. Then it holds writers
// back, stages what they changed meanwhile, and commits. Until the commit is
// proposed nothing has changed, whatever went wrong.
func (u *upload) run(ctx context.Context, live *store.Image) settled {
	s, err := u.switchIn(ctx, live)
	if err != nil {
		s.err = err
		if errors.Is(err, store.ErrUnknown) {
			s.err = notProposed("the archive could not be uploaded: " + err.Error())
		}
	}
	if s.err == nil && s.result.Refusal != nil {
		s.err = s.result.Refusal
	}
	if s.err != nil || s.result.Replayed != nil { // an upload that was committed is gone: then this does nothing
		u.abort(u.id)
	}
	return s
}

// switchIn returns what became of the commit, or the error that came before it.
func (u *upload) switchIn(ctx context.Context, live *store.Image) (settled, error) {
	if err := u.send(ctx, mutation.SysStageBegin, mutation.StageBegin{Stage: u.id}); err != nil {
		return settled{}, err
	}
	if err := u.stage(ctx, live); err != nil {
		return settled{}, err
	}
	u.node.writers.Lock()
	defer u.node.writers.Unlock()
	live = u.node.Image() // what was proposed before is applied, unless its caller gave up: then the commit finds out
	if err := u.stage(ctx, live); err != nil {
		return settled{}, err
	}
	commit, err := payload(mutation.SysStageCommit, mutation.StageCommit{Stage: u.id, Base: live.Revision(), Digest: u.target.DataDigest(), Revision: u.archive})
	if err != nil {
		return settled{}, err
	}
	return u.node.proposer.propose(ctx, func(now store.Time) (*mutation.Command, error) {
		c := u.command
		c.Time, c.Mutations = now, []mutation.Mutation{commit}
		return &c, nil
	}), nil
}

func (u *upload) send(ctx context.Context, kind mutation.Kind, v any) error {
	m, err := payload(kind, v)
	if err == nil {
		_, _, err = u.node.system(ctx, "", u.command.Actor, m)
	}
	return err
}

// stage puts every document into the stage that differs from the live state and
// is not there yet, as it will be, byte for byte.
func (u *upload) stage(ctx context.Context, live *store.Image) error {
	var docs []mutation.StageDoc
	size := 0
	flush := func() error {
		if len(docs) == 0 {
			return nil
		}
		put := mutation.StagePut{Stage: u.id, Docs: docs}
		docs, size = nil, 0
		return u.send(ctx, mutation.SysStagePut, put)
	}
	for ch := range snapshot.Diff(live, u.target) {
		if u.staged[ch.Path] {
			continue
		}
		u.staged[ch.Path] = true
		d := mutation.StageDoc{Path: ch.Path}
		if doc := u.target.Get(ch.Path); doc != nil {
			d.Bytes = doc.Bytes
		}
		cost := len(d.Bytes) + len(d.Path) + 64
		if size+cost > store.MaxStagePut {
			if err := flush(); err != nil {
				return err
			}
		}
		docs, size = append(docs, d), size+cost
	}
	return flush()
}

// abort forgets a stage, so that the next restore need not wait for an election:
// the epoch of the next leader would do the same.
func (u *upload) abort(stage string) {
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	if err := u.send(ctx, mutation.SysStageAbort, mutation.StageAbort{Stage: stage}); err != nil {
		u.node.cfg.Log.Debug("the stage was not aborted", "error", err)
	}
}

// payload makes a mutation of the cluster's own bookkeeping.
func payload(kind mutation.Kind, v any) (mutation.Mutation, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return mutation.Mutation{}, fmt.Errorf("%s: %w", kind, err)
	}
	return mutation.Mutation{Kind: kind, Payload: b}, nil
}

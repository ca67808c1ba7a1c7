package node

import (
	"context"
	"fmt"
	"io"
	"time"

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
	Replayed bool // an earlier attempt did it; of what it changed only the number is known any more
	Total    int  // how many documents that were
}

// opRestore is what the request table remembers of a restore.
const opRestore = "restore"

// RestoreRequest is about the call of a restore; the archive is the change.
type RestoreRequest struct {
	ID     string
	AgeUS  int64 // since the caller first made it, microseconds
	NoTime bool  // the id tells nothing of its age
	DryRun bool
	Expect *uint64 // the revision that the archive is to replace; nil: any
}

// change is what makes two restores of one request id the same.
func (r RestoreRequest) change(archive string) []byte {
	if r.Expect != nil {
		archive += fmt.Sprintf(" over revision %d", *r.Expect)
	}
	return []byte(archive)
}

// Restore brings tenants/ and keys/ to what an archive holds, on all nodes at
// one revision or on none. It goes through the log like every change: the
// documents that differ are staged, in commands of their own, and one command
// switches them in. Only the leader does it; system/ stays as it is.
//
// One at a time, from the first byte of the archive on: each takes as much memory
// as the state.
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
	done, err := n.restoring.enter(ctx, restorer{req.ID, by.String(), store.TimeOf(n.cfg.Now())})
	if err != nil {
		return nil, err
	}
	defer done()
	c, err := snapshot.Read(archive, snapshot.Limits{})
	if err != nil {
		return nil, err
	}
	if err := n.opens(c.Image); err != nil {
		return nil, err
	}
	if err := n.confirmed(ctx); err != nil {
		return nil, err
	}
	return n.restore(ctx, c, req, by)
}

// restore does it, with no other restore under way on this node.
func (n *Node) restore(ctx context.Context, c *snapshot.Contents, req RestoreRequest, by access.Actor) (*Restored, error) {
	live := n.Image()
	r := &Restored{Archive: c.Manifest, Before: live.Counts(), After: c.Image.Counts(), Digest: c.Manifest.Digest, Index: live.Index, Revision: live.Revision()}
	need := room{archive: c.Size}
	for ch := range snapshot.Diff(live, c.Image) {
		r.Changes = append(r.Changes, ch)
		need.count(live.Get(ch.Path), c.Image.Get(ch.Path))
	}
	key, err := n.requestKey(live)
	if err != nil {
		return nil, err
	}
	now := n.proposer.time()
	u := newUpload(n, c, need.staged, mutation.Command{
		ID: req.ID, Digest: key.Restore(req.change(c.SHA256)), Op: opRestore, Actor: by.String(), Level: n.level(), Time: now})
	u.expect = req.Expect
	if !req.NoTime {
		u.command.Asked = now - store.Time(max(req.AgeUS, 0))
	}
	if known := applier.Remembered(live, &u.command); known != nil {
		if known.Refusal != nil {
			return nil, known.Refusal
		}
		r.Index, r.Revision, r.Replayed, r.Changes, r.Total = known.Replayed.Index, known.Revision, true, nil, known.Replayed.Total
		return r, nil
	}
	// It was not done before. It is not while it is uploaded either, or the stage is
	// gone; so it may take longer than requests are remembered.
	u.command.Asked = 0
	if req.Expect != nil {
		err := applier.Expected(live.Revision(), *req.Expect)
		if err != nil && req.DryRun {
			err = err.(*store.Error).WithHint("without --expect-revision it is compared with that one")
		}
		if err != nil {
			return nil, err
		}
	}
	if len(r.Changes) == 0 {
		return r, nil
	}
	if err := n.fits(need); err != nil || req.DryRun {
		return r, err
	}
	if err := n.Changeable(); err != nil {
		return nil, err
	}
	if open := live.OpenStage(); open != nil { // nobody is left to finish it
		n.abort(by.String(), open.ID)
	}
	n.cfg.Log.Info("restore begins", "changes", len(r.Changes), "bytes", need.staged, "archive", c.SHA256, "actor", by.String())
	begun := time.Now()
	s := u.run(ctx, live)
	if s.err != nil {
		n.cfg.Log.Warn("restore failed", "error", s.err)
		return nil, s.err
	}
	r.Index, r.Revision = s.index, s.result.Revision
	n.cfg.Log.Info("restore is done", "index", r.Index, "revision", r.Revision, "took", time.Since(begun), "held", u.held)
	return r, nil
}

// Changeable is nil when a write may be proposed now: every voter has room for it.
func (n *Node) Changeable() error {
	if full := n.full(false); full != nil {
		return full
	}
	return nil
}

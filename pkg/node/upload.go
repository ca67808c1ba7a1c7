package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// upload is the documents of one restore on their way into the log.
type upload struct {
	node    *Node
	target  *store.Image
	archive uint64           // revision of the archive
	command mutation.Command // that commits, without its mutation
	expect  *uint64          // what the commit expects
	id      string           // of the stage
	slots   chan struct{}    // as many as puts may be on their way
	failed  atomic.Pointer[error]
	onWay   sync.WaitGroup
	docs    []mutation.StageDoc
	size    int           // of docs, as they count in a put
	sent    atomic.Int64  // bytes of documents that are in the stage
	whole   int64         // bytes of those that have to be
	held    time.Duration // how long writers were held back
}

func newUpload(n *Node, c *snapshot.Contents, whole int64, commit mutation.Command) *upload {
	return &upload{node: n, target: c.Image, archive: c.Manifest.Revision, whole: whole, command: commit, id: uuid.NewString(), slots: make(chan struct{}, putsInFlight)}
}

const (
	// putsInFlight makes the next put while the last one is committed. It is fewer
	// than the entries that may be, so that other writers find a place.
	putsInFlight = 2
	// catchUps is how often an upload stages what others changed meanwhile before
	// it holds them back, and fewChanges when that is not worth it any more.
	catchUps   = 3
	fewChanges = 64
	// maxComparisons bounds how often a commit is compared with the state again,
	// which changes come in late whose callers had given up.
	maxComparisons = 8
)

// run stages what differs while others go on writing. Then it holds writers
// back, stages what they changed meanwhile, and commits. Until the commit is
// proposed nothing has changed, whatever went wrong.
func (u *upload) run(ctx context.Context, live *store.Image) settled {
	s, err := u.switchIn(ctx, live)
	u.onWay.Wait()
	if err != nil {
		s.err = u.broken(ctx, err)
	}
	if s.err == nil && s.result.Refusal != nil {
		s.err = s.result.Refusal
	}
	if s.err != nil || s.result.Replayed != nil { // an upload that was committed is gone: then this does nothing
		u.node.abort(u.command.Actor, u.id)
	}
	return s
}

// broken says why an upload ended before its commit, of whose commands nobody
// need know what became.
func (u *upload) broken(ctx context.Context, err error) error {
	at := fmt.Sprintf("when %s of %s were uploaded", mebibytes(uint64(u.sent.Load())), mebibytes(uint64(u.whole)))
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return notProposed("the time was over " + at).WithHint("give it more with --timeout, at most 1h")
	case ctx.Err() != nil:
		return notProposed("the caller left " + at)
	case errors.Is(err, store.ErrUnknown):
		return notProposed("this node lost the lead " + at)
	}
	return err
}

// switchIn returns what became of the commit, or the error that came before it.
func (u *upload) switchIn(ctx context.Context, live *store.Image) (settled, error) {
	if err := u.send(ctx, mutation.SysStageBegin, mutation.StageBegin{Stage: u.id}); err != nil {
		return settled{}, err
	}
	if err := u.stageAll(ctx, live); err != nil {
		return settled{}, err
	}
	for range catchUps {
		was := live
		live = u.node.Image()
		if changes, err := u.stageSince(ctx, was, live); err != nil {
			return settled{}, err
		} else if changes < fewChanges {
			break
		}
	}
	if err := u.node.writers.close(ctx); err != nil {
		return settled{}, err
	}
	held := time.Now()
	defer func() { u.node.writers.open(); u.held = time.Since(held) }()
	for range maxComparisons {
		was := live
		live = u.node.Image() // what was proposed before is applied, unless its caller gave up: then the commit finds out
		if _, err := u.stageSince(ctx, was, live); err != nil {
			return settled{}, err
		}
		commit, err := payload(mutation.SysStageCommit, mutation.StageCommit{Stage: u.id, Base: live.Revision(), Digest: u.target.DataDigest(), Revision: u.archive, Expect: u.expect})
		if err != nil {
			return settled{}, err
		}
		s := taken(ctx, func() settled {
			return u.node.proposer.propose(ctx, func(now store.Time) (*mutation.Command, error) {
				c := u.command
				c.Time, c.Mutations = now, []mutation.Mutation{commit}
				return &c, nil
			})
		})
		if s.err != nil || !s.result.Stale {
			return s, nil
		}
	}
	return settled{}, notProposed(fmt.Sprintf("the state changed %d times while the restore was to take its place", maxComparisons))
}

func (u *upload) send(ctx context.Context, kind mutation.Kind, v any) error {
	m, err := payload(kind, v)
	if err != nil {
		return err
	}
	return taken(ctx, func() settled {
		_, _, err := u.node.system(ctx, "", u.command.Actor, m)
		return settled{err: err}
	}).err
}

// taken proposes a command again while raft is too busy to take it: a restore is
// too large to begin anew for that.
func taken(ctx context.Context, propose func() settled) (s settled) {
	for s = propose(); s.err == errNotTaken && ctx.Err() == nil; s = propose() {
	}
	return s
}

// stageAll puts every document into the stage that differs from the live state.
func (u *upload) stageAll(ctx context.Context, live *store.Image) error {
	for ch := range snapshot.Diff(live, u.target) {
		if err := u.put(ctx, ch.Path); err != nil {
			return err
		}
	}
	return u.settle(ctx)
}

// stageSince puts into the stage what came to differ between two states, the
// first of which was compared before. It returns how much there was to look at.
func (u *upload) stageSince(ctx context.Context, was, live *store.Image) (changes int, err error) {
	for ch := range snapshot.Diff(was, live) {
		changes++
		want := u.target.Get(ch.Path)
		if !alike(was.Get(ch.Path), want) || alike(live.Get(ch.Path), want) {
			continue // it is in the stage, or need not be
		}
		if err := u.put(ctx, ch.Path); err != nil {
			return changes, err
		}
	}
	return changes, u.settle(ctx)
}

func alike(a, b *store.Doc) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a == b || bytes.Equal(a.Bytes, b.Bytes)
}

// put puts a document into the stage as it will be, byte for byte, or soon will.
func (u *upload) put(ctx context.Context, path string) error {
	d := mutation.StageDoc{Path: path}
	if doc := u.target.Get(path); doc != nil {
		d.Bytes = doc.Bytes
	}
	cost := len(d.Bytes) + len(d.Path) + 64
	if u.size+cost > store.MaxStagePut {
		if err := u.flush(ctx); err != nil {
			return err
		}
	}
	u.docs, u.size = append(u.docs, d), u.size+cost
	return nil
}

// flush sends what there is, and does not wait for it.
func (u *upload) flush(ctx context.Context) error {
	if err := u.failed.Load(); err != nil {
		return *err
	}
	if len(u.docs) == 0 {
		return nil
	}
	docs, bytes := u.docs, int64(0)
	u.docs, u.size = nil, 0
	for _, d := range docs {
		bytes += int64(len(d.Bytes))
	}
	u.slots <- struct{}{}
	u.onWay.Go(func() {
		defer func() { <-u.slots }()
		if err := u.send(ctx, mutation.SysStagePut, mutation.StagePut{Stage: u.id, Docs: docs}); err != nil {
			u.failed.CompareAndSwap(nil, &err)
			return
		}
		u.sent.Add(bytes)
	})
	return nil
}

// settle sends what there is, and waits until all of it is in the stage.
func (u *upload) settle(ctx context.Context) error {
	err := u.flush(ctx)
	u.onWay.Wait()
	if failed := u.failed.Load(); failed != nil {
		return *failed
	}
	return err
}

// payload makes a mutation of the cluster's own bookkeeping.
func payload(kind mutation.Kind, v any) (mutation.Mutation, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return mutation.Mutation{}, fmt.Errorf("%s: %w", kind, err)
	}
	return mutation.Mutation{Kind: kind, Payload: b}, nil
}

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

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
}

// opRestore is what the request table remembers of a restore.
const opRestore = "restore"

// Restore brings tenants/ and keys/ to what an archive holds, on all nodes at
// one revision or on none. It goes through the log like every change: the
// documents that differ are staged, in commands of their own, and one command
// switches them in. Only the leader does it; system/ stays as it is.
//
// raft.Restore is never called: it changes the leader first, and a leader that
// is cut off meanwhile can end with another state than its followers.
func (n *Node) Restore(ctx context.Context, archive io.Reader, requestID string, dryRun bool, actor string) (*Restored, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := store.CheckRequestID(requestID); err != nil {
		return nil, store.Errorf(store.CodeInvalid, "%v", err)
	}
	c, err := snapshot.Read(archive, snapshot.Limits{})
	if err != nil {
		return nil, err
	}
	if err := n.opens(c.Image); err != nil {
		return nil, err
	}
	index, err := n.ReadIndex(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.WaitApplied(ctx, index); err != nil {
		return nil, err
	}
	u := &upload{node: n, target: c.Image, actor: actor, id: uuid.NewString(), staged: map[string]bool{}}
	live := n.Image()
	done := &Restored{Archive: c.Manifest, Before: live.Counts(), After: c.Image.Counts(), Digest: c.Manifest.Digest, Index: live.Index, Revision: live.Revision()}
	for ch := range snapshot.Diff(live, c.Image) {
		done.Changes = append(done.Changes, ch)
	}
	digest := n.key.MAC(opRestore, []byte(c.SHA256))
	if r := live.Request(requestID); r != nil {
		res := applier.Replay(r, digest)
		if res.Refusal != nil {
			return nil, res.Refusal
		}
		done.Index, done.Revision = r.Index, r.Revision
		return done, nil
	}
	if dryRun || len(done.Changes) == 0 {
		return done, nil
	}
	if err := n.Changeable(); err != nil {
		return nil, err
	}
	n.cfg.Log.Info("restore begins", "changes", len(done.Changes), "archive", c.SHA256, "actor", actor)
	res, at, err := u.run(ctx, live, requestID, digest, c.Manifest.Revision)
	if err != nil {
		n.cfg.Log.Warn("restore failed", "error", err)
		return nil, err
	}
	done.Index, done.Revision = at, res.Revision
	n.cfg.Log.Info("restore is done", "index", at, "revision", res.Revision)
	return done, nil
}

// Changeable is nil when a write may be proposed now: every voter has room for it.
func (n *Node) Changeable() error {
	if full := n.full.Load(); full != nil {
		return full
	}
	return nil
}

// opens checks that the sealed keys of an archive open with this cluster's key:
// restored without that, no token could be signed.
func (n *Node) opens(img *store.Image) error {
	for d := range img.Scan("keys/") {
		ref, err := store.ParsePath(d.Path)
		if err != nil || ref.Kind != "keyset" {
			continue
		}
		ks, err := store.Stored[store.Keyset](d)
		if err != nil {
			return err
		}
		for _, k := range ks.Keys {
			if k.PrivateKey == nil {
				continue
			}
			if _, err := n.key.Open(*k.PrivateKey, SealLabel(ks.Tenant, k.KID, k.Alg)...); err != nil {
				return store.Errorf(store.CodeIntegrity, "key %s of %q in the archive does not open with this cluster's key (%s): %v", k.KID, ks.Tenant, n.key.ID(), err).
					WithHint("the archive is of another cluster; nothing was changed")
			}
		}
	}
	return nil
}

// upload is the documents of one restore on their way into the log.
type upload struct {
	node   *Node
	target *store.Image
	actor  string
	id     string          // of the stage
	staged map[string]bool // paths
}

// run stages what differs while others go on writing. Then it holds writers
// back, stages what they changed meanwhile, and commits.
func (u *upload) run(ctx context.Context, live *store.Image, requestID string, digest store.RequestDigest, revision uint64) (applier.Result, uint64, error) {
	begin, err := payload(mutation.SysStageBegin, mutation.StageBegin{Stage: u.id})
	if err != nil {
		return applier.Result{}, 0, err
	}
	if _, _, err := u.node.system(ctx, "", u.actor, begin); err != nil {
		return applier.Result{}, 0, err
	}
	res, at, err := u.switchIn(ctx, live, requestID, digest, revision)
	if err != nil && !errors.Is(err, store.ErrUnknown) {
		u.abort()
	}
	return res, at, err
}

func (u *upload) switchIn(ctx context.Context, live *store.Image, requestID string, digest store.RequestDigest, revision uint64) (applier.Result, uint64, error) {
	if err := u.stage(ctx, live); err != nil {
		return applier.Result{}, 0, err
	}
	u.node.writers.Lock()
	defer u.node.writers.Unlock()
	live = u.node.Image() // every command that was proposed before is applied: their callers have let go
	if err := u.stage(ctx, live); err != nil {
		return applier.Result{}, 0, err
	}
	commit, err := payload(mutation.SysStageCommit, mutation.StageCommit{Stage: u.id, Base: live.Revision(), Digest: u.target.DataDigest(), Revision: revision})
	if err != nil {
		return applier.Result{}, 0, err
	}
	s := u.node.proposer.propose(ctx, func(now store.Time) (*mutation.Command, error) {
		return &mutation.Command{ID: requestID, Digest: digest, Op: opRestore, Actor: u.actor, Time: now, Level: mutation.Level, Mutations: []mutation.Mutation{commit}}, nil
	})
	if s.err != nil {
		return applier.Result{}, 0, s.err
	}
	if s.result.Refusal != nil {
		return applier.Result{}, 0, s.result.Refusal
	}
	return s.result, s.index, nil
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
		m, err := payload(mutation.SysStagePut, mutation.StagePut{Stage: u.id, Docs: docs})
		if err != nil {
			return err
		}
		docs, size = nil, 0
		_, _, err = u.node.system(ctx, "", u.actor, m)
		return err
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

// abort forgets the stage, so that the next restore need not wait for an
// election. It is only a courtesy: the epoch of the next leader does the same.
func (u *upload) abort() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	m, err := payload(mutation.SysStageAbort, mutation.StageAbort{Stage: u.id})
	if err == nil {
		_, _, err = u.node.system(ctx, "", u.actor, m)
	}
	if err != nil {
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

package applier

import (
	"fmt"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func (ch *change) stageBegin(m *mutation.Mutation) error {
	b, err := decode[mutation.StageBegin](m)
	if err != nil {
		return err
	}
	if open := ch.OpenStage(); open != nil {
		return store.Errorf(store.CodeConflict, "another restore is under way, since %s by %s", open.Since, open.Actor).
			WithHint("wait for it to end, then try again")
	}
	return ch.BeginStage(store.Stage{ID: b.Stage, Actor: ch.Actor, Since: ch.Time})
}

// stagePut adds documents to the open stage, each checked as it arrives.
func (ch *change) stagePut(m *mutation.Mutation) error {
	p, err := decode[mutation.StagePut](m)
	if err != nil {
		return err
	}
	if err := ch.ownStage(p.Stage); err != nil {
		return err
	}
	size := ch.StageBytes()
	for _, d := range p.Docs {
		size += int64(len(d.Bytes))
		if d.Bytes == nil {
			if _, err := store.ParsePath(d.Path); err != nil {
				return store.Errorf(store.CodeInvalid, "%v", err)
			}
		} else if _, err := store.DecodeDoc(d.Path, d.Bytes); err != nil {
			return err
		} else if id := ch.sealedRight(d.Path, d.Bytes); id != "" {
			return store.Errorf(store.CodeConflict, "%s is sealed under the cluster key %s, which was retired meanwhile; nothing was changed", d.Path, id)
		}
	}
	if size > store.MaxStage {
		return store.Errorf(store.CodeRefused, "a restore may change at most %d MiB of documents", store.MaxStage>>20)
	}
	for _, d := range p.Docs {
		if err := ch.PutStaged(d.Path, d.Bytes); err != nil {
			return err
		}
	}
	return nil
}

// stageCommit switches the staged documents in at one revision, if the state
// is still the one they were computed from and comes to the expected digest.
func (ch *change) stageCommit(m *mutation.Mutation) error {
	c, err := decode[mutation.StageCommit](m)
	if err != nil {
		return err
	}
	if err := ch.ownStage(c.Stage); err != nil {
		return err
	}
	now := ch.Counters().Revision
	if c.Expect != nil {
		if err := Expected(now, *c.Expect); err != nil {
			return err
		}
	}
	if now != c.Base { // not the caller's doing: the leader looks again
		return fmt.Errorf("the state is at revision %d, not at %d, with which the archive was compared: %w", now, c.Base, errStale)
	}
	docs := 0
	for s := range ch.StagedDocs() {
		docs++
		if s.Doc != nil && s.Doc.Revision > max(ch.Counters().Revision, c.Revision) {
			return store.Errorf(store.CodeIntegrity, "%s is staged at revision %d, above the archive's, %d; nothing was changed", s.Path, s.Doc.Revision, c.Revision)
		}
	}
	rollback := ch.Savepoint()
	ch.CommitStage()
	if got := ch.DataDigest(); got != c.Digest {
		rollback()
		return store.Errorf(store.CodeIntegrity, "the staged documents come to digest %s, not %s; nothing was changed", got, c.Digest)
	}
	counters := ch.Counters()
	counters.Revision = max(counters.Revision, c.Revision) // the command itself adds one
	ch.SetCounters(counters)
	ch.moved, ch.total = true, docs // their names are those of all tenants, and many
	return nil
}

// Expected says why an archive that is to replace one revision of the state does
// not replace another.
func Expected(now, want uint64) error {
	if now == want {
		return nil
	}
	return store.Errorf(store.CodeConflict, "the state is at revision %d, not %d; nothing was changed", now, want).
		WithHint("see what would be lost with: cpctl restore FILE --dry-run")
}

func (ch *change) stageAbort(m *mutation.Mutation) error {
	a, err := decode[mutation.StageAbort](m)
	if err != nil {
		return err
	}
	if err := ch.ownStage(a.Stage); err != nil {
		return err
	}
	ch.DropStage()
	return nil
}

func (ch *change) ownStage(id string) error {
	if open := ch.OpenStage(); open == nil || open.ID != id {
		return store.Errorf(store.CodeConflict, "%s", fmt.Sprintf("the upload %s is no longer open: another leader was elected meanwhile; nothing was changed", id))
	}
	return nil
}

package node

import (
	"context"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// restorer is who restores.
type restorer struct {
	id    string // of the request
	actor string
	since store.Time
}

// restoring lets one restore at a time through. A second call with the same
// request id waits for the first: it will find its answer. One with another waits
// no longer than a restore takes to end that nobody waits for any more.
type restoring struct {
	mu   sync.Mutex
	by   restorer
	done chan struct{} // nil: none is under way
}

const restoreEnds = 2 * time.Second

func (r *restoring) enter(ctx context.Context, by restorer) (leave func(), err error) {
	patience := time.NewTimer(restoreEnds)
	defer patience.Stop()
	for {
		r.mu.Lock()
		if r.done == nil {
			done := make(chan struct{})
			r.by, r.done = by, done
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.done = nil
				close(done)
			}, nil
		}
		other, done := r.by, r.done
		r.mu.Unlock()
		stranger := patience.C
		if other.id == by.id {
			stranger = nil
		}
		select {
		case <-done:
		case <-stranger:
			return nil, store.Errorf(store.CodeConflict, "another restore is under way: request %s of %s, since %s", other.id, other.actor, other.since).
				WithHint("wait for it to end, then look at the state and try again")
		case <-ctx.Done():
			return nil, unknownOutcome("the restore is still under way")
		}
	}
}

func (r *restoring) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done == nil
}

// dropForsaken forgets a stage that nobody will finish: the upload that opened it
// has ended and could not say so. It looks at the state first, so that a stage
// which is opened meanwhile is another one.
func (n *Node) dropForsaken() {
	if open := n.Image().OpenStage(); open != nil && n.restoring.idle() {
		n.cfg.Log.Warn("dropping what is left of a restore that nobody will finish", "actor", open.Actor, "since", open.Since.String())
		n.abort(actorSystem, open.ID)
	}
}

// abort forgets a stage, so that the next restore need not wait for an election:
// the epoch of the next leader would do the same.
func (n *Node) abort(actor, stage string) {
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	m, err := payload(mutation.SysStageAbort, mutation.StageAbort{Stage: stage})
	if err == nil {
		_, _, err = n.system(ctx, "", actor, m)
	}
	if err != nil {
		n.cfg.Log.Debug("the stage was not aborted", "error", err)
	}
}

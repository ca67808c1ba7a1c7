package node

import (
	"context"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// maxCompletions bounds how often a request is completed anew because others
// changed its document meanwhile.
const maxCompletions = 32

// Write carries out a request of an actor that was authenticated, if the actor may. Only the
// leader does; others answer ErrNotLeader. The answer comes when the change is
// committed and applied here.
//
// Errors are *store.Error: a refusal, unavailable when certainly nothing was
// proposed, unknown_outcome when nobody knows and the same request has to be
// sent again.
func (n *Node) Write(ctx context.Context, req *mutation.Request, by access.Actor) (*mutation.Answer, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := n.ration.take(by, costOf(req), time.Now()); err != nil { // before anything is looked at: refusals cost, too
		return nil, err
	}
	d, err := n.newDraft(req, by)
	if err != nil {
		return nil, err
	}
	for range maxCompletions {
		img := n.Image()
		now := n.proposer.time()
		if known := applier.Remembered(img, d.command(now)); known != nil {
			return n.replayed(img, d, known)
		}
		// Each step takes its time with a large document. What is done for callers
		// who have left makes others wait until they leave, too.
		if ctx.Err() != nil {
			return nil, notProposed(givenUp)
		}
		p, err := d.complete(img, now)
		if ctx.Err() != nil {
			return nil, notProposed(givenUp)
		}
		if err == nil && p.command != nil && !req.DryRun {
			if res := applier.Check(img, p.command); res.Refusal != nil && !res.Stale {
				err = res.Refusal
			}
		}
		if err != nil || p.command == nil || req.DryRun {
			return n.early(ctx, d)
		}
		checked := p.command
		var refused error // by a later completion: as early as the others
		s := n.proposeChange(ctx, func(now store.Time) (*mutation.Command, error) {
			if checked != nil { // good unless a later command was faster into the queue
				c := checked
				checked = nil
				return c, nil
			}
			if p, refused = d.complete(n.Image(), now); refused == nil && p.command == nil {
				refused = errNothingLeft
			}
			if refused != nil {
				return nil, refused
			}
			return p.command, nil
		})
		switch {
		case refused != nil:
			return n.early(ctx, d)
		case s.err != nil:
			return nil, s.err
		case s.result.Replayed != nil:
			return n.replayed(n.Image(), d, &s.result)
		case s.result.Stale:
			continue
		case s.result.Refusal != nil:
			return nil, s.result.Refusal
		}
		return p.answer(s.index, s.result)
	}
	return n.final(ctx, d, nil, store.Errorf(store.CodeConflict, "%s changed %d times while this request was being made", d.name(), maxCompletions).
		WithHint("nothing was changed by it; try again"))
}

// proposeChange proposes a command that may change tenants/ or keys/. A restore
// that is about to commit holds these back.
func (n *Node) proposeChange(ctx context.Context, build func(store.Time) (*mutation.Command, error)) settled {
	if err := n.writers.enter(ctx); err != nil {
		return settled{err: err}
	}
	defer n.writers.leave()
	return n.proposer.propose(ctx, build)
}

// errNothingLeft says that a request, completed again, has nothing to change.
var errNothingLeft = store.Errorf(store.CodeInternal, "nothing to propose")

// early answers a request that need not or must not enter the log: a refusal, a
// dry run, or nothing to change. Such an answer depends on the state, so it is
// given only from a state that is confirmed to be no older than the request.
func (n *Node) early(ctx context.Context, d *draft) (*mutation.Answer, error) {
	a, err := n.fromState(ctx, d)
	if d.req.DryRun || a != nil && a.Replayed {
		return a, err
	}
	return n.final(ctx, d, a, err)
}

// final makes an answer that is not in the log the last one to a request. An
// attempt that was sent before, and is still on a line that is slow, would find
// another state when it arrives: it must not be carried out after its caller was
// told otherwise. A request that was sent once has no such attempt.
func (n *Node) final(ctx context.Context, d *draft, a *mutation.Answer, err error) (*mutation.Answer, error) {
	var refusal *store.Error
	if !d.req.Again || err != nil && (!errors.As(err, &refusal) || !ofTheState(refusal)) {
		return a, err
	}
	m, err2 := payload(mutation.SysAnswer, mutation.Answered{Refusal: refusal})
	if err2 != nil {
		return nil, err2
	}
	s := n.proposer.propose(ctx, func(now store.Time) (*mutation.Command, error) { return d.command(now, m), nil })
	switch {
	case s.err != nil:
		return nil, s.err
	case s.result.Replayed != nil:
		return n.replayed(n.Image(), d, &s.result)
	case s.result.Refusal != nil && s.result.Refusal.Code == store.CodeRequestReused:
		return nil, s.result.Refusal
	}
	return a, err
}

// ofTheState reports whether an error is what the state says of a request. Others
// are of this node: what it cannot do another may, and must not be told for good.
func ofTheState(e *store.Error) bool {
	switch e.Code {
	case store.CodeInvalid, store.CodeNotFound, store.CodeExists, store.CodeConflict, store.CodeRequestReused, store.CodeRefused:
		return true
	}
	return false
}

// fromState is what a confirmed state says of a request.
func (n *Node) fromState(ctx context.Context, d *draft) (*mutation.Answer, error) {
	if err := n.confirmed(ctx); err != nil {
		return nil, err
	}
	img := n.Image()
	now := n.proposer.time()
	if known := applier.Remembered(img, d.command(now)); known != nil {
		return n.replayed(img, d, known)
	}
	p, err := d.complete(img, now)
	if err != nil {
		return nil, err
	}
	if p.command == nil {
		return p.nothing(img), nil
	}
	res := applier.Check(img, p.command)
	if res.Refusal != nil && !res.Stale {
		return nil, res.Refusal
	}
	if !d.req.DryRun { // what stood in the way is gone by now
		return nil, notProposed("the state changed while the request was checked")
	}
	a, err := p.answer(img.Index, res)
	if err != nil {
		return nil, err
	}
	a.DryRun, a.Secret = true, ""
	return a, nil
}

// replayed answers a request that was done before.
func (n *Node) replayed(img *store.Image, d *draft, res *applier.Result) (*mutation.Answer, error) {
	if res.Refusal != nil {
		return nil, res.Refusal
	}
	r := res.Replayed
	a := &mutation.Answer{Outcome: mutation.OutcomeOf(mutation.Op(r.Op)), Index: r.Index, Revision: r.Revision, Replayed: true}
	if len(r.Names) == 0 { // there was nothing to change
		a.Outcome = mutation.Unchanged
		if p, err := d.complete(img, n.proposer.time()); err == nil {
			a.Name = p.ref.String()
		}
		return a, nil
	}
	a.Name = r.Names[0]
	if a.Outcome == mutation.Deleted {
		a.Deleted, a.DeletedTotal = r.Names, max(r.Total, len(r.Names))
		return a, nil
	}
	ref, err := store.ParseRef(a.Name)
	if err != nil {
		return a, nil
	}
	doc := img.Get(ref.Path())
	if doc == nil || doc.Revision != r.Revision {
		a.Changed = true
		return a, nil
	}
	if a.Document, err = store.View(doc.Bytes); err != nil {
		return nil, err
	}
	a.Secret = d.secretOf(doc)
	return a, nil
}

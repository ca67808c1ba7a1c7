package node

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Rekeyed says how far a roll-over of the cluster key has come.
type Rekeyed struct {
	Roll     string // id of the roll-over: with it the next call goes on
	Phase    string // begun, switched, retired
	KeyID    string // of the new key
	OldKeyID string
	Values   int      // sealed anew so far
	Waiting  []string // what it waits for
	Index    uint64
	Done     bool
}

const (
	rekeySlice    = 2 * time.Second // of the roll-over, in one call: the caller hears how it goes on
	rekeyLook     = 50 * time.Millisecond
	rekeyPatience = 5 * time.Second // for members without a vote that answer and do not get the key
)

// Rekey takes the cluster from its key to a new one, or goes on with what an
// earlier call, or an earlier leader, has begun. It returns after a while even
// if there is more to do; the caller calls again with the Roll of the answer. An
// id that has come to its end before is answered from the record. Only the
// leader does it.
//
//	begin   the new key is on this node's disk, its name is in the state
//	        every node fetches it, and says so once it is on its disk
//	switch  every voter has it: it seals from now on, the old one opens
//	rewrap  what is sealed under the old key is sealed under the new one
//	retire  nothing is left under the old key: every node gives it up
//
// Each step is a command, and the state says which is next. A crash leaves the
// cluster at one of them, where it works as before.
func (n *Node) Rekey(ctx context.Context, roll string, by access.Actor) (*Rekeyed, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := n.may(by, access.Rotate, ""); err != nil {
		return nil, err
	}
	if err := store.CheckRequestID(roll); err != nil {
		return nil, store.Errorf(store.CodeInvalid, "%v", err)
	}
	select {
	case <-n.rekeying:
		defer func() { n.rekeying <- struct{}{} }()
	case <-ctx.Done():
		return nil, notProposed("another call rolls the cluster key over")
	}
	return (&rekeying{node: n, actor: by.String(), began: time.Now()}).run(ctx, roll)
}

// rekeying is one call of Rekey.
type rekeying struct {
	node  *Node
	actor string
	began time.Time
	index uint64 // of the last step
}

func (r *rekeying) run(ctx context.Context, roll string) (*Rekeyed, error) {
	for {
		img := r.node.Image()
		state := rollover(img)
		if past, ok := state.Done(roll); ok {
			return r.ended(ctx, &past)
		}
		var waiting []string
		var err error
		switch state.Phase {
		case "":
			err = r.begin(ctx, img, roll, "")
		case mutation.RollBegun:
			roll = state.Roll
			waiting, err = r.handOut(ctx, img, &state)
		case mutation.RollSwitched:
			roll = state.Roll
			waiting, err = r.rewrapOrRetire(ctx, img, &state)
		}
		if errors.Is(err, store.ErrConflict) && time.Since(r.began) < rekeySlice {
			waiting, err = []string{err.Error()}, nil // the state went on without this call: it is looked at again
		}
		if err != nil {
			return nil, err
		}
		if len(waiting) == 0 && time.Since(r.began) < rekeySlice {
			continue
		}
		if time.Since(r.began) >= rekeySlice {
			return r.progress(roll, waiting), nil
		}
		select {
		case <-time.After(rekeyLook):
		case <-ctx.Done():
			return r.progress(roll, waiting), nil
		}
	}
}

// progress says how far the roll-over is. It may have come to its end with the
// last step, or not have begun: the next call is about the same one.
func (r *rekeying) progress(roll string, waiting []string) *Rekeyed {
	img := r.node.Image()
	state, keys := rollover(img), named(img)
	if past, ok := state.Done(roll); ok {
		return r.over(&past)
	}
	out := &Rekeyed{Roll: cmp.Or(state.Roll, roll), Phase: state.Phase, KeyID: state.Next.ID, OldKeyID: keys[0].ID, Values: state.Values, Waiting: waiting, Index: img.Index}
	if state.Phase == mutation.RollSwitched {
		out.KeyID, out.OldKeyID = keys[0].ID, state.Old.ID
	}
	return out
}

func (r *rekeying) over(past *mutation.PastKey) *Rekeyed {
	return &Rekeyed{Roll: past.Roll, Phase: "retired", KeyID: past.By, OldKeyID: past.ID, Values: past.Values, Index: max(r.index, r.node.Image().Index), Done: true}
}

// ended answers for a roll-over that came to its end, once the members that
// answer have given the old key up, or after a moment.
func (r *rekeying) ended(ctx context.Context, past *mutation.PastKey) (*Rekeyed, error) {
	n := r.node
	out := r.over(past)
	for {
		out.Waiting = nil
		for _, m := range n.Members() {
			p, ok := n.heard(m.ID)
			if m.ID == n.self.NodeID {
				p, ok = n.Progress(), true
			}
			if ok && p.has(past.KeyName) {
				out.Waiting = append(out.Waiting, m.Name+" still has the old key")
			}
		}
		if len(out.Waiting) == 0 || time.Since(r.began) >= rekeySlice {
			return out, nil
		}
		select {
		case n.look <- struct{}{}:
		default:
		}
		select {
		case <-time.After(rekeyLook):
		case <-ctx.Done():
			return out, nil
		}
	}
}

package node

import (
	"context"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
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
	if err := access.Check(by, access.Rotate, ""); err != nil {
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
			return r.progress(waiting), nil
		}
		select {
		case <-time.After(rekeyLook):
		case <-ctx.Done():
			return r.progress(waiting), nil
		}
	}
}

func (r *rekeying) progress(waiting []string) *Rekeyed {
	img := r.node.Image()
	state, keys := rollover(img), named(img)
	out := &Rekeyed{Roll: state.Roll, Phase: state.Phase, KeyID: state.Next.ID, OldKeyID: keys[0].ID, Values: state.Values, Waiting: waiting, Index: img.Index}
	if state.Phase == mutation.RollSwitched {
		out.KeyID, out.OldKeyID = keys[0].ID, state.Old.ID
	}
	return out
}

// begin makes a key, or the next attempt at one, and puts its name on record.
// It is on this disk before: nobody else has it yet.
func (r *rekeying) begin(ctx context.Context, img *store.Image, roll, replaces string) error {
	n := r.node
	if err := n.Changeable(); err != nil {
		return err
	}
	old, err := n.sealing(img)
	if err != nil {
		return err
	}
	key, err := pki.NewClusterKey()
	if err != nil {
		return err
	}
	step := mutation.Rekey{Step: mutation.RekeyBegin, Roll: roll, Key: mutation.KeyName{ID: key.ID(), Check: key.Check()}, Replaces: replaces}
	if step.RequestKey, err = n.ownRequestKey(img, old); err != nil {
		return err
	}
	n.keys.mu.Lock()
	n.keys.made = step.Key.Check
	err = n.putRing(pki.NewKeyring(old, key))
	n.keys.mu.Unlock()
	if err != nil {
		return store.Errorf(store.CodeUnavailable, "nothing was changed: the new cluster key cannot be written: %v", err)
	}
	if err := r.step(ctx, step); err != nil {
		if errors.Is(err, store.ErrUnavailable) { // certainly not on record
			n.keys.mu.Lock()
			n.keys.made = ""
			n.keys.mu.Unlock()
		}
		return err
	}
	n.cfg.Log.Info("a roll-over of the cluster key begins", "key", key.ID(), "old", old.ID(), "replaces", replaces, "actor", r.actor)
	return nil
}

// step proposes one step.
func (r *rekeying) step(ctx context.Context, s mutation.Rekey) error {
	m, err := payload(mutation.SysRekey, s)
	if err != nil {
		return err
	}
	_, index, err := r.node.system(ctx, "", r.actor, m)
	r.index = max(r.index, index)
	return err
}

// handOut waits until the nodes have the new key, and switches.
func (r *rekeying) handOut(ctx context.Context, img *store.Image, state *mutation.Rollover) (waiting []string, err error) {
	n := r.node
	if _, ok := n.ring().Key(state.Next.ID, state.Next.Check); !ok {
		if found, err := r.findKey(img, state); err != nil || found {
			return nil, err
		}
		n.cfg.Log.Warn("nobody has the new cluster key that an earlier leader made; another one is made", "key", state.Next.ID)
		return nil, r.begin(ctx, img, state.Roll, state.Next.ID)
	}
	n.members.Lock() // nobody gets a vote between the look and the step
	defer n.members.Unlock()
	if waiting = r.without(state.Next); len(waiting) > 0 {
		return waiting, nil
	}
	if err := r.step(ctx, mutation.Rekey{Step: mutation.RekeySwitch, Roll: state.Roll, Key: state.Next}); err != nil {
		return nil, err
	}
	n.cfg.Log.Info("the new cluster key seals from now on", "key", state.Next.ID)
	return nil, nil
}

// findKey asks the members for the new key, which this leader does not have.
func (r *rekeying) findKey(img *store.Image, state *mutation.Rollover) (bool, error) {
	n := r.node
	n.keys.mu.Lock()
	n.keys.asked = time.Time{}
	n.keys.mu.Unlock()
	if _, err := n.tendKeys(img); err != nil {
		return false, store.Errorf(store.CodeUnavailable, "nothing was changed: the new cluster key cannot be written: %v", err)
	}
	_, ok := n.ring().Key(state.Next.ID, state.Next.Check)
	return ok, nil
}

// without lists the members that do not have a key yet and are waited for: every
// voter, and for a moment those without a vote that answer. One that is away
// gets the key when it is back.
func (r *rekeying) without(key mutation.KeyName) (waiting []string) {
	n := r.node
	for _, m := range n.Members() {
		if m.ID == n.self.NodeID {
			continue
		}
		p, ok := n.heard(m.ID)
		switch {
		case ok && p.has(key):
		case !ok && m.Voter:
			waiting = append(waiting, m.Name+" does not answer")
		case ok && (m.Voter || time.Since(r.began) < rekeyPatience):
			waiting = append(waiting, m.Name+" does not have the new key yet")
		}
	}
	if len(waiting) > 0 {
		select {
		case n.look <- struct{}{}: // the answers are half a second old at most; this makes it less
		default:
		}
	}
	return waiting
}

// ended answers for a roll-over that came to its end, once the members that
// answer have given the old key up, or after a moment.
func (r *rekeying) ended(ctx context.Context, past *mutation.PastKey) (*Rekeyed, error) {
	n := r.node
	out := &Rekeyed{Roll: past.Roll, Phase: "retired", KeyID: past.By, OldKeyID: past.ID, Values: past.Values, Index: max(r.index, n.Image().Index), Done: true}
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

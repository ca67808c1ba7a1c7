package node

import (
	"context"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

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
	if err := n.members.take(ctx, membersBusy); err != nil { // nobody gets a vote between the look and the step
		return nil, err
	}
	defer n.members.give()
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

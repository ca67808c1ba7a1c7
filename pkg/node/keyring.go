package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// keyring is the cluster keys of this node. What is in it is in cluster.key, on
// the disk: others count on it.
type keyring struct {
	mu   sync.Mutex // held while the file is changed
	ring atomic.Pointer[pki.Keyring]

	made  string    // check value of a key that this node made to put it on record; by mu
	asked time.Time // when the members were last asked for a key in vain, by mu
	said  time.Time // when the log last said that a key is missing, by mu
}

// ring returns the cluster keys that this node holds.
func (n *Node) ring() pki.Keyring {
	if r := n.keys.ring.Load(); r != nil {
		return *r
	}
	return pki.Keyring{}
}

// putRing makes the keys durable, then this node's. keys.mu is held.
func (n *Node) putRing(r pki.Keyring) error {
	if err := disk.Save(n.dir.disk, n.dir.file("cluster.key"), r.Encode()); err != nil {
		return err
	}
	n.keys.ring.Store(&r)
	return nil
}

// ClusterKey is the cluster key of that id as it stands in cluster.key, for
// another node of the cluster, whose certificate the caller has seen.
func (n *Node) ClusterKey(id string) ([]byte, error) {
	for _, want := range named(n.Image()) {
		if key, ok := n.ring().Key(want.ID, want.Check); ok && id == want.ID {
			return key.Encode(), nil
		}
	}
	return nil, store.Errorf(store.CodeNotFound, "node %q does not have the cluster key %s", n.self.Name, id)
}

// named are the cluster keys that a state names: the one that seals, then the
// other one of a roll-over. None before the cluster is on record.
func named(img *store.Image) (keys []mutation.KeyName) {
	var f mutation.Found
	if !img.System(applier.ClusterPath, &f) {
		return nil
	}
	keys = append(keys, mutation.KeyName{ID: f.KeyID, Check: f.KeyCheck})
	switch roll := rollover(img); roll.Phase {
	case mutation.RollBegun:
		keys = append(keys, roll.Next)
	case mutation.RollSwitched:
		keys = append(keys, roll.Old)
	}
	return keys
}

// rollover is what the state says of the roll-over of the cluster key.
func rollover(img *store.Image) (r mutation.Rollover) {
	img.System(applier.RekeyPath, &r)
	return r
}

// lacksKey reports whether this node does not have the key that seals.
func (n *Node) lacksKey(img *store.Image) bool {
	want := named(img)
	if len(want) == 0 {
		return false
	}
	_, ok := n.ring().Key(want[0].ID, want[0].Check)
	return !ok
}

// judgeKeys refuses keys of which the cluster knows none, with exit code 11. A
// key that was the cluster's before is none of these: a roll-over has passed
// this node by, and it will ask for the new key.
func (n *Node) judgeKeys(img *store.Image) error {
	want := named(img)
	if len(want) == 0 {
		return nil
	}
	roll := rollover(img)
	for _, check := range n.ring().Checks() {
		for _, w := range want {
			if w.Check == check {
				return nil
			}
		}
		if roll.Knows(check) {
			return nil
		}
	}
	return store.Errorf(store.CodeIntegrity, "%s is the key of another cluster: its id is %s, not %s", n.dir.file("cluster.key"), n.ring().IDs(), want[0].ID)
}

// How often a node compares its keys with those that the state names, asks for
// one that nobody gave it, and says that one is missing.
const (
	tendKeysEvery = 100 * time.Millisecond
	askKeysEvery  = time.Second
	sayKeysEvery  = 10 * time.Second
)

// watchKeys keeps the keys of this node at what the state names.
func (n *Node) watchKeys() {
	tick := time.NewTicker(tendKeysEvery)
	defer tick.Stop()
	var seen *store.Doc
	var failed time.Time
	for {
		select {
		case <-tick.C:
		case <-n.closing:
			return
		}
		img := n.Image()
		now := img.Get(applier.RekeyPath)
		if now == seen && !n.lacksKey(img) && n.settled.Load() || time.Since(failed) < askKeysEvery { // most of the time
			continue
		}
		if n.settled.Load() {
			if err := n.judgeKeys(img); err != nil {
				n.fail(err)
				return
			}
		}
		done, err := n.tendKeys(img)
		if err != nil {
			failed = time.Now()
			n.cfg.Log.Error("cluster.key cannot be written; a roll-over of the cluster key waits for this node", "error", err)
		}
		if done && n.settled.Load() {
			seen = now
		}
	}
}

// tendKeys brings the keys of this node to what a state names, and reports
// whether they are there. A key is given up only when the state says that it is
// past, or when its place is needed, and never before the key that seals is here.
func (n *Node) tendKeys(img *store.Image) (done bool, err error) {
	n.keys.mu.Lock()
	defer n.keys.mu.Unlock()
	had := n.ring()
	var keep []pki.ClusterKey
	done = true
	for i, want := range named(img) {
		key, ok := had.Key(want.ID, want.Check)
		if !ok {
			key, ok = n.fetchKey(want, i == 0)
		}
		if ok {
			keep = append(keep, key)
		} else if done = false; i == 0 {
			keep = append(keep, had.Keys()...) // by one of them the cluster knows that this node is no stranger
		}
	}
	if len(keep) == 0 {
		return true, nil // the cluster is not on record yet
	}
	for _, k := range had.Keys() {
		if n.maybeNext(img, k) {
			keep = append(keep, k)
			done = false
		}
	}
	now := pki.NewKeyring(keep[0], keep[1:]...)
	if now == had {
		return done, nil
	}
	for _, k := range had.Keys() {
		if _, kept := now.Key(k.ID(), k.Check()); !kept {
			if dispensable, err := n.dispensable(img); !dispensable {
				return false, err
			}
			break
		}
	}
	if err := n.putRing(now); err != nil {
		return false, err
	}
	n.cfg.Log.Info("the cluster keys of this node changed", "now", now.IDs(), "before", had.IDs())
	return done, nil
}

// dispensable reports whether a key that a state does not need may go. The files
// must show that state, since a process beside the node may open what is in them;
// and it must be on the disk, since the older one, to which a power cut would
// lead back, needs the key.
func (n *Node) dispensable(img *store.Image) (bool, error) {
	if !n.settled.Load() {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askKeysEvery)
	defer cancel()
	if n.files.Wait(ctx, img.Index) != nil {
		return false, nil // it is said elsewhere; the key stays until they are written
	}
	if err := n.committed.Sync(); err != nil {
		return false, err
	}
	return true, nil
}

// maybeNext reports whether a key that the state does not name may be one that
// it will name: made here, or for a step that this node has not applied yet. Once
// it has applied something of the present leader's, it knows all that was decided
// before, and what it still does not know was never put on record.
func (n *Node) maybeNext(img *store.Image, k pki.ClusterKey) bool {
	check, roll := k.Check(), rollover(img)
	for _, want := range named(img) {
		if want.Check == check {
			return false
		}
	}
	behind := img.Term != n.raft().CurrentTerm() || !n.settled.Load()
	return !roll.Knows(check) && (check == n.keys.made || behind)
}

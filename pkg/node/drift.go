package node

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// driftFile is there while the state of this node is known not to be that of
// the majority. It is written when that was found out and goes with a repair,
// and nothing else takes it away: neither a restart nor a state that looks
// right again, since files and snapshots may be of the wrong one.
const driftFile = "drift.json"

// Drift is what is known of a state that is not that of the majority.
type Drift struct {
	Index  uint64 `json:"index"`  // of the log, at which they were compared
	Digest string `json:"digest"` // of this node's state there
	Right  string `json:"right"`  // of the majority's
	Repair bool   `json:"repair"` // somebody has asked for a repair, which goes on after a restart
}

// Drifted returns what is wrong with the state of this node, nil if nothing is
// known to be.
func (n *Node) Drifted() *Drift { return n.drift.Load() }

// Sound says why nothing is answered from the state of this node, nil if all is.
func (n *Node) Sound() *store.Error {
	d := n.Drifted()
	if d == nil {
		return nil
	}
	return store.Errorf(store.CodeIntegrity, "the state of node %q is not that of the majority (found at index %d): it answers nothing from it", n.self.Name, d.Index).
		WithHint("ask another node; repair this one with: cpctl cluster check --repair")
}

// sound is Sound as an error of the node's own work.
func (n *Node) sound() error {
	if why := n.Sound(); why != nil {
		return why
	}
	return nil
}

// drift reads the mark of a wrong state, nil if there is none.
func (d *dataDir) drift() (*Drift, error) {
	if _, err := os.Lstat(d.file(driftFile)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	found := new(Drift)
	_, err := d.loadRecord(driftFile, found)
	return found, err
}

// recallDrift finds out whether this node had a wrong state when it stopped.
func (n *Node) recallDrift() error {
	d, err := n.dir.drift()
	if err != nil || d == nil {
		return err
	}
	n.drift.Store(d)
	n.driftKept.Store(d)
	n.cfg.Log.Error("the state of this node was found not to be that of the majority: it answers nothing from it until it is repaired",
		"index", d.Index, "digest", d.Digest, "majority", d.Right, "repair", d.Repair)
	return nil
}

// setDrift stops all that shows the state of this node, and then puts it on the
// disk. What cannot be written there is tried again by watch.
func (n *Node) setDrift(d Drift) {
	n.drift.Store(&d)
	n.files.Withdraw(n.Sound().Message)
	n.cfg.Log.Error("the state of this node is not that of the majority: it answers nothing from it until it is repaired with cpctl cluster check --repair",
		"index", d.Index, "digest", d.Digest, "majority", d.Right)
	n.keepDrift()
	n.cfg.Record(audit.Event{Actor: actorSystem, Type: "state.drift", Target: "node/" + n.self.Name, Index: d.Index, Result: audit.OK,
		Message: fmt.Sprintf("its state digest is %.12s, the majority's %.12s", d.Digest, d.Right)})
}

// keepDrift writes what is known of a drift that is not on the disk yet.
func (n *Node) keepDrift() {
	d := n.Drifted()
	if d == nil || n.driftKept.Load() == d {
		return
	}
	if err := n.dir.saveRecord(driftFile, d); err != nil {
		n.cfg.Log.Error("that the state is not the majority's cannot be noted; a restart would have to find it out again", "error", err)
		return
	}
	n.driftKept.Store(d)
}

// endDrift forgets it: the state of this node is the majority's again.
func (n *Node) endDrift() error {
	if err := disk.Remove(n.cfg.disk, n.dir.file(driftFile)); err != nil {
		return err
	}
	if err := disk.SyncDir(n.cfg.disk, n.cfg.Dir); err != nil {
		return err
	}
	n.drift.Store(nil)
	n.driftKept.Store(nil)
	return nil
}

// errHeld keeps raft from taking a snapshot of a wrong state.
var errHeld = errors.New("the state of this node is not that of the majority: no snapshot is taken of it")

func (n *Node) holdSnapshot() error {
	if n.Drifted() != nil {
		return errHeld
	}
	return nil
}

// driftPause is how long a node waits before it asks the others again.
const (
	driftPause = time.Second
	splitPause = 5 * time.Second // while no majority tells which state is right
)

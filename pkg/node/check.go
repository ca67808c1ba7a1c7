package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/store"
)

// SelfCheck is what a node found wrong with its own files.
type SelfCheck struct {
	Index       uint64 // of the state with which the files were compared
	StateDigest string
	Faults      []Fault
	Unchecked   string // why data/ could not be compared, "" if it was
	Hint        string // how to bring the node back, if a fault cannot be repaired
	Drift       *Drift // the state is not the majority's; nil: it is, or was repaired
}

// Fault is one file that is not as it should be.
type Fault struct {
	Path     string // in the data directory
	Problem  string
	Repaired bool
}

func (c *SelfCheck) add(path string, repaired bool, format string, args ...any) {
	c.Faults = append(c.Faults, Fault{path, fmt.Sprintf(format, args...), repaired})
}

// Check compares every file of this node with what should be in it: data/ with
// the state in memory, all else with its sums. With repair it writes files of
// data/ anew, and snapshots and markers; entries of the log are nowhere else on
// this node, and keys and certificates are not its own to make.
func (n *Node) Check(ctx context.Context, repair bool) *SelfCheck {
	c := new(SelfCheck)
	n.checkState(ctx, c, repair)
	img := n.Image()
	c.Index, c.StateDigest = img.Index, img.StateDigest()
	n.checkFiles(c, img, repair)
	n.checkIdentity(c)
	// A damaged record says that it is not known how far this node has shown:
	// what has settled that writes both anew.
	if fault, repaired := n.committed.Check(repair && n.settled.Load()); fault != "" {
		c.add("raft/committed", repaired, "%s", fault)
	}
	n.checkLog(c, repair)
	n.checkSnapshots(c, repair)
	for _, f := range c.Faults {
		if !f.Repaired && lasting(f.Path) {
			c.Hint = n.recovery()
		}
	}
	n.checkModes(c, repair) // behind that: nothing is lost
	if len(c.Faults) > 0 {
		n.cfg.Log.Warn("a check found faults", "count", len(c.Faults), "first", c.Faults[0].Path, "problem", c.Faults[0].Problem, "repair", repair)
	}
	return c
}

// StateFault is the path of a fault of the state itself, which is no file.
const StateFault = "(state)"

// checkState tells of a state that is not the majority's, and with repair brings
// it back.
func (n *Node) checkState(ctx context.Context, c *SelfCheck, repair bool) {
	d := n.Drifted()
	if d == nil {
		return
	}
	problem := fmt.Sprintf("another state than the majority's, found at index %d (digest %.12s, the majority's %.12s)", d.Index, d.Digest, d.Right)
	if repair {
		err := n.RepairDrift(ctx)
		if err == nil {
			c.add(StateFault, true, "%s", problem)
			return
		}
		problem += fmt.Sprintf("; not repaired yet, and tried again by itself: %v", err)
	}
	c.Drift = d
	c.add(StateFault, false, "%s", problem)
}

// checkFiles compares data/ with the state.
func (n *Node) checkFiles(c *SelfCheck, img *store.Image, repair bool) {
	if n.Drifted() != nil {
		c.Unchecked = "its files are withdrawn until its state is repaired"
		return
	}
	faults, err := n.files.Check(img, repair)
	if err != nil {
		c.Unchecked = err.Error()
		return
	}
	left := map[string]bool{}
	if repair && len(faults) > 0 {
		again, err := n.files.Check(nil, false)
		if err != nil {
			c.Unchecked = err.Error()
		}
		for _, f := range again {
			left[f.Path] = true
		}
		repair = err == nil
	}
	for _, f := range faults {
		c.add(path.Join("data", f.Path), repair && !left[f.Path], "%s", f.Problem)
	}
}

// checkIdentity reads again what says who the node is.
func (n *Node) checkIdentity(c *SelfCheck) {
	note := func(name string, err error) {
		if err != nil {
			c.add(name, false, "%v", err)
		}
	}
	_, err := n.dir.loadRecord("node.json", new(identity))
	note("node.json", err)
	same := func(want []byte, parts ...string) {
		b, err := os.ReadFile(n.dir.file(parts...))
		switch name := path.Join(parts...); {
		case errors.Is(err, os.ErrNotExist):
			c.add(name, false, "missing")
		case err != nil:
			note(name, err)
		case string(b) != string(want):
			c.add(name, false, "changed")
		}
	}
	same(n.ring().Encode(), "cluster.key")
	n.tlsFiles.Lock()
	defer n.tlsFiles.Unlock()
	own := n.own.Load()
	same(own.KeyPEM, "tls", "node.key")
	same(own.CertPEM, "tls", "node.crt")
	same(own.CAPEM, "tls", "ca.crt")
}

// checkLog reads the whole log.
func (n *Node) checkLog(c *SelfCheck, repair bool) {
	const file = "raft/raft.db"
	faults, err := n.logs.check()
	switch {
	case errors.Is(err, errLogClosed):
		c.Unchecked = "the node is stopping"
	case err != nil:
		c.add(file, false, "%v", err)
	}
	for _, f := range faults {
		c.add(file, false, "%v", f)
	}
	if fault, repaired := n.logs.checkTail(repair); fault != "" {
		c.add("raft/tail", repaired, "%s", fault)
	}
}

// checkSnapshots reads every snapshot to its end. A damaged one is put aside once
// a new one is there: the log alone may not reach back to the beginning.
func (n *Node) checkSnapshots(c *SelfCheck, repair bool) {
	snaps, err := n.snapshots()
	if err == nil {
		var faults []badSnapshot
		if faults, err = snaps.verify(n.self.ClusterID); len(faults) > 0 && repair {
			err = n.snapshotAnew(snaps)
		}
		for _, f := range faults {
			done := false
			if repair && err == nil {
				aside := snaps.putAside(f.id, f.err)
				done = aside == nil || errors.Is(aside, os.ErrNotExist) // the new one has taken its place
			}
			c.add(path.Join("raft/snapshots", f.id), done, "%v", f.err)
		}
	}
	if err != nil {
		c.add("raft/snapshots", false, "%v", err)
	}
}

// verify reads every snapshot, of which raft may remove some meanwhile.
func (s *snapStore) verify(clusterID string) (faults []badSnapshot, err error) {
	good, bad, err := s.scan()
	if err != nil {
		return nil, err
	}
	for _, m := range good {
		if _, err := readSnapshot(s, &m.Meta, clusterID); err != nil {
			bad = append(bad, badSnapshot{m.Meta.ID, err})
		}
	}
	for _, b := range bad {
		if _, err := os.Lstat(filepath.Join(s.path, b.id)); err == nil {
			faults = append(faults, b)
		}
	}
	return faults, nil
}

// snapshotAnew takes a snapshot, through raft if it wants one. If nothing has
// been applied since the last one, raft does not, and it is written for it.
func (n *Node) snapshotAnew(snaps *snapStore) error {
	if err := n.holdSnapshot(); err != nil {
		return err
	}
	r := n.running.Load()
	if err := r.await(func() error { return r.raft.Snapshot().Error() }); !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return err
	}
	img := n.Image()
	members, err := n.membersIn(img.Index) // raft itself does not tell of which index they are
	if err != nil {
		return fmt.Errorf("no new snapshot now: %w", err)
	}
	sink, err := n.stage(img, members)
	if err != nil {
		return err
	}
	if err := sink.Close(); err != nil {
		return err
	}
	return n.logs.renewed()
}

// lasting reports whether a fault of a file stays whatever the node does.
func lasting(name string) bool {
	dir, _, _ := strings.Cut(name, "/")
	return dir != "data" && name != StateFault && name != "raft/tail" && name != "raft/committed" && name != "raft/snapshots" && path.Dir(name) != "raft/snapshots"
}

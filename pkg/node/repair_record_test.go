package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/test/crash"
)

// driftNoted says that the mark of a drift is on the disk.
type driftNoted struct{}

func (driftNoted) String() string { return "the drift is noted" }

// recordRepair is the life of a node that takes Sunday for Monday, finds out and
// is repaired, with an archive of the right state for each index.
func recordRepair(t *testing.T) (*recording, []*crash.Op, [][]byte) {
	base := memoryDir(t)
	r := &recording{t: t, dir: filepath.Join(base, "n1"), boot: "boot-1"}
	err := os.Mkdir(r.dir, 0o700)
	if err == nil {
		r.disk, err = crash.NewRecorder(r.dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.start()
	r.published()
	r.disk.ReleaseDatasync()
	other := filepath.Join(base, "script")
	copyTo(t, other, r.dir)
	for _, name := range []string{"raft", "data", "lock"} {
		if err := os.RemoveAll(filepath.Join(other, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.script = sundayScript(t, other)
	s, n := r.script, r.node
	wrong := uint64(slices.IndexFunc(s.entries, func(e *raft.Log) bool { return e != nil && bytes.Contains(e.Data, []byte("Sunday")) }))
	archives := make([][]byte, len(s.entries))
	for i, img := range s.images {
		var b bytes.Buffer
		if img.Index > 0 {
			if err := snapshot.Write(&b, img, s.clusterID); err != nil {
				t.Fatal(err)
			}
		}
		archives[i] = b.Bytes()
	}

	r.apply(1, wrong-1)
	if err := n.dir.founded(n.self); err != nil {
		t.Fatal(err)
	}
	r.snapshot()
	entries := s.entries[wrong : wrong+2]
	r.log(&logBegins{entries: entries}, func() error { return n.logs.StoreLogs(entries) })
	heard := *entries[0]
	heard.Data = bytes.ReplaceAll(heard.Data, []byte("Sunday"), []byte("Monday"))
	deliverTo(n, []*raft.Log{&heard, entries[1]})
	r.published()
	r.snapshot() // of the wrong state
	if n.Image().StateDigest() == s.images[wrong+1].StateDigest() {
		t.Fatal("the state is right")
	}

	n.setDrift(Drift{Index: wrong, Digest: "x", Right: "y"})
	r.disk.Note(driftNoted{})
	trioIn(t, "").until("its files to be withdrawn", func() error {
		if got := appliedState(r.dir); got != publish.StateWithdrawn+" true <nil>" {
			return errors.New(got)
		}
		return nil
	})
	at := wrong + 4
	for !delivered(s.entries[at]) {
		at++
	}
	r.apply(wrong+2, at+2)                     // more comes while the archive is on its way
	if err := n.committed.Sync(); err != nil { // as it is a moment later
		t.Fatal(err)
	}
	if err := n.askRepair(); err != nil {
		t.Fatal(err)
	}
	if err := replaceBy(n, archives[at]); err != nil {
		t.Fatal(err)
	}
	r.published()
	deliverTo(n, s.entries[at+1:at+3]) // raft gives it again
	r.published()
	r.apply(at+3, s.last())
	r.published()
	if err := stopState(n); err != nil {
		t.Fatal(err)
	}
	ops, err := r.disk.Ops()
	if err != nil {
		t.Fatal(err)
	}
	return r, ops, archives
}

// replaceBy is what a repair does with the archive that it got, beside raft.
func replaceBy(n *Node, archive []byte) error {
	c, err := snapshot.Read(bytes.NewReader(archive), snapshot.Limits{})
	if err != nil {
		return err
	}
	sink, err := n.stage(c.Image, confMark{index: 1})
	if err != nil {
		return err
	}
	err = n.replaceState(adoption{img: c.Image, sink: sink, members: 1})
	n.fsm.Restarted()
	return err
}

func sundayScript(t *testing.T, dir string) *script {
	t.Helper()
	c := trioIn(t, dir)
	c.open("n1", false)
	defer c.close("n1")
	n := c.leader()
	c.must(tenantNamed("acme"))
	c.must(clientNamed("acme", "before"))
	c.must(described("Sunday"))
	for i := range 8 {
		c.must(clientNamed("acme", fmt.Sprintf("c%d", i)))
	}
	last, err := n.logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	s := &script{clusterID: n.ClusterID(), entries: []*raft.Log{nil}, chapters: []chapter{{"all", last}}, bulk: 1 << 62}
	c.close("n1")
	s.read(t, filepath.Join(dir, "raft", "raft.db"))
	return s
}

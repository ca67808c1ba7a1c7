package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/crash"
	"github.com/cpctl/cpctl/test/faultdisk"
)

// A node that was found to have a wrong state is stopped before each call by
// which a repair changes its disk, in every variant. What starts then knows that
// it has a wrong state, and has no file that a reader uses, or has the right one;
// and the repair brings it there.
func TestACrashAtEveryStepOfARepair(t *testing.T) {
	r, ops, archives := recordRepair(t)
	from := slices.IndexFunc(ops, func(o *crash.Op) bool { return o.Note == driftNoted{} })
	ended := slices.IndexFunc(ops, func(o *crash.Op) bool { return o.Kind == crash.Remove && o.Path() == driftFile })
	base := memoryDir(t)
	points := make(chan *point)
	var mu sync.Mutex
	tried, drifted, sound, failed := 0, 0, 0, 0
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for p := range points {
				dir := filepath.Join(base, fmt.Sprintf("%d-%s-%d", p.op, p.variant, p.seed))
				was, err := p.remains.recoverDrifted(dir, archives)
				os.RemoveAll(dir)
				mu.Lock()
				tried++
				if was {
					drifted++
				} else {
					sound++
				}
				if err != nil {
					if failed++; failed <= 10 {
						t.Errorf("%s\n\t%v", p, err)
					}
				}
				mu.Unlock()
			}
		})
	}
	n := 0
	r.crashes(ops, func(p *point) {
		if n++; p.op > from && (p.op <= ended+2 || n%*crashEvery == 0) {
			p.test = t.Name()
			points <- p
		}
	})
	close(points)
	workers.Wait()
	t.Logf("%d calls, %d crashes tried: %d left a drifted node, %d a sound one", len(ops)-from, tried, drifted, sound)
	if *crashOp < 0 && (drifted < 50 || sound < 20) {
		t.Error("that is not the repair")
	}
}

// A call that fails in a repair leaves the node as drifted as it was, or ends it;
// the next attempt, or the next start, repairs it.
func TestARepairOnAFailingDisk(t *testing.T) {
	r, ops, archives := recordRepair(t)
	asked := 0
	for i, o := range ops {
		if o.Kind == crash.Mkdir && path.Dir(o.Path()) == "raft/snapshots" { // the last one is that of the repair
			asked = i
		}
	}
	var begun *point
	r.crashes(ops, func(p *point) {
		if p.op <= asked && p.variant == killed {
			begun = p
		}
	})
	base := memoryDir(t)
	ended, failures := 0, 0
	for n := 1; ; n++ {
		dir := filepath.Join(base, fmt.Sprint(n))
		came, end, err := begun.remains.repairOn(dir, n, archives)
		if err != nil {
			t.Errorf("call %d fails: %v", n, err)
		}
		if !came {
			break
		}
		if failures++; end {
			ended++
		}
		os.RemoveAll(dir)
	}
	t.Logf("%d calls failed, %d of them ended the node", failures, ended)
	if failures < 20 || ended == 0 || ended > failures/2 {
		t.Error("that is not a repair")
	}
}

// repairOn repairs a node while the nth call on its disk fails, and then anyhow.
func (m *remains) repairOn(dir string, nth int, archives [][]byte) (came, ended bool, err error) {
	if err := m.put(dir); err != nil {
		return false, false, err
	}
	fails := new(faultdisk.Disk)
	n, _, err := bootState(Config{Dir: dir, Name: "n1", Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), boot: m.boot, disk: fails,
		Stop: func(error) { ended = true }})
	if err != nil {
		return false, false, fmt.Errorf("it does not start: %w", err)
	}
	own, err := afterSnapshot(n)
	if err != nil {
		return false, false, err
	}
	deliverTo(n, own)
	failed := fails.FailOnce(nth, unix.EIO)
	first := replaceBy(n, archives[n.Image().Index])
	came = failed()
	fails.Set(nil)
	switch {
	case ended:
	case first == nil && n.Drifted() != nil:
		err = errors.New("it is drifted after a repair that succeeded")
	case first != nil:
		if err = m.stillSilent(n, dir); err == nil {
			err = replaceBy(n, archives[n.Image().Index])
		}
	}
	if err == nil && !ended {
		err = m.repairedFiles(n, dir)
	}
	if closed := stopState(n); closed != nil && !ended || err != nil {
		return came, ended, errors.Join(err, closed)
	}
	again := *m // what is there now
	again.tree = nil
	_, err = again.recoverDrifted(dir, archives)
	return came, ended, err
}

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
	sink, err := n.stageWith(c.Image, raft.Configuration{}, 1)
	if err != nil {
		return err
	}
	err = n.replaceState(adoption{img: c.Image, sink: sink, membersIndex: 1})
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

// recoverDrifted starts a node on what remains, and repairs it if it has drifted.
func (m *remains) recoverDrifted(dir string, archives [][]byte) (drifted bool, err error) {
	if m.tree != nil {
		if err := m.put(dir); err != nil {
			return false, err
		}
	}
	var stopped error
	n, _, err := bootState(Config{Dir: dir, Name: "n1", Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), boot: m.boot,
		Stop: func(err error) { stopped = err }})
	if err != nil {
		return false, fmt.Errorf("it does not start: %w", err)
	}
	defer func() { err = errors.Join(err, stopState(n), stopped) }()
	drifted = n.Drifted() != nil
	own, err := afterSnapshot(n)
	if err != nil {
		return drifted, err
	}
	deliverTo(n, own)
	if !n.settled.Load() && n.caughtUp() { // as its watch does
		if err := n.settle(); err != nil {
			return drifted, err
		}
	}
	if drifted {
		if err := m.stillSilent(n, dir); err != nil {
			return drifted, err
		}
		if err := n.askRepair(); err != nil {
			return drifted, err
		}
		if err := replaceBy(n, archives[n.Image().Index]); err != nil {
			return drifted, err
		}
	}
	return drifted, m.repairedFiles(n, dir)
}

// repairedFiles checks that all that a node has is of the right state.
func (m *remains) repairedFiles(n *Node, dir string) error {
	img := n.Image()
	switch {
	case img.StateDigest() != m.script.images[img.Index].StateDigest():
		return fmt.Errorf("it shows another state at index %d than there was", img.Index)
	case img.Index < m.log.max:
		return fmt.Errorf("it shows index %d of %d", img.Index, m.log.max)
	case marked(dir) || n.Drifted() != nil:
		return errors.New("the mark is left")
	}
	if err := publishedTo(n, img.Index); err != nil {
		return err
	}
	if got := appliedState(dir); got != publish.StateDone+" false <nil>" {
		return fmt.Errorf("the files are %s", got)
	}
	if faults, err := n.files.Check(img, false); err != nil || len(faults) > 0 {
		return fmt.Errorf("the files are not the image's: %v, %v", faults, err)
	}
	snaps, err := n.snapshots()
	if err != nil {
		return err
	}
	metas, err := snaps.List()
	if err != nil {
		return err
	}
	for _, meta := range metas {
		c, err := readSnapshot(snaps, meta, n.ClusterID())
		if err != nil || c.Image.StateDigest() != m.script.images[meta.Index].StateDigest() {
			return fmt.Errorf("snapshot %s is of a wrong state: %v", meta.ID, err)
		}
	}
	return nil
}

// stillSilent checks that nothing is shown of a state that may be wrong.
func (m *remains) stillSilent(n *Node, dir string) error {
	switch {
	case n.Sound() == nil || n.Readable() == nil:
		return errors.New("it answers")
	case !n.files.Status().Degraded:
		return fmt.Errorf("its files are %+v", n.files.Status())
	}
	if _, err := n.fsm.Snapshot(); err == nil {
		return errors.New("it takes a snapshot")
	}
	if a, err := publish.ReadApplied(filepath.Join(dir, "data")); err == nil && a.BootID == m.boot || err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("readers use its files: %+v, %v", a, err)
	}
	return nil
}

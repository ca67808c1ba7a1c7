package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/crash"
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

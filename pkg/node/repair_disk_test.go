package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/test/crash"
	"github.com/cpctl/cpctl/test/faultdisk"
)

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
	if first == nil && !ended { // its files are written beside it
		_ = publishedTo(n, n.Image().Index)
	}
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
		if err = triesAgain(n); err == nil {
			err = m.repairedFiles(n, dir)
		}
	}
	if closed := stopState(n); closed != nil && !ended || err != nil {
		return came, ended, errors.Join(err, closed)
	}
	again := *m // what is there now
	again.tree = nil
	_, err = again.recoverDrifted(dir, archives)
	return came, ended, err
}

// triesAgain waits until a node whose disk failed has written its files after all.
func triesAgain(n *Node) error {
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n.files.Status().Degraded {
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("its disk does not fail any more, and it does not write: %+v", n.files.Status())
		}
	}
	return nil
}

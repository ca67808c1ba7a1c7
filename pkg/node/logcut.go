package node

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// cutPause is how long a log is left alone after an attempt to cut it.
const (
	cutPause     = 5 * time.Second
	cutLongPause = time.Minute // one that failed: its disk is full
)

// keepLogShort cuts the log when it has become long in bytes, which raft does not
// count. A restore leaves such a log: every document that it changed is in it. Not
// while one is under way, since the snapshot would hold what is staged as well.
func (n *Node) keepLogShort() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var next time.Time
	for {
		select {
		case <-tick.C:
		case <-n.closing:
			return
		}
		was := n.longLog()
		if was == 0 || n.Image().OpenStage() != nil || time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(cutPause)
		begun := time.Now()
		switch err := n.cutLog(); {
		case errors.Is(err, errLogClosed), errors.Is(err, raft.ErrRaftShutdown):
		case err != nil:
			next = time.Now().Add(cutLongPause)
			n.cfg.Log.Warn("the log could not be cut", "bytes", was, "error", err)
		default:
			n.cfg.Log.Info("the log was cut", "bytes", was, "took", time.Since(begun))
		}
	}
}

// longLog is how many bytes of the log are in the way, 0 if they are few.
func (n *Node) longLog() int64 {
	if _, old := n.logs.sizes.within(n.cfg.keptLog); old > 3*n.cfg.keptLog {
		return old
	}
	return 0
}

// cutLog cuts the log behind the newest snapshot, or behind a new one if that is
// not enough.
func (n *Node) cutLog() error {
	if err := n.cutBehindSnapshot(); err != nil || n.longLog() == 0 {
		return err
	}
	r := n.running.Load()
	if err := r.await(r.raft.Snapshot().Error); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return err
	}
	return n.cutBehindSnapshot()
}

func (n *Node) cutBehindSnapshot() error {
	mark, err := n.logs.newest()
	if err != nil {
		return err
	}
	return n.logs.cut(mark.index, n.cfg.keptLog)
}

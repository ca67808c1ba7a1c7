package audit

import (
	"context"
	"fmt"
	"time"
)

// round is one sync and those who wait for it.
type round struct {
	done chan struct{}
	err  error // read behind done
}

func newRound() *round { return &round{done: make(chan struct{})} }

// onDisk waits for the round in which a line was written. Its sync begins after
// that, so that all who wrote while the one before was under way share it.
func (l *Log) onDisk(ctx context.Context, r *round) error {
	signal(l.asked)
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("sync: %w", ctx.Err())
	}
}

// syncs puts lines on the disk: at once for who waits, else a little later for
// all that came meanwhile.
func (l *Log) syncs() {
	defer close(l.ended)
	var later <-chan time.Time
	again := time.NewTicker(againAfter)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			l.mend()
			continue
		case <-l.dirty:
			if later == nil {
				later = time.After(syncWithin)
			}
			continue
		case <-later:
		case <-l.asked:
		case <-l.quit:
			l.sync()
			return
		}
		later = nil
		l.sync()
	}
}

// mend tries whether lines can be written again, so that the node is well again
// when its disk is, and not with the next line, which may be long in coming.
func (l *Log) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil && l.ready() == nil && l.confess() == nil {
		signal(l.dirty) // the sync that follows proves it
	}
}

func (l *Log) sync() {
	l.mu.Lock()
	r := l.round
	l.round = newRound()
	fd, err := l.fd, l.failure
	l.closeLeft() // nobody else uses them: this goroutine is here
	l.mu.Unlock()
	if fd >= 0 {
		if err = l.opts.Disk.Datasync(fd); err != nil {
			err = fmt.Errorf("sync: %w", err)
		}
	}
	l.mu.Lock()
	switch {
	case fd < 0:
	case err != nil: // the kernel may have dropped what was to be written: a later sync of the same file proves nothing
		l.renew = true
		l.failing(err)
	case l.lost == 0:
		l.failure = nil
	}
	l.mu.Unlock()
	r.err = err
	close(r.done)
}

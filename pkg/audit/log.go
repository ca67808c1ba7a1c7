package audit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// Log is an open log. Its methods may be called at the same time; lines stand in
// the order of the calls.
type Log struct {
	opts Options

	mu    sync.Mutex
	dir   int    // descriptor of the directory, -1 while it is not open
	fd    int    // of the newest file, -1 while it is not open
	first uint64 // seq of its first line, 0 while it is empty
	size  int64  // of its good lines
	torn  bool   // behind them there is the beginning of a line
	renew bool   // a sync failed: what the file holds is not certain, so nothing more goes into it
	seq   uint64 // of the last line
	hash  string // of the last line
	old   []file // the others, the oldest first
	buf   []byte

	failure error     // why lines cannot be written now
	lost    uint64    // since then
	said    time.Time // when the node's log said so
	tried   time.Time // when opening last failed
	more    chan struct{}
	closed  bool

	round *round // that the next sync will end
	left  []int  // descriptors of files that are finished; the syncing goroutine closes them

	dirty, asked chan struct{}
	quit, ended  chan struct{}
}

// file is one that is finished: audit-<first>.jsonl.
type file struct {
	first uint64
	size  int64
}

var (
	errClosed = errors.New("it is closed")
	errNoRoom = fmt.Errorf("the rest of the disk is kept for the node's log: %w", unix.ENOSPC)
)

const (
	againAfter = time.Second // opening is tried again
	sayAgain   = time.Minute // the node's log repeats what goes on
)

// Path is the newest file.
func (l *Log) Path() string { return filepath.Join(l.opts.Dir, current) }

// Failing says why lines cannot be written now, "" if they can.
func (l *Log) Failing() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		return ""
	}
	return l.failure.Error()
}

// add writes a line at the end, and before it one about those that were lost.
func (l *Log) add(e Event) error {
	if err := l.ready(); err != nil {
		return err
	}
	if err := l.confess(); err != nil {
		return err
	}
	return l.put(e)
}

// confess writes how many lines were lost.
func (l *Log) confess() error {
	if l.lost == 0 {
		return nil
	}
	text := fmt.Sprintf("lines that could not be written: %d; %v", l.lost, l.failure)
	if err := l.put(Event{Actor: actorSystem, Type: TypeLost, Result: OK, Message: text}); err != nil {
		return err
	}
	l.opts.Log.Warn("the audit log is written again", "file", l.Path(), "lost", l.lost)
	l.lost = 0
	return nil
}

// ready makes room for a line: the file is open, ends with a whole line, and is
// not too long.
func (l *Log) ready() error {
	if l.closed {
		return errClosed
	}
	spare, disk := l.opts.Space()
	if !spare {
		return errNoRoom
	}
	if l.fd < 0 {
		if !l.tried.IsZero() && l.opts.Now().Sub(l.tried).Abs() < againAfter {
			return l.failure
		}
		if err := l.open(); err != nil {
			l.tried = l.opts.Now()
			return err
		}
		l.tried = time.Time{}
	}
	if l.torn {
		if err := l.opts.Disk.Truncate(l.fd, l.size); err != nil {
			return fmt.Errorf("cut off a broken line: %w", err)
		}
		l.torn = false
	}
	if one, all := l.opts.limits(disk); l.size > 0 && (l.renew || l.size >= one) {
		return l.rotate(all - one)
	}
	return nil
}

// put writes one line with one call.
func (l *Log) put(e Event) error {
	line, hash := appendLine(l.buf[:0], l.seq+1, l.opts.Now(), l.opts.Node, e, l.hash)
	l.buf = line
	if err := l.opts.Disk.Pwrite(l.fd, line, l.size); err != nil {
		l.torn = l.opts.Disk.Truncate(l.fd, l.size) != nil
		return fmt.Errorf("write: %w", err)
	}
	l.seq, l.hash, l.size = l.seq+1, hash, l.size+int64(len(line))
	if l.first == 0 {
		l.first = l.seq
	}
	signal(l.dirty)
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return nil
}

// lose counts a line that was not written.
func (l *Log) lose(err error) {
	l.lost++
	l.failing(err)
}

// failing remembers why, and says so in the node's log, not with each line.
func (l *Log) failing(err error) {
	l.failure = err
	if now := l.opts.Now(); l.said.IsZero() || now.Sub(l.said).Abs() >= sayAgain {
		l.said = now
		l.opts.Log.Error("the audit log cannot be written", "file", l.Path(), "error", err, "lost", l.lost, "required", l.opts.Required)
	}
}

// refusal is the answer to who wanted something that cannot be recorded.
func (l *Log) refusal(err error) *store.Error {
	return store.Errorf(store.CodeUnavailable, "node %q was started with --audit-required and cannot write its audit log %s: %v; nothing was changed",
		l.opts.Node, l.Path(), err).WithHint("see to that disk, or ask another node")
}

// Close puts what was written on the disk, and ends the log.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	if l.lost > 0 && l.ready() == nil {
		_ = l.confess() // else it was said in the node's log
	}
	l.closed = true
	l.mu.Unlock()
	close(l.quit)
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.failure
	l.shut()
	l.closeLeft()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return err
}

// shut lets go of the files. What a sync may be about is closed behind it.
func (l *Log) shut() {
	for _, fd := range []int{l.fd, l.dir} {
		if fd >= 0 {
			l.left = append(l.left, fd)
		}
	}
	l.fd, l.dir = -1, -1
}

func (l *Log) closeLeft() {
	for _, fd := range l.left {
		unix.Close(fd)
	}
	l.left = nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Wait returns once there is a line behind seq, or the context or the log ends.
func (l *Log) Wait(ctx context.Context, seq uint64) {
	l.mu.Lock()
	if l.seq > seq || l.closed {
		l.mu.Unlock()
		return
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	more := l.more
	l.mu.Unlock()
	select {
	case <-more:
	case <-ctx.Done():
	}
}

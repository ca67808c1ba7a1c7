// Package audit is a node's record of who asked for what and what came of it:
// files of JSON lines to which is only added, one line an event, each with the
// hash of the line before. It knows names and results, never what a document
// holds, and it decides nothing: package rpc says what is recorded, `cpctl audit`
// shows it. The chain tells that lines were changed or taken out of the middle;
// see Verify for what it cannot tell.
package audit

import (
	"context"
	"log/slog"
	"time"

	"github.com/cpctl/cpctl/pkg/disk"
)

// Event is what a caller of this package knows of one line. It is closed: names,
// numbers and codes, so that no document, patch or secret finds a place in it.
type Event struct {
	Actor     string // unix/0, operator/ana@acme, node/n1, system
	Serial    string // of the actor's certificate; none on the socket
	Source    string // unix, or the address that the node saw
	RequestID string
	Type      string // client.create, restore, key.export
	Target    string // client/acme/web, node/n2
	Index     uint64 // of the log entry that holds the change, 0 if there is none
	Revision  uint64 // of the state after it
	Result    string // one of the results below, or the code of the refusal
	Message   string // of a refusal, in few words
}

// The results of what was not refused. A refusal has its code: denied, conflict,
// unavailable; unknown_outcome where nobody knows.
const (
	OK        = "ok"
	Replayed  = "replayed"  // the request was done before, and is answered again
	Unchanged = "unchanged" // there was nothing to do
	DryRun    = "dry_run"   // checked only
	Asked     = "asked"     // not done yet: see --audit-required
)

// The events of the log itself and of its node.
const (
	TypeStart     = "node.start"      // the node began to answer
	TypeLost      = "audit.lost"      // lines could not be written; the message says how many
	TypeRecovered = "audit.recovered" // what a crash left at the end was cut off
)

// actorSystem is the actor of what nobody asked for.
const actorSystem = "system"

// Limits of the files. A line has some 450 bytes, so 16 MiB hold about 37,000:
// large enough for rotation to be rare, small enough to be read as a whole, sent
// away or opened in an editor. All files together hold about a million lines, or
// take a tenth of a disk that is small, in files that are smaller, too.
const (
	fileBytes    = 16 << 20
	leastBytes   = 64 << 10 // of a file on the smallest disk
	totalBytes   = 512 << 20
	totalPercent = 10
	fewest       = 2 // finished files that are kept whatever the disk: rotating must not end in an empty record
)

// syncWithin is how long a line may be in memory only. A write is never held
// back for it: after kill -9 nothing is missing, after a power cut this much.
const syncWithin = 100 * time.Millisecond

// Options say where and how. The zero value of every field but Dir works.
type Options struct {
	Dir      string // made if it is not there
	Node     string // whose record it is
	Required bool   // a change whose line is not on the disk is refused

	// Space tells whether the disk has room for anything but the node's log, and
	// how large it is, bytes. Nil: always, and unknown.
	Space func() (spare bool, total uint64)

	Disk disk.FS          // the real one if nil
	Now  func() time.Time // time.Now if nil
	Log  *slog.Logger     // nil: nobody wants to know

	fileBytes, totalBytes int64 // the limits above if zero, tests have others
}

func (o Options) withDefaults() Options {
	o.Disk = disk.Or(o.Disk)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Space == nil {
		o.Space = func() (bool, uint64) { return true, 0 }
	}
	if o.fileBytes == 0 {
		o.fileBytes = fileBytes
	}
	if o.totalBytes == 0 {
		o.totalBytes = totalBytes
	}
	return o
}

// Open opens the log below o.Dir and begins with what a crash left there. A disk
// that fails now is no error: it is tried again with each line, and until it works
// lines are lost, or required ones refused.
func Open(o Options) *Log {
	l := &Log{opts: o.withDefaults(), fd: -1, dir: -1, round: newRound(), dirty: make(chan struct{}, 1), asked: make(chan struct{}, 1),
		quit: make(chan struct{}), ended: make(chan struct{})}
	l.mu.Lock()
	if err := l.open(); err != nil {
		l.failing(err)
	}
	l.mu.Unlock()
	go l.syncs()
	return l
}

// Record adds a line. It does not wait for the disk, and it has no error: what
// cannot be written is counted, said in the node's log, and put into a line of
// its own once the disk works again.
func (l *Log) Record(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.add(e); err != nil {
		l.lose(err)
	}
}

// Required reports whether Ask does anything.
func (l *Log) Required() bool { return l.opts.Required }

// Recordable is the error that Ask would have now, nil if it would have none or
// the log is no required one.
func (l *Log) Recordable() error {
	if !l.opts.Required {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.ready()
	if err == nil {
		err = l.failure // until it is mended, which is tried all the time
	}
	if err != nil {
		return l.refusal(err)
	}
	return nil
}

// Ask puts on the disk what is about to be done, if the log is a required one.
// Callers at the same time share a sync. An error says that it must not be done:
// it is a *store.Error of CodeUnavailable.
func (l *Log) Ask(ctx context.Context, e Event) error {
	if !l.opts.Required {
		return nil
	}
	e.Result = Asked
	l.mu.Lock()
	err := l.add(e)
	if err != nil {
		l.lose(err)
	}
	r := l.round
	l.mu.Unlock()
	if err == nil {
		err = l.onDisk(ctx, r)
	}
	if err != nil {
		return l.refusal(err)
	}
	return nil
}

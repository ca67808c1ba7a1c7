package publish

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// Config is what a Publisher needs to know. Group is the one field whose zero
// value is a choice of its own (the group root): -1 is the usual one.
type Config struct {
	Dir       string       // the data directory, which exists; holds data/ and restore.tmp/
	ClusterID string       // the files of another cluster are refused
	Group     int          // gid that may read data/ (0750 and 0640); -1: nobody but the owner (0700 and 0600)
	Log       *slog.Logger // nil: nowhere
	BootID    string       // "": the kernel's
	Disk      disk.FS      // nil: the real one
	Spare     func() bool  // whether files may take more of the disk; nil: always. When not, it is full for them
}

// The reasons for which files are not written.
const (
	ReasonDiskFull = "disk_full"
	ReasonIOError  = "io_error"
	ReasonDrift    = "drift" // they were withdrawn: the state is not to be trusted
)

// Status is how publishing is getting on.
type Status struct {
	PublishedIndex uint64 // log index that the files hold; 0 while that is not known
	Ready          bool   // the files were verified since the boot
	Degraded       bool   // they cannot be written; tried again until they can
	Reason         string // disk_full, io_error, drift, or "" if not degraded
	Err            string // the last failure, "" if not degraded
}

// Publisher keeps data/ equal to the newest image. Its methods may be called
// from any goroutine; those that hand over images in the order of their indexes.
type Publisher struct {
	cfg   Config
	log   *slog.Logger
	sys   disk.FS
	own   owner
	dir   int     // handle of Config.Dir
	found Applied // what .applied said at Open
	known bool    // it could be read

	mu      sync.Mutex
	queue   batch
	checks  []*request
	status  Status
	waiters []*waiter
	started bool
	closed  bool

	withdrawn *string      // why, while the files are
	readmit   *store.Image // of Readmit, to begin anew with

	ended   bool // nothing more will be published
	wake    chan struct{}
	stop    chan struct{}
	stopped chan struct{}

	// The rest belongs to the publishing goroutine once it runs.
	root      *tree  // nil: not prepared yet
	mark      *slots // root's .applied; nil while it has none
	yard      *yard
	verified  bool
	renounced bool         // data/ says that it was withdrawn
	held      bool         // waiting for an image as new as the files, said so
	first     *store.Image // of Start
	last      *store.Image // what the files hold; nil until verified
	shown     uint64       // log index that they hold
	audit     *audit       // under way
	auditFor  *request     // who asked for it; nil: the start or a recovery
	failures  int          // in a row
	retryAt   time.Time
	failed    batch         // what the last attempt was to publish
	compare   bool          // it is not known where files differ
	inPlace   bool          // there was no room for a second tree
	backoff   time.Duration // before the second attempt; doubles
	patience  time.Duration // of Check, for an image that is to be handed over
}

// Open makes Dir ready for publishing: data/ is there and can be exchanged,
// leftovers of a crash are gone. It changes no published file. An error of
// CodeIntegrity if data/ belongs to another cluster. A disk that cannot be
// written is no error: the publisher begins degraded and tries again.
func Open(cfg Config) (_ *Publisher, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Disk = disk.Or(cfg.Disk)
	if cfg.BootID == "" {
		if cfg.BootID, err = bootID(); err != nil {
			return nil, err
		}
	}
	p := &Publisher{
		cfg: cfg, log: cfg.Log, sys: cfg.Disk, own: newOwner(cfg.Group), backoff: 100 * time.Millisecond, patience: time.Second,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if p.dir, err = unix.Open(cfg.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, &os.PathError{Op: "open", Path: cfg.Dir, Err: err}
	}
	p.yard = &yard{sys: p.sys, parent: p.dir, fd: -1, grace: readerGrace, respite: spareRest, idle: spareIdle, spare: cfg.Spare}
	if err := p.prepare(); err != nil && !unwritable(err) {
		p.release()
		return nil, err
	}
	return p, nil
}

// Start begins to publish, with the image that the node has shown before. The
// files of this boot that .applied says hold it count at once; others only when
// they were compared with the image and put right. Both happen beside the
// caller; Status and Wait tell when.
func (p *Publisher) Start(img *store.Image) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.closed {
		return
	}
	p.started = true
	p.first = img
	go p.run()
}

// Status returns how publishing is getting on.
func (p *Publisher) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Close publishes what was handed over, if the files are verified, removes what
// is in restore.tmp/, and stops. The error says why the files are not up to date.
func (p *Publisher) Close() error {
	p.mu.Lock()
	again, started := p.closed, p.started
	p.closed = true
	p.mu.Unlock()
	switch {
	case again:
		if started {
			<-p.stopped
		}
		return nil
	case started:
		close(p.stop)
		<-p.stopped
	default:
		p.end()
	}
	p.release()
	if st := p.Status(); st.Degraded {
		return fmt.Errorf("publish: %s", st.Err)
	}
	return nil
}

// release closes the handles.
func (p *Publisher) release() {
	if p.mark != nil {
		p.mark.close()
	}
	if p.root != nil {
		p.root.close()
	}
	if p.yard.fd >= 0 {
		unix.Close(p.yard.fd)
	}
	unix.Close(p.dir)
}

// reason classifies a failure.
func reason(err error) string {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return ReasonDiskFull
	}
	return ReasonIOError
}

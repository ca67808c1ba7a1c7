package crash

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// Recorder is a disk that notes each call that succeeded. All that it is asked
// to change was made through it, below one directory.
type Recorder struct {
	Probe func() uint64 // its answer is noted with each call, as it was before; nil: 0
	After func(*Op)     // sees each call once it is done; nil: nobody

	real disk.Real

	mu    sync.Mutex
	ops   []*Op
	live  map[uint64]ID // by inode
	state *State        // to know names by
	held  chan struct{} // nil, or what a Datasync of the file slow waits for
	slow  string
	gate  chan struct{} // nil, or what a write of the file gated waits for
	gated string
	err   error
}

var _ disk.FS = (*Recorder)(nil)

// NewRecorder returns a recorder of a directory, which is empty.
func NewRecorder(dir string) (*Recorder, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, err
	}
	return &Recorder{live: map[uint64]ID{st.Ino: Root}, state: NewState()}, nil
}

// Ops returns what was recorded, and the first call that could not be.
func (r *Recorder) Ops() ([]*Op, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ops[:len(r.ops):len(r.ops)], r.err
}

// Note puts a note among the calls.
func (r *Recorder) Note(v any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &Op{Kind: Note, Note: v}
	if r.Probe != nil {
		o.Seen = r.Probe()
	}
	r.add(o)
}

// HoldDatasync lets every Datasync of files with a name wait until Datasyncs lets
// one through: those of a timer would fall between other calls at another place
// each time.
func (r *Recorder) HoldDatasync(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held, r.slow = make(chan struct{}), name
}

// Datasyncs lets one Datasync through, which comes within a moment.
func (r *Recorder) Datasyncs() {
	r.mu.Lock()
	held := r.held
	r.mu.Unlock()
	held <- struct{}{}
	held <- struct{}{} // it is recorded
}

// ReleaseDatasync ends HoldDatasync.
func (r *Recorder) ReleaseDatasync() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.held)
	r.held = nil
}

// HoldWrites lets writes of files with a name wait for ReleaseWrites.
func (r *Recorder) HoldWrites(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate, r.gated = make(chan struct{}), name
}

// ReleaseWrites ends HoldWrites.
func (r *Recorder) ReleaseWrites() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.gate)
	r.gate = nil
}

// wait waits for ReleaseWrites if a file is held.
func (r *Recorder) wait(fd int) {
	r.mu.Lock()
	gate := r.gate
	if !r.isNamed(fd, r.gated) {
		gate = nil
	}
	r.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

// isNamed tells the name of an open file. The caller holds the lock.
func (r *Recorder) isNamed(fd int, name string) bool {
	n := r.state.nodes[r.at(fd)]
	return n != nil && n.name == name
}

// add notes a call. The caller holds the lock.
func (r *Recorder) add(o *Op) {
	switch o.Kind {
	case Note:
	case Rename, Exchange:
		o.newPath = r.state.path(o.To, o.NewName)
		fallthrough
	case Mkdir, Create, Remove:
		o.path = r.state.path(o.Dir, o.Name)
	default:
		o.path = r.state.pathOf(o.Node)
	}
	r.state.Apply(o)
	r.ops = append(r.ops, o)
	if r.After != nil {
		r.After(o)
	}
}

// do runs a call and notes it.
func (r *Recorder) do(o *Op, call func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Probe != nil {
		o.Seen = r.Probe()
	}
	if err := call(); err != nil {
		return err
	}
	r.add(o)
	return nil
}

// at is what a descriptor stands for.
func (r *Recorder) at(fd int) ID {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		r.fault(err)
	}
	return r.known(st.Ino)
}

// named is what a name stands for, 0 if there is none.
func (r *Recorder) named(dir int, name string) ID {
	st, err := disk.Lstat(dir, name)
	if err != nil {
		return 0
	}
	return r.known(st.Ino)
}

func (r *Recorder) known(ino uint64) ID {
	id, ok := r.live[ino]
	if !ok {
		r.fault(errUnknown)
	}
	return id
}

func (r *Recorder) fault(err error) {
	if r.err == nil {
		r.err = err
	}
}

// born gives what was just made an id of its own.
func (r *Recorder) born(dir int, name string) ID {
	st, err := disk.Lstat(dir, name)
	if err != nil {
		r.fault(err)
	}
	r.live[st.Ino] = r.state.next()
	return r.live[st.Ino]
}

// Mkdir implements disk.FS.
func (r *Recorder) Mkdir(dir int, name string, mode uint32) error {
	o := &Op{Kind: Mkdir, Name: name, Mode: mode}
	return r.do(o, func() error {
		if err := r.real.Mkdir(dir, name, mode); err != nil {
			return err
		}
		o.Dir, o.Node = r.at(dir), r.born(dir, name)
		return nil
	})
}

// Create implements disk.FS.
func (r *Recorder) Create(dir int, name string, mode uint32) (fd int, err error) {
	o := &Op{Kind: Create, Name: name, Mode: mode}
	err = r.do(o, func() error {
		if fd, err = r.real.Create(dir, name, mode); err != nil {
			return err
		}
		o.Dir, o.Node = r.at(dir), r.born(dir, name)
		return nil
	})
	return fd, err
}

// Write implements disk.FS.
func (r *Recorder) Write(fd int, b []byte) error {
	offset, err := unix.Seek(fd, 0, unix.SEEK_CUR)
	if err != nil {
		return err
	}
	return r.put(fd, b, offset, func() error { return r.real.Write(fd, b) })
}

// Pwrite implements disk.FS.
func (r *Recorder) Pwrite(fd int, b []byte, offset int64) error {
	return r.put(fd, b, offset, func() error { return r.real.Pwrite(fd, b, offset) })
}

func (r *Recorder) put(fd int, b []byte, offset int64, call func() error) error {
	r.wait(fd)
	o := &Op{Kind: Write, Data: append([]byte(nil), b...), Offset: offset}
	return r.do(o, func() error {
		o.Node = r.at(fd)
		return call()
	})
}

// Truncate implements disk.FS.
func (r *Recorder) Truncate(fd int, size int64) error {
	o := &Op{Kind: Truncate, Size: size}
	return r.do(o, func() error {
		o.Node = r.at(fd)
		return r.real.Truncate(fd, size)
	})
}

// Rename implements disk.FS.
func (r *Recorder) Rename(from int, name string, to int, newName string) error {
	o := &Op{Kind: Rename, Name: name, NewName: newName}
	return r.do(o, func() error {
		o.Node, o.Dir, o.To = r.named(from, name), r.at(from), r.at(to)
		return r.real.Rename(from, name, to, newName)
	})
}

// Exchange implements disk.FS.
func (r *Recorder) Exchange(a int, name string, b int, otherName string) error {
	o := &Op{Kind: Exchange, Name: name, NewName: otherName}
	return r.do(o, func() error {
		o.Node, o.Dir, o.Other, o.To = r.named(a, name), r.at(a), r.named(b, otherName), r.at(b)
		return r.real.Exchange(a, name, b, otherName)
	})
}

// Unlink implements disk.FS.
func (r *Recorder) Unlink(dir int, name string) error {
	return r.remove(dir, name, r.real.Unlink)
}

// Rmdir implements disk.FS.
func (r *Recorder) Rmdir(dir int, name string) error {
	return r.remove(dir, name, r.real.Rmdir)
}

func (r *Recorder) remove(dir int, name string, call func(int, string) error) error {
	o := &Op{Kind: Remove, Name: name}
	return r.do(o, func() error {
		o.Node, o.Dir = r.named(dir, name), r.at(dir)
		return call(dir, name)
	})
}

// Chmod implements disk.FS.
func (r *Recorder) Chmod(fd int, mode uint32) error {
	o := &Op{Kind: Chmod, Mode: mode}
	return r.do(o, func() error {
		o.Node = r.at(fd)
		return r.real.Chmod(fd, mode)
	})
}

// Chown implements disk.FS; owners are not recorded.
func (r *Recorder) Chown(fd int, gid int) error { return r.real.Chown(fd, gid) }

// Sync implements disk.FS.
func (r *Recorder) Sync(fd int) error {
	o := &Op{Kind: Sync}
	return r.do(o, func() error {
		o.Node = r.at(fd)
		return r.real.Sync(fd)
	})
}

// Datasync implements disk.FS.
func (r *Recorder) Datasync(fd int) error {
	r.mu.Lock()
	held := r.held
	if !r.isNamed(fd, r.slow) {
		held = nil
	}
	r.mu.Unlock()
	if held != nil {
		<-held
		defer func() { <-held }()
	}
	return r.Sync(fd)
}

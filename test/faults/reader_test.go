package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// reader looks at the files beside one node all the time, by their names or
// through a handle of data/ that it opens anew now and then.
type reader struct {
	name     string
	node     *live.Node
	book     *book
	found    *findings
	library  *library
	byHandle bool
	rng      *rand.Rand

	mu     sync.Mutex // held while it looks
	boot   string     // id of the boot within which the files count
	counts bool       // .applied has named this boot
	handle *os.File
	held   []held // files, the one opened first first
	left   int    // looks until the handle is opened anew
	memory *memory
	looks  int
	signed int    // looks that compared a keyset with its public set
	moved  int    // looks that showed something new
	done   uint64 // revision that the files hold at least
	since  []moment

	paused bool
	last   time.Time // when it was paused
	before *memory   // of the time before a power loss; nil if there is nothing to catch up with
	least  uint64    // index that the files must show at least once they count
}

// moment is when an index was first seen.
type moment struct {
	at    time.Time
	index uint64
}

// pace is the time between two looks: enough of them, and time for others.
const pace = 2 * time.Millisecond

// run looks until stop is closed.
func (r *reader) run(paths []string, stop <-chan struct{}) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			r.mu.Lock()
			r.leave()
			r.mu.Unlock()
			return
		case <-tick.C:
			r.mu.Lock()
			if !r.paused {
				r.turn(paths)
			}
			r.mu.Unlock()
		}
	}
}

// turn looks at something. Keys are looked at often while they change: what is
// to be seen then lasts less than a millisecond.
func (r *reader) turn(paths []string) {
	path := paths[r.rng.IntN(len(paths))]
	switch r.rng.IntN(6) {
	case 0, 1:
		times, tenant := 1, slugs[r.rng.IntN(len(slugs))]
		if busy := r.book.rotatesNow(); busy != "" {
			times, tenant = 30, busy
		}
		r.verify(tenant, times)
	case 2, 3:
		r.hold(path)
	default:
		r.look(path)
	}
}

// look reads one document, and .applied after it.
func (r *reader) look(path string) {
	if !r.ready() {
		return
	}
	b, err := r.read(path)
	r.looks++
	revision := uint64(0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if fault := r.memory.absent(r.book, path); fault != "" {
			r.found.add(backward, "%s: %s", r.name, fault)
		}
	case err != nil:
		r.found.add(torn, "%s: %s: %v", r.name, path, err)
	default:
		if d := r.judge(path, b); d != nil {
			revision = d.revision
		}
	}
	a, err := r.applied()
	switch {
	case err != nil:
		r.found.add(torn, "%s: %v", r.name, err)
	case revision > a.Revision:
		r.found.add(torn, "%s: %s is at revision %d, .applied, which was read later, at %d", r.name, path, revision, a.Revision)
	}
}

// judge checks a document that was read; nil if it is not whole.
func (r *reader) judge(path string, b []byte) *decoded {
	d, err := r.library.decode(path, b)
	if err != nil {
		r.found.add(torn, "%s: %s is not whole: %v\n%.200q", r.name, path, err, b)
		return nil
	}
	if d.revision == 0 { // a public set, which has none
		return d
	}
	was := r.memory.docs[path].revision
	if k, fault := r.memory.there(r.book, path, d.revision, d.sum); fault != "" {
		r.found.add(k, "%s: %s", r.name, fault)
	} else if was != d.revision {
		r.moved++
	}
	return d
}

// ready tells whether the files count. After a power loss they do once .applied
// bears the id of the boot.
func (r *reader) ready() bool {
	if r.counts {
		return true
	}
	a, err := publish.ReadApplied(r.dir())
	if err != nil || a.BootID != r.boot {
		r.drop() // data/ may have been exchanged
		return false
	}
	r.counts = true
	if a.Index < r.least {
		r.found.add(backward, "%s: after the power loss the files count at index %d; a second before it they were at %d", r.name, a.Index, r.least)
	}
	return true
}

// applied reads .applied, which is always there and never steps back.
func (r *reader) applied() (publish.Applied, error) {
	a, err := publish.ReadApplied(r.dir())
	if errors.Is(err, store.ErrNotFound) {
		r.drop()
		a, err = publish.ReadApplied(r.dir())
	}
	if err != nil {
		return a, err
	}
	if a.BootID != r.boot {
		return a, fmt.Errorf(".applied is of boot %s, which is not this one, after it was of this one", a.BootID)
	}
	if a.State == publish.StateDone {
		r.done = max(r.done, a.Revision)
	}
	if a.Index > r.memory.index {
		r.since = append(r.since, moment{time.Now(), a.Index})
	}
	if fault := r.memory.applied(a); fault != "" {
		r.found.add(backward, "%s: %s", r.name, fault)
	}
	return a, nil
}

// read reads a file. A name that is gone is looked up once more: the tree that
// it was looked up in may have been exchanged meanwhile.
func (r *reader) read(path string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(r.dir(), path))
	if errors.Is(err, fs.ErrNotExist) {
		r.drop()
		b, err = os.ReadFile(filepath.Join(r.dir(), path))
	}
	return b, err
}

// looksPerHandle bounds how long a reader stays in one tree, to about a second:
// one that was exchanged stays whole for ten.
const looksPerHandle = 2000

// dir is where to look names up.
func (r *reader) dir() string {
	if !r.byHandle {
		return r.node.Data()
	}
	if r.left--; r.left <= 0 {
		r.drop()
	}
	if r.handle == nil {
		var err error
		if r.handle, err = os.Open(r.node.Data()); err != nil {
			return r.node.Data() // which will say so
		}
		r.left = looksPerHandle
	}
	return fmt.Sprintf("/proc/self/fd/%d", r.handle.Fd())
}

// leave closes all that is open.
func (r *reader) leave() {
	for _, h := range r.held {
		r.release(h)
	}
	r.held = nil
	r.drop()
}

func (r *reader) drop() {
	if r.handle != nil {
		r.handle.Close()
		r.handle = nil
	}
}

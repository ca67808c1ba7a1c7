package faults

import (
	"encoding/json"
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
	byHandle bool
	rng      *rand.Rand

	mu     sync.Mutex // held while it looks
	boot   string     // id of the boot within which the files count
	counts bool       // .applied has named this boot
	handle *os.File
	left   int // looks until the handle is opened anew
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
			r.drop()
			r.mu.Unlock()
			return
		case <-tick.C:
			r.mu.Lock()
			switch {
			case r.paused:
			case r.rng.IntN(3) == 0:
				r.verify(slugs[r.rng.IntN(len(slugs))])
			default:
				r.look(paths[r.rng.IntN(len(paths))])
			}
			r.mu.Unlock()
		}
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
		revision = r.judge(path, b)
	}
	a, err := r.applied()
	switch {
	case err != nil:
		r.found.add(torn, "%s: %v", r.name, err)
	case revision > a.Revision:
		r.found.add(torn, "%s: %s is at revision %d, .applied, which was read later, at %d", r.name, path, revision, a.Revision)
	}
}

// judge checks a document that was read, and returns its revision.
func (r *reader) judge(path string, b []byte) uint64 {
	if _, err := store.DecodeDoc(path, b); err != nil {
		r.found.add(torn, "%s: %s is not whole: %v\n%.200q", r.name, path, err, b)
		return 0
	}
	d := shown(b)
	if d.revision == 0 { // a JWKS, which has none
		return 0
	}
	was := r.memory.docs[path].revision
	if k, fault := r.memory.there(r.book, path, d.revision, store.Sum(path, b)); fault != "" {
		r.found.add(k, "%s: %s", r.name, fault)
	} else if was != d.revision {
		r.moved++
	}
	return d.revision
}

// verify does what a program that signs and one that verifies do: it takes the
// keys from the keyset; from then on they have to be in the public set.
func (r *reader) verify(tenant string) {
	if !r.ready() {
		return
	}
	asked := r.book.asked()
	if _, err := r.applied(); err != nil {
		return // look judges that
	}
	settled := r.book.published(r.done)
	first := r.keyset(tenant)
	if first == nil {
		return
	}
	r.memory.signs(r.book, first)
	b, err := r.read(store.JWKSPath(tenant))
	var set store.JWKS
	if err == nil {
		if _, err = store.DecodeDoc(store.JWKSPath(tenant), b); err == nil {
			err = json.Unmarshal(b, &set)
		}
		if err != nil {
			r.found.add(torn, "%s: the public set of %s is not whole: %v\n%.200q", r.name, tenant, err, b)
			return
		}
	}
	// It says something only if the tenant was there all the time, and no restore
	// took keys away: those that it brings back are older than what they signed.
	second := r.keyset(tenant)
	if !settled || second == nil || second.CreateRevision != first.CreateRevision || second.Revision < first.Revision || r.book.asked() != asked {
		return
	}
	r.signed++
	published := map[string]bool{}
	for _, raw := range set.Keys {
		var k struct {
			KID string `json:"kid"`
		}
		if json.Unmarshal(raw, &k) == nil {
			published[k.KID] = true
		}
	}
	if kid := r.memory.unpublished(tenant, published, time.Now()); kid != "" {
		r.found.add(torn, "%s: key %s of %s signs or has signed, as its keyset said at revision %d or before; the public set, read later, does not have it (%d keys, %v)",
			r.name, kid, tenant, first.Revision, len(published), err)
	}
}

// keyset is the keyset of a tenant as it is now; nil if there is none.
func (r *reader) keyset(tenant string) *store.Keyset {
	path := store.KeysetPath(tenant)
	b, err := r.read(path)
	if err != nil {
		return nil // look judges that
	}
	if r.judge(path, b) == 0 {
		return nil
	}
	ks := new(store.Keyset)
	if json.Unmarshal(b, ks) != nil {
		return nil
	}
	return ks
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

func (r *reader) drop() {
	if r.handle != nil {
		r.handle.Close()
		r.handle = nil
	}
}

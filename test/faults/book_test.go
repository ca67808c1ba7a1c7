package faults

import (
	"encoding/json"
	"maps"
	"strings"
	"sync"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// entry is a change that was acknowledged.
type entry struct {
	op       mutation.Op // "" for a restore
	ref      store.Ref
	label    string // that the request has put into the document
	revision uint64
	restore  *restore

	// Of the document, as far as the answer shows it: a replayed one does not if
	// it has changed since.
	uid    string
	create uint64
}

// restore is the return to an archive, from the moment it was asked for.
type restore struct {
	number   int
	after    uint64         // revision that was acknowledged before it was asked for; its own is higher
	revision uint64         // its own; 0 while it is not known
	archive  map[string]doc // what it brings back
	saved    uint64         // revision at which the archive was saved
}

// removal is what is known of deletions of one name.
type removal struct {
	pending int    // asked for and not answered
	last    uint64 // revision of the newest acknowledged
}

// book keeps what the cluster has said, outside of it.
type book struct {
	mu       sync.Mutex
	entries  []entry // since the last check
	count    int     // of all
	newest   uint64  // highest revision acknowledged
	counted  chan struct{}
	outages  int                 // odd while one lasts
	revision map[string]uint64   // path -> acknowledged last
	removals map[string]*removal // path of a document; of a tenant it stands for all that is the tenant's
	restores []*restore
	rotates  map[string]int // tenant -> rotations of its keys that are under way
}

func newBook() *book {
	return &book{counted: make(chan struct{}), revision: map[string]uint64{}, removals: map[string]*removal{}, rotates: map[string]int{}}
}

// outage begins or ends a time in which an answer that arrives proves nothing:
// the node may have given it after its power was cut.
func (b *book) outage() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outages++
}

// asks notes that a request is about to be sent, so that readers who see its
// effect before its answer is here are not surprised.
func (b *book) asks(req *mutation.Request, ref store.Ref) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ref.Kind == "keyset" {
		b.rotates[ref.Tenant]++
	}
	if mutation.OutcomeOf(req.Op) != mutation.Deleted {
		return
	}
	r := b.removals[ref.Path()]
	if r == nil {
		r = new(removal)
		b.removals[ref.Path()] = r
	}
	r.pending++
}

// asksRestore notes a restore in the same way.
func (b *book) asksRestore(archive map[string]doc, saved uint64) *restore {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &restore{number: len(b.restores) + 1, after: b.newest, archive: archive, saved: saved}
	b.restores = append(b.restores, r)
	return r
}

// now is to be taken before a request is sent.
func (b *book) now() (outages int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outages
}

// settles notes the answer to a request that was sent after now; a nil answer is
// a refusal. It returns false if an outage came between: then the same request
// has to be sent again.
func (b *book) settles(sent int, req *mutation.Request, ref store.Ref, a *mutation.Answer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sent != b.outages || sent%2 == 1 {
		return false
	}
	r := b.removals[ref.Path()]
	if mutation.OutcomeOf(req.Op) == mutation.Deleted {
		r.pending--
	}
	if ref.Kind == "keyset" {
		b.rotates[ref.Tenant]--
	}
	if a == nil || a.Outcome == mutation.Unchanged {
		return true
	}
	b.revision[ref.Path()] = a.Revision
	if a.Outcome == mutation.Deleted {
		r.last = max(r.last, a.Revision)
		maps.DeleteFunc(b.revision, func(path string, _ uint64) bool {
			return path == ref.Path() || ref.Kind == "tenant" && tenantOf(path) == ref.Path()
		})
	}
	var shown struct {
		UID            string `json:"uid"`
		CreateRevision uint64 `json:"create_revision"`
	}
	_ = json.Unmarshal(a.Document, &shown) // there is none after a delete
	b.add(entry{op: req.Op, ref: ref, label: labelOf(req), revision: a.Revision, uid: shown.UID, create: shown.CreateRevision})
	return true
}

// settlesRestore notes the answer to a restore: its revision, or 0 if there was
// nothing to change.
func (b *book) settlesRestore(sent int, r *restore, revision uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sent != b.outages || sent%2 == 1 {
		return false
	}
	if revision == 0 {
		r.revision = r.after // it is over, and nothing came of it
		return true
	}
	r.revision = revision
	b.add(entry{restore: r, revision: revision})
	return true
}

func (b *book) add(e entry) {
	b.entries = append(b.entries, e)
	b.newest = max(b.newest, e.revision)
	b.count++
	close(b.counted)
	b.counted = make(chan struct{})
}

// total is how many changes were acknowledged, and what closes when one more is.
func (b *book) total() (int, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count, b.counted
}

// revisionOf is the revision at which a document was last acknowledged; 0 if it
// is not there, as far as is known.
func (b *book) revisionOf(path string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.revision[path]
}

// take hands out what was acknowledged since it was last called.
func (b *book) take() []entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.entries
	b.entries = nil
	return out
}

// rotatesNow is a tenant whose keys are being rotated; "" if there is none.
func (b *book) rotatesNow() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for tenant, n := range b.rotates {
		if n > 0 {
			return tenant
		}
	}
	return ""
}

// tenantOf is the path of the tenant that a document belongs to.
func tenantOf(path string) string {
	part := strings.SplitN(path, "/", 3)
	return store.TenantPath(part[1])
}

// labelled is what every written document bears: which request wrote it.
const labelled = "op"

func labelOf(req *mutation.Request) string {
	var p struct {
		Labels map[string]string `json:"labels"`
	}
	_ = json.Unmarshal(req.Patch, &p) // none in a delete or a rotation
	return p.Labels[labelled]
}

package faults

import (
	"fmt"
	"maps"
	"time"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
)

// memory is what one reader has been shown: nothing older may follow.
type memory struct {
	index, revision uint64 // of .applied
	docs            map[string]sight
	keys            map[string]signing // by tenant
}

// sight is the newest that was seen of a document.
type sight struct {
	revision uint64
	sum      store.Digest
	floor    uint64 // revision of the state that it proves: its own, or the restore's that brought it back
	restore  int    // number of that restore
	gone     bool   // it was not there when last looked for
}

// signing is what a program that signs with a tenant's keys has taken from its
// keyset.
type signing struct {
	create uint64 // tells it from that of an earlier tenant of the slug
	floor  uint64
	until  map[string]store.Time // kid -> end of what it signed may be verified; 0 while it signs
}

func newMemory() *memory {
	return &memory{docs: map[string]sight{}, keys: map[string]signing{}}
}

// applied remembers what .applied says, and returns what is wrong with that.
func (m *memory) applied(a publish.Applied) (fault string) {
	if a.Index < m.index || a.Revision < m.revision {
		return fmt.Sprintf(".applied went back to index %d at revision %d; it was at %d and %d", a.Index, a.Revision, m.index, m.revision)
	}
	m.index, m.revision = a.Index, a.Revision
	return ""
}

// there remembers a document that was seen. A restore may bring an older one
// back, once.
func (m *memory) there(b *book, path string, revision uint64, sum store.Digest) (k kind, fault string) {
	s, known := m.docs[path]
	switch {
	case !known, revision > s.floor:
		m.docs[path] = sight{revision: revision, sum: sum, floor: revision, restore: s.restore}
		return 0, ""
	case revision == s.revision && !s.gone:
		if sum != s.sum {
			return torn, fmt.Sprintf("%s changed its bytes and stayed at revision %d", path, revision)
		}
		return 0, ""
	}
	if r := b.restored(path, revision, s.restore); r != nil {
		m.docs[path] = sight{revision: revision, sum: sum, floor: max(s.floor, r.after), restore: r.number}
		return 0, ""
	}
	if s.gone {
		return backward, fmt.Sprintf("%s came back at revision %d after it was gone from %d", path, revision, s.revision)
	}
	return backward, fmt.Sprintf("%s went back from revision %d (the state was at %d) to %d", path, s.revision, s.floor, revision)
}

// absent remembers that a document was not found.
func (m *memory) absent(b *book, path string) (fault string) {
	s, known := m.docs[path]
	if !known || s.gone {
		return ""
	}
	if !b.mayBeGone(path, s.floor) {
		return fmt.Sprintf("%s was there at revision %d and is gone; nobody has asked for that: %s", path, s.revision, b.askedFor(path))
	}
	s.gone = true
	m.docs[path] = s
	return ""
}

// signs remembers the keys of a keyset that sign, are the next to sign, or have
// signed what is still good. Those of another tenant under the same slug, or from before a restore,
// are forgotten.
func (m *memory) signs(b *book, ks *store.Keyset) {
	s := m.keys[ks.Tenant]
	if s.create != ks.CreateRevision || ks.Revision < s.floor || b.crossed(s.floor, ks.Revision) {
		s = signing{create: ks.CreateRevision}
	}
	s.floor, s.until = ks.Revision, maps.Clone(s.until)
	if s.until == nil {
		s.until = map[string]store.Time{}
	}
	for _, k := range ks.Keys {
		if k.State != store.KeyRevoked {
			s.until[k.KID] = k.VerifyUntil
		}
	}
	m.keys[ks.Tenant] = s
}

// unpublished returns a key that a verifier has to find in a public set and
// does not; "" if there is none.
func (m *memory) unpublished(tenant string, published map[string]bool, now time.Time) (kid string) {
	for kid, until := range m.keys[tenant].until {
		if !published[kid] && (until == 0 || until > store.TimeOf(now)) {
			return kid
		}
	}
	return ""
}

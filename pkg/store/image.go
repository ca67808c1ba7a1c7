package store

import (
	"encoding/binary"
	"iter"
	"strings"

	"github.com/tidwall/btree"
)

// state is everything that is replicated. Its maps are copy-on-write trees: a
// tree that came from Copy bears a fresh mark that none of its nodes has, so a
// plain copy of that value may be written to (the first write to a node copies
// it) while others read the original, without a lock.
type state struct {
	docs     btree.Map[string, *Doc]
	uses     btree.Map[string, struct{}] // tenant 0 scope 0 path of a document that names the scope
	traits   btree.Map[string, int]      // tenant 0 trait -> how many clients have it
	issuers  btree.Map[string, string]   // issuer -> slug
	expiries btree.Map[string, string]   // time of the first end of a retiring key, slug -> slug
	counts   btree.Map[string, int]      // tenant 0 kind -> how many
	staged   btree.Map[string, *Staged]  // path -> what the open stage puts there
	requests requestTable

	counters Counters
	data     Digest // of tenants/ and keys/
	all      Digest // of every document, staged document and request
	stageLen int64  // bytes staged
}

// Counters are the numbers of the state that no document holds.
type Counters struct {
	Revision uint64 `json:"revision"` // of the last command that changed something
	Time     Time   `json:"time"`     // of the last command
	Level    uint32 `json:"level"`    // of rules, see package mutation
	Sequence uint64 `json:"sequence"` // of the next request record
	Horizon  Time   `json:"horizon"`  // requests older than this are forgotten
}

// Image is the state at one log index. It never changes; readers need no lock.
type Image struct {
	state
	Index uint64 // last command or configuration entry applied
	Term  uint64 // of that entry
}

// NewImage returns the empty state, before any log entry.
func NewImage() *Image { return &Image{} }

// Counters returns the revision, time and level of the image.
func (m *Image) Counters() Counters { return m.counters }

// Revision returns the revision of the last change.
func (m *Image) Revision() uint64 { return m.counters.Revision }

// Get returns the document at a path, nil if there is none.
func (s *state) Get(path string) *Doc {
	d, _ := s.docs.Get(path)
	return d
}

// Scan yields the documents whose path starts with prefix, in the order of
// their paths.
func (s *state) Scan(prefix string) iter.Seq[*Doc] { return s.ScanFrom(prefix, prefix) }

// ScanFrom is Scan from the path start on.
func (s *state) ScanFrom(prefix, start string) iter.Seq[*Doc] {
	return func(yield func(*Doc) bool) {
		s.docs.Ascend(start, func(path string, d *Doc) bool {
			return strings.HasPrefix(path, prefix) && yield(d)
		})
	}
}

// DataDigest covers tenants/ and keys/.
func (s *state) DataDigest() string { return s.data.String() }

// DataSum is DataDigest before it is written in hex.
func (s *state) DataSum() Digest { return s.data }

// StateDigest covers everything replicated: two nodes that applied the same
// log have the same.
func (s *state) StateDigest() string { return s.StateSum().String() }

// Counts is how many documents of each kind there are. Keys counts live keys.
type Counts struct {
	Tenants int `json:"tenants"`
	Clients int `json:"clients"`
	Scopes  int `json:"scopes"`
	Keys    int `json:"keys"`
}

// Counts returns the totals over all tenants.
func (s *state) Counts() Counts {
	total := func(kind string) int { n, _ := s.counts.Get(key("", kind)); return n }
	return Counts{Tenants: total("tenant"), Clients: total("client"), Scopes: total("scope"), Keys: total("key")}
}

// Count returns how many clients or scopes a tenant has.
func (s *state) Count(slug, kind string) int {
	n, _ := s.counts.Get(key(slug, kind))
	return n
}

// UsersOf yields the paths of the clients and scopes of a tenant that name a scope.
func (s *state) UsersOf(slug, scope string) iter.Seq[string] {
	prefix := key(slug, scope, "")
	return func(yield func(string) bool) {
		s.uses.Ascend(prefix, func(k string, _ struct{}) bool {
			return strings.HasPrefix(k, prefix) && yield(k[len(prefix):])
		})
	}
}

// IssuerOf returns the slug of the tenant that has the issuer.
func (s *state) IssuerOf(issuer string) (slug string, ok bool) { return s.issuers.Get(issuer) }

// NextExpiry returns the tenant whose retiring key ends first, and when.
func (s *state) NextExpiry() (slug string, at Time, ok bool) {
	k, slug, ok := s.expiries.Min()
	if !ok {
		return "", 0, false
	}
	return slug, Time(binary.BigEndian.Uint64([]byte(k[:8]))), true
}

// Overlay returns a state that starts as the image and may be changed without
// anybody seeing it: the leader checks a request on it. It is not frozen.
func (m *Image) Overlay() *Tx { return &Tx{state: m.state} }

// Trial is an Overlay that keeps no document and no record that is put into it, for
// a check of what writes last: putting one in costs more than checking it.
func (m *Image) Trial() *Tx { return &Tx{state: m.state, trial: true} }

// key joins the parts of an index key. No part holds a zero byte.
func key(parts ...string) string { return strings.Join(parts, "\x00") }

package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Tx is a state that is being changed. One goroutine owns it. It implements
// Access.
type Tx struct {
	state
	changed []string // published paths touched since the last Freeze, may repeat
	trial   bool     // nothing that is put in is kept
}

// Begin returns a state to apply log entries to, starting as the image. The
// image must not be given to Begin again.
func (m *Image) Begin() *Tx { return &Tx{state: m.state.fork()} }

// fork copies the state in constant time. Only the goroutine that owns s calls
// it: it marks the trees of s as shared.
func (s *state) fork() state {
	c := *s
	c.docs, c.uses, c.traits = *s.docs.Copy(), *s.uses.Copy(), *s.traits.Copy()
	c.issuers, c.expiries, c.counts = *s.issuers.Copy(), *s.expiries.Copy(), *s.counts.Copy()
	c.staged, c.requests = *s.staged.Copy(), s.requests.fork()
	return c
}

// Freeze returns the state as it is now, at a log index, and the published
// paths that were touched since the last Freeze.
func (t *Tx) Freeze(index, term uint64) (*Image, []string) {
	m := &Image{state: t.fork(), Index: index, Term: term}
	changed := t.changed
	t.changed = nil
	return m, changed
}

// Savepoint remembers the state, for a command of several mutations. Calling
// the returned function takes everything back that came after.
func (t *Tx) Savepoint() (rollback func()) {
	saved, n := t.fork(), len(t.changed)
	return func() { t.state, t.changed = saved, t.changed[:n] }
}

// Counters returns the numbers of the state.
func (t *Tx) Counters() Counters { return t.counters }

// SetCounters replaces them.
func (t *Tx) SetCounters(c Counters) { t.counters = c }

// Advance moves the revision up by one, for a command that changes something,
// and returns it.
func (t *Tx) Advance() uint64 {
	t.counters.Revision++
	return t.counters.Revision
}

// Touch moves the time of the state up to that of a command. It never falls.
func (t *Tx) Touch(now Time) { t.counters.Time = max(t.counters.Time, now) }

// put puts a published document in, with everything that is derived from it.
func (t *Tx) put(d *Doc) {
	if t.trial {
		return
	}
	old, replaced := t.docs.Set(d.Path, d)
	if replaced {
		t.forget(old)
	}
	t.data.add(d.Sum)
	t.all.add(d.Sum)
	t.index(d, 1)
	t.changed = append(t.changed, d.Path)
}

// del takes a published document out. It reports whether it was there.
func (t *Tx) del(path string) bool {
	old, ok := t.docs.Delete(path)
	if ok {
		t.forget(old)
		t.changed = append(t.changed, path)
	}
	return ok
}

func (t *Tx) forget(old *Doc) {
	t.data.sub(old.Sum)
	t.all.sub(old.Sum)
	t.index(old, -1)
}

// index adds what the indexes say of a document (by = 1) or takes it away (-1).
func (t *Tx) index(d *Doc, by int) {
	ref, err := ParsePath(d.Path)
	if err != nil {
		panic("store: a document with a path that is none of ours: " + d.Path) // NewDoc has checked it
	}
	switch h := d.Head.(type) {
	case *Tenant:
		if h.Issuer != "" {
			if by > 0 {
				t.issuers.Set(h.Issuer, h.Slug)
			} else if t.issuer(h.Issuer) == h.Slug {
				t.issuers.Delete(h.Issuer)
			}
		}
		t.count("", "tenant", by)
	case *ClientHead:
		for _, s := range h.Scopes {
			t.use(ref.Tenant, s, d.Path, by)
		}
		for _, trait := range h.traits() {
			bump(&t.traits, key(ref.Tenant, trait), by)
		}
		t.count(ref.Tenant, "client", by)
		t.count("", "client", by)
	case *ScopeHead:
		for _, s := range h.DependsOn {
			t.use(ref.Tenant, s, d.Path, by)
		}
		t.count(ref.Tenant, "scope", by)
		t.count("", "scope", by)
	case *KeysetHead:
		if h.Expiry != 0 {
			k := string(binary.BigEndian.AppendUint64(nil, uint64(h.Expiry))) + ref.Tenant
			if by > 0 {
				t.expiries.Set(k, ref.Tenant)
			} else {
				t.expiries.Delete(k)
			}
		}
		t.count("", "key", by*h.Live)
	}
}

func (t *Tx) issuer(issuer string) string {
	slug, _ := t.issuers.Get(issuer)
	return slug
}

func (t *Tx) use(slug, scope, path string, by int) {
	if by > 0 {
		t.uses.Set(key(slug, scope, path), struct{}{})
	} else {
		t.uses.Delete(key(slug, scope, path))
	}
}

func (t *Tx) count(slug, kind string, by int) { bump(&t.counts, key(slug, kind), by) }

// PutSystem puts a document below system/ in.
func (t *Tx) PutSystem(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	t.putSystem(systemDoc(path, append(b, '\n')))
	return nil
}

func (t *Tx) putSystem(d *Doc) {
	if old, replaced := t.docs.Set(d.Path, d); replaced {
		t.all.sub(old.Sum)
	}
	t.all.add(d.Sum)
}

// DeleteSystem takes a document below system/ out.
func (t *Tx) DeleteSystem(path string) {
	if old, ok := t.docs.Delete(path); ok {
		t.all.sub(old.Sum)
	}
}

// System reads a document below system/ into v. It reports whether it is there.
func (s *state) System(path string, v any) bool {
	d := s.Get(path)
	return d != nil && json.Unmarshal(d.Bytes, v) == nil
}

package faults

import (
	"bytes"
	"slices"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// keysets is a keyset, the public set that was read after it, and the keyset
// that was read after that: bytes, nil where there was no file.
type keysets [3][]byte

// verify does what a program that signs and one that verifies do: it takes the
// keys from the keyset; from then on they have to be in the public set. It looks
// so many times in a row and judges what differs from the look before.
func (r *reader) verify(tenant string, times int) {
	var was keysets
	for range times {
		if !r.ready() {
			return
		}
		asked := r.book.asked()
		if _, err := r.applied(); err != nil {
			return // look judges that
		}
		settled := r.book.published(r.done)
		var is keysets
		for i, path := range []string{store.KeysetPath(tenant), store.JWKSPath(tenant), store.KeysetPath(tenant)} {
			is[i], _ = r.read(path) // look judges that
		}
		if slices.EqualFunc(is[:], was[:], bytes.Equal) {
			continue
		}
		was = is
		r.compare(tenant, is, settled && r.book.asked() == asked)
	}
}

// compare judges what was read of a tenant's keys. It is settled if no restore
// took keys away meanwhile: those that it brings back are older than what they
// signed.
func (r *reader) compare(tenant string, is keysets, settled bool) {
	first := r.keyset(tenant, is[0])
	if first == nil {
		return
	}
	r.memory.signs(r.book, first)
	var published map[string]bool
	if is[1] != nil {
		set := r.judge(store.JWKSPath(tenant), is[1])
		if set == nil {
			return
		}
		published = set.published
	}
	// It says something only if the tenant was there all the time.
	second := r.keyset(tenant, is[2])
	if !settled || second == nil || second.CreateRevision != first.CreateRevision || second.Revision < first.Revision {
		return
	}
	r.signed++
	if kid := r.memory.unpublished(tenant, published, time.Now()); kid != "" {
		r.found.add(torn, "%s: key %s of %s is in use, as its keyset said at revision %d or before; the public set, read later, does not have it (%d keys)",
			r.name, kid, tenant, first.Revision, len(published))
	}
}

// keyset judges a keyset that was read; nil if there was none that is whole.
func (r *reader) keyset(tenant string, b []byte) *store.Keyset {
	if b == nil {
		return nil
	}
	d := r.judge(store.KeysetPath(tenant), b)
	if d == nil {
		return nil
	}
	return d.keyset
}

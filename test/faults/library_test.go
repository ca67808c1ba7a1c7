package faults

import (
	"encoding/json"
	"sync"

	"github.com/cpctl/cpctl/pkg/store"
)

// library remembers documents that were read and are whole, by what is in them:
// the readers see the same ones again and again, and judging takes time.
type library struct {
	mu    sync.Mutex
	known map[store.Digest]*decoded
}

// decoded is what is needed of a document.
type decoded struct {
	doc
	sum       store.Digest
	keyset    *store.Keyset   // of a keyset: kid, state and end of each key
	published map[string]bool // of a public set: its kids
}

// decode judges a document by itself.
func (l *library) decode(path string, b []byte) (*decoded, error) {
	sum := store.Sum(path, b)
	l.mu.Lock()
	d := l.known[sum]
	l.mu.Unlock()
	if d != nil {
		return d, nil
	}
	v, err := store.DecodeDoc(path, b)
	if err != nil {
		return nil, err
	}
	d = &decoded{doc: shown(b), sum: sum}
	switch v := v.(type) {
	case *store.Keyset:
		d.keyset = &store.Keyset{Tenant: v.Tenant, Meta: v.Meta}
		for _, k := range v.Keys {
			d.keyset.Keys = append(d.keyset.Keys, store.Key{KID: k.KID, State: k.State, VerifyUntil: k.VerifyUntil})
		}
	case *store.JWKS:
		d.published = map[string]bool{}
		for _, raw := range v.Keys {
			var k struct {
				KID string `json:"kid"`
			}
			if err := json.Unmarshal(raw, &k); err != nil {
				return nil, err
			}
			d.published[k.KID] = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[sum] = d
	return d, nil
}

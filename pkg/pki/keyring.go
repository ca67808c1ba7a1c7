package pki

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// Keyring is the cluster keys that a node holds: one, or two while the cluster
// goes over from one to the next. It never changes. Which of them seals is said
// by the state of the cluster; the first is the one that sealed when the ring
// was written, for whoever has only the file.
type Keyring struct {
	keys [maxRing]ClusterKey
	n    int
}

const maxRing = 2

// NewKeyring returns a ring of one key and at most one other, which opens, too.
// Another that is the same key is not another.
func NewKeyring(first ClusterKey, other ...ClusterKey) Keyring {
	r := Keyring{keys: [maxRing]ClusterKey{first}, n: 1}
	for _, k := range other {
		if k != first && r.n < maxRing {
			r.keys[r.n] = k
			r.n++
		}
	}
	return r
}

// ParseKeyring reads the file cluster.key: a line of ClusterKey.Encode for each
// key. The error is a *store.Error of CodeIntegrity and never holds what was read.
func ParseKeyring(b []byte) (Keyring, error) {
	lines := bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
	if len(lines) > maxRing {
		return Keyring{}, damaged("not the file of a cluster key: it has %d lines, at most %d keys are in one", len(lines), maxRing)
	}
	var keys []ClusterKey
	for _, line := range lines {
		k, err := ParseClusterKey(line)
		if err != nil {
			return Keyring{}, err
		}
		keys = append(keys, k)
	}
	r := NewKeyring(keys[0], keys[1:]...)
	if r.n != len(keys) {
		return Keyring{}, damaged("the file of the cluster key has the same key twice")
	}
	return r, nil
}

// Encode is the content of the file cluster.key.
func (r Keyring) Encode() []byte {
	var b []byte
	for _, k := range r.Keys() {
		b = append(b, k.Encode()...)
	}
	return b
}

// Keys returns the keys, the first one first.
func (r Keyring) Keys() []ClusterKey { return r.keys[:r.n:r.n] }

// First returns the key that sealed when the ring was written.
func (r Keyring) First() ClusterKey { return r.keys[0] }

// Key returns the key of that id and check value.
func (r Keyring) Key(id, check string) (ClusterKey, bool) {
	for _, k := range r.Keys() {
		if k.ID() == id && k.Check() == check {
			return k, true
		}
	}
	return ClusterKey{}, false
}

// Checks returns the check values of the keys.
func (r Keyring) Checks() []string {
	out := make([]string, 0, maxRing)
	for _, k := range r.Keys() {
		out = append(out, k.Check())
	}
	return out
}

// IDs names the keys in a message.
func (r Keyring) IDs() string {
	var out []string
	for _, k := range r.Keys() {
		out = append(out, k.ID())
	}
	return strings.Join(out, " and ")
}

// Open opens what was sealed under one of the keys; see ClusterKey.Open.
func (r Keyring) Open(s store.Sealed, aad ...string) ([]byte, error) {
	for _, k := range r.Keys() {
		if k.ID() == s.KeyID {
			return k.Open(s, aad...)
		}
	}
	if r.n == 1 {
		return r.First().Open(s, aad...) // it says what is wrong
	}
	return nil, damaged("sealed under the cluster key %q, but the keys of this node are %s", s.KeyID, r.IDs()).
		WithHint("give the cluster key file that belongs to the cluster in which this was sealed")
}

// Format keeps the keys out of every print, whatever the verb.
func (r Keyring) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[cluster key %s]", r.IDs()) }

// MarshalText keeps the keys out of JSON and of structured logs.
func (r Keyring) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", r), nil }

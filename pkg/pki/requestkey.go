package pki

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// RequestKey makes the digests of requests, by which a request that comes again
// is known. It outlives the cluster key: in the state it is sealed under it, and
// is sealed anew when the cluster key changes.
type RequestKey [64]byte // two keys of 32 bytes, for writes and for restores

// NewRequestKey draws a key.
func NewRequestKey() (k RequestKey, err error) {
	_, err = rand.Read(k[:])
	return k, err
}

// The labels under which clusters that have no request key of their own made
// these digests, from the cluster key that they were founded with.
const (
	labelWrites   = "request"
	labelRestores = "restore"
)

// RequestKey is the one of a cluster that was founded without one.
func (k ClusterKey) RequestKey() (r RequestKey) {
	copy(r[:32], k.derive(labelMAC+labelWrites))
	copy(r[32:], k.derive(labelMAC+labelRestores))
	return r
}

// ParseRequestKey reads what was sealed: the key as it is.
func ParseRequestKey(b []byte) (k RequestKey, err error) {
	if len(b) != len(k) {
		return k, damaged("the request key has %d bytes, not %d", len(b), len(k))
	}
	return RequestKey(b), nil
}

// Write is the digest of a write, HMAC-SHA256.
func (k RequestKey) Write(request []byte) [32]byte { return mac(k[:32], request) }

// Restore is the digest of a restore.
func (k RequestKey) Restore(archive []byte) [32]byte { return mac(k[32:], archive) }

func mac(key, data []byte) [32]byte {
	sum := hmac.New(sha256.New, key)
	sum.Write(data)
	return [32]byte(sum.Sum(nil))
}

// Format keeps the key out of every print, whatever the verb.
func (k RequestKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[request key]") }

// MarshalText keeps the key out of JSON and of structured logs.
func (k RequestKey) MarshalText() ([]byte, error) { return []byte("[request key]"), nil }

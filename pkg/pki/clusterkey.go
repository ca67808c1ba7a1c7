package pki

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// ClusterKey is the one secret that every node of a cluster holds: 256 random
// bits, in the file cluster.key, never in the replicated state. It is not used
// itself; each use has a key of its own, HKDF-SHA256(key, no salt, label).
type ClusterKey [32]byte

const (
	labelID    = "cpctl cluster key id 1"
	labelCheck = "cpctl cluster key check 1"
	labelSeal  = "cpctl cluster key seal 1"
	labelMAC   = "cpctl cluster key mac 1 " // and the caller's label

	keyLinePrefix = "cpctl-cluster-key-1:"
)

// NewClusterKey draws a key.
func NewClusterKey() (k ClusterKey, err error) {
	_, err = rand.Read(k[:])
	return k, err
}

// ID names the key in sealed values: the first 64 bits, as 16 lower-case hex
// digits, of SHA-256(label, 0, key). It is public.
func (k ClusterKey) ID() string {
	sum := sha256.Sum256(append([]byte(labelID+"\x00"), k[:]...))
	return hex.EncodeToString(sum[:8])
}

// Check is a value by which a node proves to itself that it has the right key:
// 64 hex digits, an HMAC-SHA256 of a constant. It is public, and says nothing
// of the key or of any key derived from it.
func (k ClusterKey) Check() string {
	sum := hmac.New(sha256.New, k.derive(labelCheck))
	sum.Write([]byte(labelCheck))
	return hex.EncodeToString(sum.Sum(nil))
}

// MAC is HMAC-SHA256 of data under a key of its own for each label.
func (k ClusterKey) MAC(label string, data []byte) [32]byte {
	sum := hmac.New(sha256.New, k.derive(labelMAC+label))
	sum.Write(data)
	return [32]byte(sum.Sum(nil))
}

// Encode is the content of the file cluster.key: one line, the version, the key
// in base64url without padding, and its id, by which a damaged copy is noticed.
func (k ClusterKey) Encode() []byte {
	return []byte(keyLinePrefix + base64.RawURLEncoding.EncodeToString(k[:]) + ":" + k.ID() + "\n")
}

// ParseClusterKey is the inverse of Encode; the final newline may be missing.
// The error is a *store.Error of CodeIntegrity and never holds what was read.
func ParseClusterKey(b []byte) (ClusterKey, error) {
	line, ok := strings.CutPrefix(string(bytes.TrimSuffix(b, []byte("\n"))), keyLinePrefix)
	if !ok {
		return ClusterKey{}, damaged("not the file of a cluster key: it does not begin with %q", keyLinePrefix)
	}
	text, id, _ := strings.Cut(line, ":")
	raw, err := decode(base64.RawURLEncoding, text)
	if err != nil || len(raw) != len(ClusterKey{}) {
		return ClusterKey{}, damaged("the cluster key is damaged: it is not 32 bytes in base64url")
	}
	k := ClusterKey(raw)
	if subtle.ConstantTimeCompare([]byte(id), []byte(k.ID())) != 1 {
		return ClusterKey{}, damaged("the cluster key is damaged: it does not have the id that stands beside it")
	}
	return k, nil
}

// Format keeps the key out of every print, whatever the verb.
func (k ClusterKey) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[cluster key %s]", k.ID()) }

// MarshalText keeps the key out of JSON and of structured logs.
func (k ClusterKey) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", k), nil }

func (k ClusterKey) derive(label string) []byte {
	key, err := hkdf.Key(sha256.New, k[:], nil, label, 32)
	if err != nil {
		panic(err) // only for a length beyond 255 hashes
	}
	return key
}

// decode accepts what the encoding writes and nothing else: the library's own
// decoder also takes stray bits at the end and skips line breaks.
func decode(enc *base64.Encoding, s string) ([]byte, error) {
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		return nil, base64.CorruptInputError(i)
	}
	return enc.Strict().DecodeString(s)
}

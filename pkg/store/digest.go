package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
)

// Digest is a sum of SHA-256 values modulo 2^256: it does not depend on the
// order of its terms, and a term is added or taken away in constant time.
type Digest [4]uint64 // least significant word first

// term is what one document adds to a digest: SHA-256(path, 0, bytes).
func term(path string, b []byte) Digest {
	h := sha256.New()
	h.Write([]byte(path))
	h.Write([]byte{0})
	h.Write(b)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	var d Digest
	for i := range d {
		d[i] = binary.BigEndian.Uint64(sum[24-8*i:])
	}
	return d
}

// Sum returns the term of one document, by which a file is compared with it.
func Sum(path string, b []byte) Digest { return term(path, b) }

func (d *Digest) add(t Digest) {
	var carry uint64
	for i := range d {
		d[i], carry = bits.Add64(d[i], t[i], carry)
	}
}

func (d *Digest) sub(t Digest) {
	var borrow uint64
	for i := range d {
		d[i], borrow = bits.Sub64(d[i], t[i], borrow)
	}
}

// Bytes returns the digest as 32 bytes, most significant first.
func (d Digest) Bytes() [32]byte {
	var b [32]byte
	for i := range d {
		binary.BigEndian.PutUint64(b[24-8*i:], d[i])
	}
	return b
}

// String returns the digest as 64 hex digits.
func (d Digest) String() string {
	b := d.Bytes()
	return hex.EncodeToString(b[:])
}

// StateSum is a StateDigest before it is hashed: taking one costs a copy, so that
// the states behind many entries can be remembered. Two are equal exactly if
// their digests are.
type StateSum struct {
	all      Digest
	counters Counters
}

// StateSum is what StateDigest is made of.
func (s *state) StateSum() StateSum { return StateSum{s.all, s.counters} }

// String returns the digest as 64 hex digits.
func (s StateSum) String() string {
	h := sha256.New()
	sum := s.all.Bytes()
	h.Write(sum[:])
	c := s.counters
	for _, n := range []uint64{c.Revision, uint64(c.Time), uint64(c.Level), c.Sequence, uint64(c.Horizon)} {
		h.Write(binary.BigEndian.AppendUint64(nil, n))
	}
	return hex.EncodeToString(h.Sum(nil))
}

package node

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumSize is what the checksums add to the extensions of an entry, in bytes.
const sumSize = 8

// withChecksum is a copy of the entry with two numbers before its extensions:
// its checksum, and that of the entry before it, 0 if the log begins here. The
// second ties the entries together, so that none of them is an older one of the
// same index. Data is shared with the original and only read.
func withChecksum(e *raft.Log, before uint32) (c *raft.Log, sum uint32) {
	sum = entryChecksum(e, before)
	c = new(raft.Log)
	*c = *e
	c.Extensions = binary.BigEndian.AppendUint32(nil, sum)
	c.Extensions = binary.BigEndian.AppendUint32(c.Extensions, before)
	c.Extensions = append(c.Extensions, e.Extensions...)
	return c, sum
}

// takeChecksum takes the checksums off again and tells whether they were there
// and the entry's own is right.
func takeChecksum(e *raft.Log) (sum, before uint32, ok bool) {
	if len(e.Extensions) < sumSize {
		return 0, 0, false
	}
	sum, before = binary.BigEndian.Uint32(e.Extensions), binary.BigEndian.Uint32(e.Extensions[4:])
	if e.Extensions = e.Extensions[sumSize:]; len(e.Extensions) == 0 {
		e.Extensions = nil
	}
	return sum, before, sum == entryChecksum(e, before)
}

// entryChecksum covers what raft replicates: index, term, type, data and the
// extensions of others, the length keeping the last two apart; and the checksum
// of the entry before.
func entryChecksum(e *raft.Log, before uint32) uint32 {
	var head [29]byte
	binary.BigEndian.PutUint64(head[0:], e.Index)
	binary.BigEndian.PutUint64(head[8:], e.Term)
	head[16] = byte(e.Type)
	binary.BigEndian.PutUint64(head[17:], uint64(len(e.Data)))
	binary.BigEndian.PutUint32(head[25:], before)
	sum := crc32.Update(0, castagnoli, head[:])
	sum = crc32.Update(sum, castagnoli, e.Data)
	return crc32.Update(sum, castagnoli, e.Extensions)
}

// sealValue puts a checksum behind a value of raft's own: in them are its term
// and its vote, which must not change by themselves.
func sealValue(key, value []byte) []byte {
	sealed := append(make([]byte, 0, len(value)+4), value...)
	return binary.BigEndian.AppendUint32(sealed, valueChecksum(key, value))
}

var errValue = errors.New("its checksum does not match")

func openValue(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, errValue
	}
	value := sealed[:len(sealed)-4]
	if binary.BigEndian.Uint32(sealed[len(value):]) != valueChecksum(key, value) {
		return nil, errValue
	}
	return value, nil
}

// valueChecksum covers the key too, so that no value is read under another's.
func valueChecksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

package node

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// withChecksum is a copy of the entry with the checksum before its extensions. Data is
// shared with the original and only read.
func withChecksum(e *raft.Log) *raft.Log {
	c := *e
	c.Extensions = append(binary.BigEndian.AppendUint32(nil, entryChecksum(e)), e.Extensions...)
	return &c
}

// takeChecksum takes the checksum off again and tells whether it was there and right.
func takeChecksum(e *raft.Log) bool {
	if len(e.Extensions) < 4 {
		return false
	}
	sum := binary.BigEndian.Uint32(e.Extensions)
	if e.Extensions = e.Extensions[4:]; len(e.Extensions) == 0 {
		e.Extensions = nil
	}
	return sum == entryChecksum(e)
}

// entryChecksum covers what raft replicates: index, term, type, data and the
// extensions of others; the length keeps the last two apart.
func entryChecksum(e *raft.Log) uint32 {
	var head [25]byte
	binary.BigEndian.PutUint64(head[0:], e.Index)
	binary.BigEndian.PutUint64(head[8:], e.Term)
	head[16] = byte(e.Type)
	binary.BigEndian.PutUint64(head[17:], uint64(len(e.Data)))
	sum := crc32.Update(0, castagnoli, head[:])
	sum = crc32.Update(sum, castagnoli, e.Data)
	return crc32.Update(sum, castagnoli, e.Extensions)
}

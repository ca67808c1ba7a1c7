package reader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"syscall"
)

// The node's note of what the files hold, data/.applied: two slots that are
// written in turn, each
//
//	crc32c, 8 hex digits; space; sequence, decimal; space; JSON; spaces; newline
//
// where the sum covers what follows the first space. The higher sequence counts.
const (
	appliedName = ".applied"
	slotSize    = 512
	appliedSize = 2 * slotSize
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is what a slot says.
type record struct {
	State     string `json:"state"`    // done, intent while files are being changed, or withdrawn
	Index     uint64 `json:"index"`    // of the log
	Revision  uint64 `json:"revision"` // of the state
	Digest    string `json:"digest"`   // of all documents
	ClusterID string `json:"cluster_id"`
	BootID    string `json:"boot_id"`

	sequence uint64
	inode    uint64 // of .applied: another in every tree
}

const (
	stateDone      = "done"
	stateWithdrawn = "withdrawn" // the node has found out that its state is not that of the others
)

// applied reads the newest record of an open data/.
func (d dir) applied() (record, error) {
	fd, err := d.open(appliedName, 0)
	if errors.Is(err, syscall.ENOENT) {
		return record{}, notReady("data/%s is not there", appliedName)
	}
	if err != nil {
		return record{}, fault(appliedName, err)
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return record{}, fault(appliedName, err)
	}
	r, err := settledRecord(func(b []byte) (int, error) {
		return retrying(func() (int, error) { return syscall.Pread(fd, b, 0) })
	})
	r.inode = st.Ino
	return r, err
}

// settledRecord returns the newest record of what read gives. A slot whose sum
// is wrong is being written just now, or was cut short: by the time that it is
// whole the other one may be the older of the two. So it is passed over only
// when it stays as it is.
func settledRecord(read func([]byte) (int, error)) (r record, err error) {
	var buf, before [appliedSize + 1]byte
	for try := range 16 {
		n, err := read(buf[:])
		if err != nil {
			return record{}, fault(appliedName, err)
		}
		if n != appliedSize {
			return record{}, notReady("data/%s has %d bytes, not %d", appliedName, n, appliedSize)
		}
		newest, known, torn := newestSlot(buf[:n])
		if !torn || try > 0 && buf == before {
			if !known {
				return record{}, notReady("data/%s holds no whole record", appliedName)
			}
			return newest, nil
		}
		r, before = newest, buf
	}
	r.State = "intent" // changed at every look: files are being changed
	return r, nil
}

// newestSlot decodes both slots. Torn: there is one that is neither whole nor
// still blank.
func newestSlot(b []byte) (newest record, known, torn bool) {
	for ; len(b) >= slotSize; b = b[slotSize:] {
		r, ok := decodeSlot(b[:slotSize])
		switch {
		case !ok:
			torn = torn || len(bytes.TrimRight(b[:slotSize], " \n")) > 0
		case !known || r.sequence > newest.sequence:
			newest, known = r, true
		}
	}
	return newest, known, torn
}

func decodeSlot(b []byte) (r record, ok bool) {
	sum, rest, _ := bytes.Cut(b, []byte(" "))
	if string(sum) != fmt.Sprintf("%08x", crc32.Checksum(rest, castagnoli)) {
		return r, false
	}
	number, body, _ := bytes.Cut(rest, []byte(" "))
	sequence, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil || json.Unmarshal(body, &r) != nil {
		return r, false
	}
	r.sequence = sequence
	return r, true
}

package publish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// A marker is a file of two slots that are written in turn, so that a write
// that was cut short leaves the one before. A slot is one line of text:
//
//	crc32c, 8 hex digits; space; sequence, decimal; space; JSON; spaces; newline
//
// The checksum covers everything after the first space. The slot with the
// higher sequence counts. A slot of nothing but spaces was never written.
const (
	slotSize   = 512 // bytes: one sector, which a disk writes whole or not at all
	markerSize = 2 * slotSize
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeSlot(sequence uint64, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return frameSlot(sequence, body)
}

func frameSlot(sequence uint64, body []byte) ([]byte, error) {
	b := make([]byte, 9, slotSize)
	b = strconv.AppendUint(b, sequence, 10)
	b = append(append(b, ' '), body...)
	if len(b) >= slotSize {
		return nil, fmt.Errorf("a marker of %d bytes does not fit its slot", len(b))
	}
	for len(b) < slotSize-1 {
		b = append(b, ' ')
	}
	b = append(b, '\n')
	copy(b, checksum(b))
	return b, nil
}

// checksum returns the first nine bytes of a slot.
func checksum(b []byte) string { return fmt.Sprintf("%08x ", crc32.Checksum(b[9:], castagnoli)) }

// decodeSlot returns the sequence and the JSON of a slot. It takes what
// frameSlot writes, and no second spelling of it.
func decodeSlot(b []byte) (sequence uint64, body []byte, ok bool) {
	if len(b) != slotSize || string(b[:9]) != checksum(b) {
		return 0, nil, false
	}
	number, body, _ := bytes.Cut(b[9:], []byte(" "))
	sequence, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		return 0, nil, false
	}
	body = bytes.TrimRight(body, " \n")
	again, err := frameSlot(sequence, body)
	return sequence, body, err == nil && bytes.Equal(again, b)
}

// newest decodes the newer of the two slots into v.
func newest(b []byte, v any) (sequence uint64, slot int, ok bool) {
	var best []byte
	for i := range len(b) / slotSize {
		if n, body, valid := decodeSlot(b[i*slotSize : (i+1)*slotSize]); valid && (!ok || n > sequence) {
			sequence, slot, best, ok = n, i, body, true
		}
	}
	if !ok || json.Unmarshal(best, v) != nil {
		return 0, 0, false
	}
	return sequence, slot, true
}

// slots is an open marker.
type slots struct {
	sys      disk.FS
	fd       int
	sequence uint64
	slot     int  // where the next one goes
	damaged  bool // one of them was neither whole nor blank when it was opened
	last     any  // the newest record
}

// openSlots reads a marker that is open for writing.
func openSlots(s disk.FS, fd int, v any) (m *slots, size int, ok bool, err error) {
	b := make([]byte, markerSize+1)
	size, err = disk.ReadAll(fd, b)
	if err != nil {
		return nil, size, false, err
	}
	m = &slots{sys: s, fd: fd}
	if size != markerSize {
		return m, size, false, nil
	}
	m.damaged = !sound(b[:size])
	sequence, slot, ok := newest(b[:size], v)
	if ok {
		m.sequence, m.slot, m.last = sequence, 1-slot, v
	}
	return m, size, ok, nil
}

// write puts v into the older slot, without a sync. A failure leaves the newer
// slot as it was, and the next attempt goes to the same place.
func (m *slots) write(v any) error {
	b, err := encodeSlot(m.sequence+1, v)
	if err != nil {
		return err
	}
	if err := m.sys.Pwrite(m.fd, b, int64(m.slot)*slotSize); err != nil {
		return err
	}
	m.sequence, m.slot, m.last = m.sequence+1, 1-m.slot, v
	return nil
}

// sound reports whether each slot is a whole record, or was never written.
func sound(b []byte) bool {
	for i := range len(b) / slotSize {
		slot := b[i*slotSize : (i+1)*slotSize]
		if _, _, whole := decodeSlot(slot); !whole && !bytes.Equal(slot, blank()[:slotSize]) {
			return false
		}
	}
	return len(b) == markerSize
}

// fault says what is wrong with the file of an open marker, "" if nothing is.
func (m *slots) fault() string {
	b := make([]byte, markerSize+1)
	n, err := disk.ReadAll(m.fd, b)
	if err != nil {
		return err.Error()
	}
	var v json.RawMessage
	sequence, _, ok := newest(b[:n], &v)
	switch {
	case !ok:
		return "neither of its two records can be read"
	case !sound(b[:n]):
		return "one of its two records is damaged"
	case sequence != m.sequence:
		return "it is not what was written last"
	}
	return ""
}

// mend writes both records anew.
func (m *slots) mend() error {
	if err := m.write(m.last); err != nil {
		return err
	}
	return m.write(m.last)
}

// checkMarker compares the file at path with the open marker, and with repair
// writes it anew. A file that was put in its place is left to the next start:
// what was written since went to the one that is gone.
func checkMarker(path string, m *slots, repair bool) (fault string, repaired bool) {
	var at, open unix.Stat_t
	if unix.Lstat(path, &at) != nil || unix.Fstat(m.fd, &open) != nil || at.Dev != open.Dev || at.Ino != open.Ino {
		return "it was removed or replaced under the running node, which has to be started again", false
	}
	if fault = m.fault(); fault == "" || !repair {
		return fault, false
	}
	return fault, m.mend() == nil && m.fault() == ""
}

func (m *slots) close() error { return unix.Close(m.fd) }

// blank is a marker of which nothing was written yet.
func blank() []byte {
	line := append(bytes.Repeat([]byte(" "), slotSize-1), '\n')
	return append(line, line...)
}

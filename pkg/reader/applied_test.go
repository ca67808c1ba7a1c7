package reader

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

// slot is one as the node writes it.
func slot(sequence int, state string) []byte {
	text := fmt.Sprintf(`%d {"state":%q,"index":%d,"boot_id":"b"}`, sequence, state, sequence)
	text += strings.Repeat(" ", slotSize-10-len(text)) + "\n"
	return fmt.Appendf(nil, "%08x %s", crc32.Checksum([]byte(text), castagnoli), text)
}

// torn is a slot of which only the beginning was written.
func torn(before, after []byte) []byte { return append(bytes.Clone(after[:14]), before[14:]...) }

func blankSlot() []byte { return append(bytes.Repeat([]byte(" "), slotSize-1), '\n') }

func TestTheNewestWholeRecordCounts(t *testing.T) {
	for _, c := range []struct {
		fact  string
		looks [][]byte // what each look finds; the last one stays
		want  string   // state and sequence, "" if it is not ready
	}{
		{"the first slot is newer", [][]byte{append(slot(5, "done"), slot(4, "intent")...)}, "done 5"},
		{"the second slot is newer", [][]byte{append(slot(5, "done"), slot(6, "intent")...)}, "intent 6"},
		{"one slot is blank", [][]byte{append(slot(1, "done"), blankSlot()...)}, "done 1"},
		{"one slot was cut short for good", [][]byte{append(torn(slot(4, "done"), slot(6, "intent")), slot(5, "done")...)}, "done 5"},
		{"one slot is being written", [][]byte{
			append(slot(5, "done"), torn(slot(4, "intent"), slot(6, "intent"))...),
			append(slot(5, "done"), slot(6, "intent")...)}, "intent 6"},
		{"both were written since", [][]byte{ // the first look has a first slot that is older than it seems
			append(slot(5, "done"), torn(slot(6, "intent"), slot(8, "intent"))...),
			append(slot(7, "done"), slot(8, "intent")...)}, "intent 8"},
		{"nothing was written", [][]byte{append(blankSlot(), blankSlot()...)}, ""},
		{"both are damaged", [][]byte{append(torn(slot(1, "done"), slot(3, "done")), torn(slot(2, "done"), slot(4, "done"))...)}, ""},
		{"too short", [][]byte{slot(5, "done")}, ""},
		{"too long", [][]byte{append(append(slot(5, "done"), slot(4, "intent")...), '\n')}, ""},
		{"empty", [][]byte{nil}, ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			looks := 0
			r, err := settledRecord(func(b []byte) (int, error) {
				n := copy(b, c.looks[min(looks, len(c.looks)-1)])
				looks++
				return n, nil
			})
			if c.want == "" {
				if !errors.Is(err, ErrNotReady) {
					t.Errorf("%+v, %v; want not ready", r, err)
				}
				return
			}
			if got := fmt.Sprint(r.State, " ", r.sequence); got != c.want || err != nil || r.Index != r.sequence {
				t.Errorf("%s of index %d, %v; want %s", got, r.Index, err, c.want)
			}
		})
	}
}

// A marker that is another at each look is of files that are being changed.
func TestARecordThatNeverRestsIsNotDone(t *testing.T) {
	looks := 0
	r, err := settledRecord(func(b []byte) (int, error) {
		looks++
		return copy(b, append(slot(2*looks+1, "done"), torn(slot(2*looks, "intent"), slot(2*looks+2, "intent"))...)), nil
	})
	if r.State == stateDone || err != nil {
		t.Errorf("%+v, %v after %d looks", r, err, looks)
	}
}

func FuzzSlots(f *testing.F) {
	f.Add(append(slot(5, "done"), slot(4, "intent")...))
	f.Add(append(slot(1, "done"), blankSlot()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := settledRecord(func(into []byte) (int, error) { return copy(into, b), nil })
		if err == nil && r.sequence == 0 && r.State == "" && len(b) != appliedSize {
			t.Errorf("%d bytes are a record", len(b))
		}
	})
}

package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// FuzzMarker: whatever is in the file of a marker, a record is read from a slot
// that is whole or not at all, and the next record is written beside it.
func FuzzMarker(f *testing.F) {
	one, err := encodeSlot(7, Applied{State: StateDone, Index: 9, BootID: "b"})
	if err != nil {
		f.Fatal(err)
	}
	two, err := encodeSlot(8, Committed{Index: 10, Term: 2, ClusterID: "c"})
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{blank(), append(bytes.Clone(one), two...), append(bytes.Clone(two), blank()[slotSize:]...), append(bytes.Clone(two), two...), two, nil, make([]byte, markerSize+1)} {
		f.Add(b, false)
		f.Add(b, true)
	}
	f.Add(append(bytes.Replace(one, []byte("7 {"), []byte("07{"), 1), two...), true)
	f.Add(append(bytes.Replace(one, []byte("  \n"), []byte("\n \n"), 1), two...), true)
	last, err := encodeSlot(^uint64(0), Committed{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(last, one...), true)
	fd, err := unix.MemfdCreate("marker", unix.MFD_CLOEXEC)
	if err != nil {
		f.Fatal(err)
	}
	defer unix.Close(fd)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		for i := range len(b) / slotSize {
			slot := b[i*slotSize : (i+1)*slotSize]
			if mend { // the checksum keeps out of the fuzzer's way
				copy(slot, checksum(slot))
			}
			sequence, body, ok := decodeSlot(slot)
			if !ok {
				continue
			}
			if again, err := frameSlot(sequence, body); err != nil || !bytes.Equal(again, slot) {
				t.Fatalf("slot %q was taken and is written as %q, %v", slot, again, err)
			}
		}
		if err := errors.Join(disk.Real{}.Truncate(fd, 0), disk.Real{}.Pwrite(fd, b, 0)); err != nil {
			t.Fatal(err)
		}
		var before, kept Committed
		m, size, ok, err := openSlots(disk.Real{}, fd, &before)
		if err != nil || size != min(len(b), markerSize+1) || ok && size != markerSize {
			t.Fatalf("%q: %v, %d bytes, %v", b, ok, size, err)
		}
		if !ok || m.sequence == ^uint64(0) { // nobody counts that far
			return
		}
		_, newer, _ := newest(b, new(Committed))
		older := 1 - newer
		next := Committed{Index: before.Index + 1, Term: 3, ClusterID: "x"}
		if err := m.write(next); err != nil {
			t.Fatalf("after %+v: %v", before, err)
		}
		now := make([]byte, markerSize)
		if _, err := disk.ReadAll(fd, now); err != nil {
			t.Fatal(err)
		}
		var got Committed
		if _, slot, ok := newest(now, &got); !ok || got != next || slot != older {
			t.Fatalf("after %+v at sequence %d: wrote %+v, read %+v, %v", before, m.sequence, next, got, ok)
		}
		if at := newer * slotSize; !bytes.Equal(now[at:at+slotSize], b[at:at+slotSize]) {
			t.Fatalf("the newer slot was overwritten: %q", now)
		}
		// A write that was cut short leaves the record before.
		torn := bytes.Clone(now)
		copy(torn[older*slotSize+slotSize/4:(older+1)*slotSize], b[older*slotSize+slotSize/4:])
		if _, slot, ok := newest(torn, &kept); !ok || slot != older && !equalJSON(t, kept, before) {
			t.Fatalf("after a torn write: %+v, %v, want %+v or %+v", kept, ok, before, next)
		}
	})
}

func equalJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

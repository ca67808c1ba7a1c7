package publish

import (
	"bytes"
	"strings"
	"testing"
)

// slotsOf is a marker of two records.
func slotsOf(t *testing.T, first, second string) []byte {
	t.Helper()
	a, err := encodeSlot(1, first)
	if err != nil {
		t.Fatal(err)
	}
	b, err := encodeSlot(2, second)
	if err != nil {
		t.Fatal(err)
	}
	return append(a, b...)
}

func TestNewestSlotCounts(t *testing.T) {
	flip := func(b []byte, at int) []byte { b[at] ^= 1; return b }
	for _, c := range []struct {
		fact  string
		bytes []byte
		want  string
		ok    bool
	}{
		{"the higher sequence counts", slotsOf(t, "old", "new"), "new", true},
		{"a damaged newer slot leaves the older one", flip(slotsOf(t, "old", "new"), slotSize+20), "old", true},
		{"a damaged older slot leaves the newer one", flip(slotsOf(t, "old", "new"), 20), "new", true},
		{"two damaged slots leave nothing", flip(flip(slotsOf(t, "old", "new"), 20), slotSize+20), "", false},
		{"slots that were never written hold nothing", blank(), "", false},
		{"zeros hold nothing", make([]byte, markerSize), "", false},
		{"an empty file holds nothing", nil, "", false},
	} {
		var got string
		if _, _, ok := newest(c.bytes, &got); ok != c.ok || got != c.want {
			t.Errorf("%s: got %q, %v, want %q, %v", c.fact, got, ok, c.want, c.ok)
		}
	}
}

func TestEveryDamagedByteOfASlotIsNoticed(t *testing.T) {
	slot, err := encodeSlot(7, Applied{State: StateDone, Index: 9})
	if err != nil {
		t.Fatal(err)
	}
	for i := range slot {
		damaged := bytes.Clone(slot)
		damaged[i] ^= 0x20 // turns the case of a letter, too
		if _, _, ok := decodeSlot(damaged); ok {
			t.Errorf("byte %d: %q became %q unnoticed", i, slot[i], damaged[i])
		}
	}
}

func TestRecordsFitTheirSlot(t *testing.T) {
	const most = ^uint64(0)
	full := Applied{
		State: StateIntent, Index: most, Term: most, Revision: most, Digest: strings.Repeat("f", 64),
		ClusterID: strings.Repeat("f", 36), BootID: strings.Repeat("f", 36),
	}
	if _, err := encodeSlot(most, full); err != nil {
		t.Errorf("the largest record: %v", err)
	}
	full.ClusterID = strings.Repeat("f", slotSize)
	if _, err := encodeSlot(most, full); err == nil {
		t.Error("a record larger than a slot was accepted")
	}
}

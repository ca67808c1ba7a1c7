package node

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// TestASnapshotLeavesTheLogItsPart: it fails like one on a full disk, from its
// first byte or in the middle, and nothing is left of it.
func TestASnapshotLeavesTheLogItsPart(t *testing.T) {
	s := openSnaps(t, disk.Real{})
	for after := range 4 {
		looks := 0
		sparing := &sparing{SnapshotStore: s, spare: func() bool { looks++; return looks <= after }}
		sink, err := sparing.Create(1, 40, 3, snapMembers, 39, nil)
		state := make([]byte, sparingStep)
		for err == nil {
			if _, err = sink.Write(state); err != nil {
				if cerr := sink.Cancel(); cerr != nil {
					t.Error(cerr)
				}
			}
		}
		if !errors.Is(err, unix.ENOSPC) || looks != after+1 {
			t.Errorf("%v after %d looks", err, looks)
		}
		if left, err := os.ReadDir(s.path); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	}
	sparing := &sparing{SnapshotStore: s, spare: func() bool { return true }}
	sink, err := sparing.Create(1, 40, 3, snapMembers, 39, nil)
	if err == nil {
		_, err = sink.Write(snapBytes(40))
	}
	if err == nil {
		err = sink.Close()
	}
	if got := listed(t, s); err != nil || len(got) != 1 || got[0] != 40 {
		t.Errorf("with room: %v, %v", got, err)
	}
}

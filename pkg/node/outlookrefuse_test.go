package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// A node that has left, or was removed, does not come back by a recovery.
func TestWhoIsNoMemberIsNotRecovered(t *testing.T) {
	t.Parallel()
	whole, _ := aloneNode(t)
	for phase, says := range map[string]string{phaseLeft: "it has left the cluster: as ana asked", phaseRemoved: "it was removed from the cluster: as ana asked"} {
		dir := copyDir(t, whole)
		d := &dataDir{path: dir, disk: disk.Real{}}
		id, err := d.load()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.part(id, phase, "as ana asked"); err != nil {
			t.Fatal(err)
		}
		before := everything(t, dir)
		s := survey(t, dir)
		if s.Whole() || s.Gone != says || len(s.Faults) != 1 || s.Faults[0] != says {
			t.Errorf("%s: whole %t, gone %q, faults %q", phase, s.Whole(), s.Gone, s.Faults)
		}
		if o, err := Judge([]*Survivor{s}); err != nil || o.Best != nil {
			t.Errorf("%s: %+v, %v", phase, o, err)
		}
		if _, err := s.Recover(time.Now()); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: recovered: %v", phase, err)
		}
		if everything(t, dir) != before {
			t.Errorf("%s: the directory was changed", phase)
		}
	}
}

func TestTwoBegunRecoveriesAreRefused(t *testing.T) {
	t.Parallel()
	whole, _ := aloneNode(t)
	all := make([]*Survivor, 3)
	for i := range all {
		all[i] = survey(t, copyDir(t, whole))
	}
	all[1].Begun = 2
	if o, err := Judge(all); err != nil || o.Best != all[1] {
		t.Errorf("one: %+v, %v", o, err)
	}
	all[2].Begun, all[2].Generation = 2, 2 // its last steps were on their way
	if _, err := Judge(all); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), all[1].Dir) || !strings.Contains(err.Error(), all[2].Dir) {
		t.Errorf("two: %v", err)
	}
}

// Logs that end at the same entry make the same state, or one of them is wrong.
func TestStatesThatDifferAreSaid(t *testing.T) {
	t.Parallel()
	whole, _ := aloneNode(t)
	a, b, c := survey(t, copyDir(t, whole)), survey(t, copyDir(t, whole)), survey(t, copyDir(t, whole))
	if o, err := Judge([]*Survivor{a, b}); err != nil || len(o.Differ) > 0 {
		t.Errorf("two that are alike: %+v, %v", o, err)
	}
	tx := b.Image.Begin()
	counters := b.Image.Counters()
	counters.Time++
	tx.SetCounters(counters)
	b.Image, _ = tx.Freeze(b.Image.Index, b.Image.Term)
	o, err := Judge([]*Survivor{a, b, c})
	if err != nil || len(o.Differ) != 1 || o.Differ[0] != [2]*Survivor{a, b} || !strings.Contains(o.Why, "their states differ") {
		t.Errorf("%+v, %v", o, err)
	}
	b.LastIndex++ // what ends elsewhere may differ
	if o, err := Judge([]*Survivor{a, b, c}); err != nil || len(o.Differ) > 0 {
		t.Errorf("with another end: %+v, %v", o, err)
	}
}

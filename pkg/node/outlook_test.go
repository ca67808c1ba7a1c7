package node

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/mutation"
)

// goOn writes an entry behind the log in a directory, as a leader of a term does
// that reaches nobody.
func goOn(t *testing.T, dir string, term uint64) (index uint64) {
	t.Helper()
	logs, err := openLog(nil, filepath.Join(dir, "raft", "raft.db"), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	last, err := logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := json.Marshal(mutation.Epoch{Node: "n", Term: term})
	if err != nil {
		t.Fatal(err)
	}
	c := &mutation.Command{Op: "sys.epoch", Actor: "system", Level: 1, Time: 1, Mutations: []mutation.Mutation{{Kind: mutation.SysEpoch, Payload: epoch}}}
	entry := &raft.Log{Index: last + 1, Term: term, Type: raft.LogCommand, Data: mutation.EncodeEntry([][]byte{mutation.AppendCommand(nil, c)})}
	if err := errors.Join(logs.StoreLog(entry), logs.Close()); err != nil {
		t.Fatal(err)
	}
	return last + 1
}

// What one member wrote on while it reached nobody is kept if it is in the best,
// and said to be dropped if it is not.
func TestTailsThatNobodyHasAcknowledged(t *testing.T) {
	t.Parallel()
	whole, shown := aloneNode(t)
	early, late, shorter := copyDir(t, whole), copyDir(t, whole), copyDir(t, whole)
	goOn(t, early, 7)
	last := goOn(t, early, 7)
	goOn(t, late, 8)
	a, b, c := survey(t, early), survey(t, late), survey(t, shorter)
	o, err := Judge([]*Survivor{a, b, c})
	if err != nil || o.Best != b || o.Unsure != 1 || o.Costs() {
		t.Fatalf("%+v, %v", o, err)
	}
	if len(o.Lost) != 1 || o.Lost[0] != (Loss{Of: a, From: last - 1, To: last, Never: true}) {
		t.Errorf("lost %+v", o.Lost)
	}
	if !strings.Contains(o.Why, "(term 8, index") {
		t.Errorf("because %s", o.Why)
	}
	r, err := b.Recover(time.Now())
	if err != nil || r.Unsure != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	b.Close()
	if generation, err := startsAs(late, shown); err != nil || generation != 2 {
		t.Errorf("it starts as generation %d, %v", generation, err)
	}

	// How far another has shown its state says that an entry was committed, though
	// this one has not heard of it.
	d := survey(t, copyDir(t, early))
	d.raft.shown.Index, d.Shown, d.committed = shown.Index-1, shown.Index-1, shown.Index-1
	e := survey(t, copyDir(t, early))
	if alone, err := Judge([]*Survivor{d}); err != nil || alone.Unsure != 3 {
		t.Errorf("alone: %+v, %v", alone, err)
	}
	if both, err := Judge([]*Survivor{d, e}); err != nil || both.Unsure != 2 {
		t.Errorf("both: %+v, %v", both, err)
	}
}

// A log that goes further than another, and is damaged, has a share in what is
// known to be lost; one that is whole has none, whatever it has shown.
func TestHowFarANodeHasShownItsStateIsNoReasonToTakeIt(t *testing.T) {
	t.Parallel()
	whole, _ := aloneNode(t)
	behind, ahead := survey(t, copyDir(t, whole)), survey(t, copyDir(t, whole))
	goesOn := copyDir(t, whole)
	goOn(t, goesOn, 9)
	longer := survey(t, goesOn)
	longer.raft.known, longer.Shown = false, 0 // it had shown nothing of late
	if o, err := Judge([]*Survivor{behind, ahead, longer}); err != nil || o.Best != longer || len(o.Lost) > 0 || o.Unsure != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	// Two that are alike: the one that votes goes first.
	behind.Members = nil
	if o, err := Judge([]*Survivor{behind, ahead}); err != nil || o.Best != ahead || !strings.Contains(o.Why, "all that are whole end at the same entry") {
		t.Errorf("%+v, %v", o, err)
	}
}

// Whoever takes another than the best is told what the best has more.
func TestWhatAnotherThanTheBestWouldCost(t *testing.T) {
	t.Parallel()
	whole, shown := aloneNode(t)
	early, late := copyDir(t, whole), copyDir(t, whole)
	goOn(t, early, 7)
	goOn(t, early, 7)
	first := goOn(t, late, 8)
	last := goOn(t, late, 8)
	shorter, a, b := survey(t, whole), survey(t, early), survey(t, late)
	judge := func(chosen *Survivor) *Outlook {
		o, err := Judge([]*Survivor{shorter, a, b})
		if err != nil || o.Best != b || o.From() != b {
			t.Fatalf("%+v, %v", o, err)
		}
		o.Choose(chosen)
		if o.Best != b || o.From() != chosen {
			t.Errorf("the best is %s, taken is %s", o.Best.Dir, o.From().Dir)
		}
		return o
	}
	for _, tt := range []struct {
		fact  string
		taken *Survivor
		want  []Loss
	}{
		{"the best", b, []Loss{{Of: a, From: first, To: last, Never: true}}},
		{"the shortest", shorter, []Loss{{Of: a, From: first, To: last, Never: true}, {Of: b, From: first, To: last}}},
		{"one that has gone another way", a, []Loss{{Of: b, From: first, To: last}}},
	} {
		if o := judge(tt.taken); !slices.Equal(o.Lost, tt.want) || o.Costs() {
			t.Errorf("%s: lost %+v, want %+v", tt.fact, o.Lost, tt.want)
		}
	}

	// The latest log is in a directory that cannot be used: what it has more than the
	// best may have been committed.
	b.Sealed = "its key is missing"
	if o, err := Judge([]*Survivor{shorter, a, b}); err != nil || o.Best != a || !slices.Equal(o.Lost, []Loss{{Of: b, From: first, To: last}}) || !strings.HasPrefix(o.Why, "of those that are whole") {
		t.Errorf("%v: %+v, %s", err, o.Lost, o.Why)
	}
	b.Sealed = ""

	// What the best has shown was acknowledged, and stands where this one went astray.
	b.Shown, b.raft.shown.Index, b.raft.shown.Term = first, first, 8
	if o := judge(a); !o.Costs() || !slices.Equal(o.Lost, []Loss{{Of: b, From: first, To: first, Acknowledged: true}, {Of: b, From: last, To: last}}) {
		t.Errorf("lost %+v", o.Lost)
	}
	b.Shown, b.raft.shown.Index = last, last
	if o := judge(a); !slices.Equal(o.Lost, []Loss{{Of: b, From: first, To: last, Acknowledged: true}}) {
		t.Errorf("lost %+v", o.Lost)
	}
	// All of the shortest is in what the best has shown, if nobody else has shown anything.
	shorter.Shown, shorter.committed, a.Shown, a.committed = 0, 0, 0, 0
	if o := judge(shorter); o.Unsure != 0 {
		t.Errorf("of %d changes it is not known whether they were committed", o.Unsure)
	}
	if o := judge(shorter); !o.Costs() || shorter.LastIndex < shown.Index || !slices.Equal(o.Lost[1:], []Loss{{Of: b, From: first, To: last, Acknowledged: true}}) {
		t.Errorf("lost %+v", o.Lost)
	}
}

package rpc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// A node that is told to leave asks until somebody decides, answers, and only then
// ends; one that may not leave stays.
func TestANodeAnswersBeforeItLeaves(t *testing.T) {
	handover := store.Errorf(store.CodeUnavailable, "nothing was changed: leadership is being handed over")
	for _, tt := range []struct {
		name string
		say  []error // of Remove, one after the other
		want error
	}{
		{"at once", []error{nil}, nil},
		{"after another leads", []error{handover, store.Errorf(store.CodeUnknown, "nobody knows"), nil}, nil},
		{"it heard of it before the answer came", []error{handover, &Goodbye{Err: store.Errorf(store.CodeDenied, "certificate 0a was revoked: its node left the cluster, as unix/0 asked"), Removed: true}}, nil},
		{"it is needed", []error{store.Errorf(store.CodeRefused, "there are 2 voters")}, store.ErrRefused},
		{"only its certificate was revoked", []error{&Goodbye{Err: store.Errorf(store.CodeDenied, "no")}}, store.ErrDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ids []string
			f := &fake{leads: true, departed: make(chan string, 1)}
			f.remove = func(args RemoveArgs) (*Removal, error) {
				if args.Name != "id-1" || !args.Left || f.departing.Load() != 1 {
					t.Errorf("removes %+v, while %d wait", args, f.departing.Load())
				}
				ids = append(ids, args.RequestID)
				err := tt.say[len(ids)-1]
				return &Removal{Gone: Member{ID: "id-1", Name: "n1"}, Voters: 2, CanLose: 1}, err
			}
			c, _ := serveFake(t, f)
			r, err := c.Leave(soon(t), LeaveArgs{})
			if !errors.Is(err, tt.want) || err == nil && r.Removed.Name != "n1" {
				t.Fatalf("%+v, %v", r, err)
			}
			for _, id := range ids {
				if id == "" || id != ids[0] {
					t.Errorf("asked under the ids %v", ids)
				}
			}
			if len(ids) != len(tt.say) {
				t.Errorf("asked %d times", len(ids))
			}
			if tt.want != nil {
				if f.departing.Load() != 0 || len(f.departed) > 0 {
					t.Error("it goes all the same")
				}
				return
			}
			if len(f.departed) > 0 {
				t.Error("it was gone before its caller was")
			}
			c.Close()
			select {
			case by := <-f.departed:
				if by == "" {
					t.Error("nobody has told it to")
				}
			case <-soon(t).Done():
				t.Error("it stays")
			}
		})
	}
}

// That a node has left is its own word: whoever removes one cannot say so for it.
func TestARemovalIsNoDeparture(t *testing.T) {
	f := &fake{leads: true, remove: func(args RemoveArgs) (*Removal, error) {
		if args.Left || args.RequestID == "" || args.Members != 7 {
			t.Errorf("removes %+v", args)
		}
		return &Removal{Gone: Member{Name: "n2"}}, nil
	}}
	c, _ := serveFake(t, f)
	if _, err := c.Remove(soon(t), RemoveArgs{Name: "n2", Left: true, Members: 7}); err != nil {
		t.Error(err)
	}
}

// Who does not take the second attempt does not know what became of the first.
func TestARemovalThatMayHaveBeenMadeIsNotSaidToBeNone(t *testing.T) {
	denied := store.Errorf(store.CodeDenied, "nothing was changed: the node that was asked is no member any more")
	for _, tt := range []struct {
		name string
		say  []error // of Remove, one after the other
		want error
	}{
		{"denied at once", []error{denied}, store.ErrDenied},
		{"denied behind one that may have been made", []error{store.Errorf(store.CodeUnknown, "nobody knows"), denied}, store.ErrUnknown},
		{"refused behind one that may have been made", []error{store.Errorf(store.CodeUnknown, "nobody knows"), store.Errorf(store.CodeRefused, "there are 2 voters")}, store.ErrRefused},
	} {
		asked := 0
		c, _ := serveFake(t, &fake{leads: true, remove: func(RemoveArgs) (*Removal, error) {
			asked++
			return nil, tt.say[asked-1]
		}})
		_, err := c.Remove(soon(t), RemoveArgs{Name: "n2"})
		if !errors.Is(err, tt.want) || asked != len(tt.say) {
			t.Errorf("%s: asked %d times: %v, want %v", tt.name, asked, err, tt.want)
		}
	}
}

// What may have been decided is not "nothing was changed" because nobody leads any
// more when it is asked about again, nor because the caller's time is over.
func TestADepartureWithoutAnAnswerIsOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	said := 0
	f := &fake{leads: true, departed: make(chan string, 1)}
	f.remove = func(RemoveArgs) (*Removal, error) {
		if said++; said == 1 {
			return nil, store.Errorf(store.CodeUnknown, "nobody knows")
		}
		return nil, store.Errorf(store.CodeUnavailable, "no leader")
	}
	c, _ := serveFake(t, f)
	if _, err := c.Leave(within(t, 500*time.Millisecond), LeaveArgs{}); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("err = %v", err)
	}
}

// A removal that was decided and is not done by the end of the caller's time is
// told as that, in the words of who decided it.
func TestADecidedRemovalIsToldAsDecided(t *testing.T) {
	t.Parallel()
	said := 0
	decided := store.Errorf(store.CodeUnknown, "it was decided that node \"n2\" is removed, and it is not done yet").WithHint("bring the others back")
	c, _ := serveFake(t, &fake{leads: true, remove: func(RemoveArgs) (*Removal, error) {
		if said++; said == 1 {
			return nil, decided
		}
		return nil, store.Errorf(store.CodeUnavailable, "leadership is being handed over")
	}})
	_, err := c.Remove(within(t, 500*time.Millisecond), RemoveArgs{Name: "n2"})
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeUnknown || e.Message != decided.Message || !strings.Contains(e.Hint, "knows of no leader") {
		t.Errorf("err = %v, hint %q", err, e.Hint)
	}
	c, _ = serveFake(t, &fake{leads: true, remove: func(RemoveArgs) (*Removal, error) {
		return nil, store.Errorf(store.CodeUnknown, "node \"n2\" was asked")
	}})
	_, err = c.Remove(within(t, 500*time.Millisecond), RemoveArgs{Name: "n2"})
	if !errors.As(err, &e) || e.Message != "it is not known whether this was done: node \"n2\" was asked" {
		t.Errorf("err = %v", err)
	}
	f := &fake{leads: true, remove: func(RemoveArgs) (*Removal, error) { return nil, decided }}
	c, _ = serveFake(t, f)
	_, err = c.Remove(within(t, 500*time.Millisecond), RemoveArgs{Name: "n2"})
	if !errors.As(err, &e) || e.Code != store.CodeUnknown || e.Message != decided.Message || !strings.HasPrefix(e.Hint, decided.Hint+"\n") {
		t.Errorf("err = %v, hint %q", err, e.Hint)
	}
}

// Whoever is asked tells of a removal that is not done yet, whatever else is wrong
// with the member.
func TestADecidedRemovalIsInTheStatus(t *testing.T) {
	tx := store.NewImage().Begin()
	gone := mutation.Leaving{Leave: mutation.Leave{NodeID: "id-1", Name: "n1", Why: mutation.Removal("unix/0")}, At: 7}
	if err := tx.PutSystem(applier.LeavingPath, mutation.LeavingNodes{Nodes: []mutation.Leaving{gone}}); err != nil {
		t.Fatal(err)
	}
	img, _ := tx.Freeze(5, 1)
	for reason, p := range map[string]Progress{"leaving": {}, "disk_full": {Degraded: true, Reason: "disk_full"}} {
		p.Name, p.ID = "n1", "id-1"
		c, _ := serveFake(t, &fake{leads: true, img: img, at: []Progress{p}})
		st, err := c.Status(soon(t))
		if err != nil || st.Nodes[0].Reason != reason || st.Nodes[0].Leaving == nil || *st.Nodes[0].Leaving != (Leaving{"removed by unix/0", 7}) {
			t.Errorf("%s: %+v, %v", reason, st, err)
		}
	}
}

// Whoever sets when members are removed says what it was before, so that an attempt
// that is late overrides nobody.
func TestAutoremoveIsSetByWhoHasSeenIt(t *testing.T) {
	tx := store.NewImage().Begin()
	is := mutation.Autoremove{After: store.Duration(time.Minute), MinVoters: 3}
	if err := tx.PutSystem(applier.AutoremovePath, is); err != nil {
		t.Fatal(err)
	}
	img, _ := tx.Freeze(5, 1)
	f := &fake{leads: true, img: img}
	c, _ := serveFake(t, f)
	if _, err := c.SetAutoremove(soon(t), AutoremoveArgs{Set: &Autoremove{}}); err != nil || f.seenSet == nil || *f.seenSet != is {
		t.Errorf("it has seen %+v, %v; want %+v", f.seenSet, err, is)
	}
}

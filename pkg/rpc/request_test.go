package rpc

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// remembering is a state that knows two requests about acme.
func remembering(t *testing.T) *store.Image {
	t.Helper()
	tx := store.NewImage().Begin()
	tx.Remember(store.Record{ID: "done", Time: 1, Op: "client.create", Index: 3, Revision: 2, Names: []string{"client/acme/web"}})
	tx.Remember(store.Record{ID: "refused", Time: 2, Op: "scope.delete", Index: 4, Revision: 2, Refusal: store.Errorf(store.CodeRefused, "in use")})
	img, _ := tx.Freeze(5, 2)
	return img
}

func TestWhatIsRememberedOfARequest(t *testing.T) {
	t.Parallel()
	c, _ := serveFake(t, &fake{leads: true, img: remembering(t)})
	for id, want := range map[string]struct{ state, refusal string }{
		"done": {RequestApplied, ""}, "refused": {RequestRefused, "in use"}, "later": {RequestNotSeen, ""},
	} {
		r, err := c.Request(soon(t), RequestArgs{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		if r.State != want.state || (r.Refusal == nil) != (want.refusal == "") || r.Seen.Index != 5 {
			t.Errorf("%s: %+v, want %+v at index 5", id, r, want)
		}
	}
	if _, err := c.Request(soon(t), RequestArgs{ID: "018f0000-0000-7000-8000-000000000000"}); err != nil { // nothing is forgotten yet
		t.Errorf("an old id in a new cluster: %v", err)
	}
	tx := remembering(t).Begin()
	tx.Touch(store.TimeOf(time.Now()))
	late, _ := tx.Freeze(6, 2)
	d, _ := serveFake(t, &fake{leads: true, img: late})
	if _, err := d.Request(soon(t), RequestArgs{ID: "018f0000-0000-7000-8000-000000000000"}); !errors.Is(err, store.ErrRequestReused) {
		t.Errorf("an id from before what is remembered: %v", err)
	}
	if _, err := c.Request(soon(t), RequestArgs{ID: "a/b"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("an id that none can be: %v", err)
	}
}

// A request tells nothing of a tenant to those who may not read that tenant.
func TestARequestIsToldToThoseWhoMayReadWhatItIsAbout(t *testing.T) {
	t.Parallel()
	s, err := NewServer(&fake{leads: true, img: remembering(t)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		tenant, id string
		may        bool
	}{
		{"acme", "done", true}, {"globex", "done", false}, {"", "done", true},
		{"acme", "refused", false}, {"", "refused", true}, // it does not say of which tenant it was
		{"globex", "later", true},
	} {
		var r Reply[*RequestState]
		by := access.Actor{Role: access.Reader, Name: "ci", Tenant: tt.tenant}
		(&Cluster{s}).Request(askedBy(by, nil, RequestArgs{ID: tt.id}), &r)
		if may := r.Err == nil; may != tt.may || !may && r.Err.Code != store.CodeDenied {
			t.Errorf("a reader of %q is told of %q: %v", tt.tenant, tt.id, r.Err)
		}
	}
}

// Every answer bears which node gave it and how new that node was, refusals too.
func TestEveryAnswerIsStamped(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c, _ := serveFake(t, &fake{leads: true, img: remembering(t)})
	c.opts.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	said := func(what string) {
		t.Helper()
		if got := log.String(); !strings.Contains(got, "node=n1 index=5 age_ms=1500") {
			t.Errorf("%s: the log says %q", what, got)
		}
		log.Reset()
	}
	if _, err := c.Status(soon(t)); err != nil {
		t.Fatal(err)
	}
	said("status")
	if _, err := c.Get(soon(t), GetArgs{Kind: "tenant", Tenant: "acme", Name: "acme"}); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	said("a refusal")
}

// What changes something and may have been done is not "unavailable": a script
// would take that for "nothing was changed".
func TestACallWhoseAnswerIsLostIsOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	lost := store.Errorf(store.CodeUnknown, "the leader was asked, but its answer did not come")
	c, _ := serveFake(t, &fake{leads: true, removal: lost})
	_, err := c.Remove(within(t, 300*time.Millisecond), RemoveArgs{Name: "n3"})
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeUnknown || !strings.Contains(e.Hint, "the same command again") {
		t.Errorf("a removal without an answer: %+v", e)
	}
	c, _ = serveFake(t, &fake{leads: true, removal: store.ErrUnavailable})
	if _, err := c.Remove(within(t, 300*time.Millisecond), RemoveArgs{Name: "n3"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a removal that was not begun: %v", err)
	}
}

// An id that the caller gives may be that of an earlier process, whose attempt is
// on its way still: what this one is told has to be the last word.
func TestAnIDThatIsGivenMayHaveBeenSentBefore(t *testing.T) {
	t.Parallel()
	for id, again := range map[string]bool{"": false, "ci-1742": true, "01932c4e-7b1a-7c3d-9a54-3f6f0c1d2e4b": true} {
		f := &fake{leads: true}
		c, _ := serveFake(t, f)
		if _, err := c.Write(soon(t), &mutation.Request{ID: id, Op: mutation.OpTenantCreate, Name: "acme"}); err != nil {
			t.Fatal(err)
		}
		if got := f.seen(); len(got) != 1 || got[0].Again != again {
			t.Errorf("id %q: sent %+v, want again %v", id, got, again)
		}
	}
}

// What every attempt was told is told at the end as well: no attempt is begun that
// time would cut off in the middle, of which nobody would know what became.
func TestTheLastAttemptIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	const takes = 200 * time.Millisecond
	var tries sync.WaitGroup
	var unknown atomic.Int64
	for i := range 40 { // each ends at another moment of an attempt
		tries.Go(func() {
			c, _ := serveFake(t, &fake{leads: true, write: func(ctx context.Context, _ *mutation.Request) (*mutation.Answer, error) {
				select {
				case <-time.After(takes):
				case <-ctx.Done():
				}
				return nil, store.Errorf(store.CodeUnavailable, "nothing was changed: no disk")
			}})
			switch _, err := c.Write(within(t, time.Second+time.Duration(i)*takes/12), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}); {
			case errors.Is(err, store.ErrUnknown):
				unknown.Add(1)
			case !errors.Is(err, store.ErrUnavailable):
				t.Errorf("%v, want unavailable", err)
			}
		})
	}
	tries.Wait()
	if n := unknown.Load(); n > 2 { // a machine that stands still may cut one off
		t.Errorf("of %d of 40 nobody knows what became", n)
	}
}

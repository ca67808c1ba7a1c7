package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestTheTwinOfARequestInFlightGetsItsAnswer(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	c.must(clientNamed("acme", "web"))
	for i := range 10 { // a second one after each would be refused: two secrets are good already
		rotate := func() *mutation.Request {
			return &mutation.Request{ID: fmt.Sprintf("rotate-%d", i), Seed: []byte(strings.Repeat("s", 32)), Op: mutation.OpClientSecretRotate, Tenant: "acme", Name: "web"}
		}
		var twins sync.WaitGroup
		secrets := make(chan string, 4)
		for range 4 {
			twins.Go(func() {
				a, err := c.write(rotate())
				if err != nil {
					t.Errorf("rotation %d: %v", i, err)
					return
				}
				secrets <- a.Secret
			})
		}
		twins.Wait()
		close(secrets)
		first := <-secrets
		for s := range secrets {
			if s != first || s == "" {
				t.Errorf("rotation %d: secrets %q and %q", i, first, s)
			}
		}
		old := fmt.Sprintf("s%d", i+1)
		c.must(&mutation.Request{Op: mutation.OpClientSecretRevoke, Tenant: "acme", Name: "web", SecretID: old})
	}
}

func TestARetryIsNotExecutedAgainByALeaderWhoseClockIsAhead(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	rotate := func(age time.Duration) (*mutation.Answer, error) {
		return c.write(&mutation.Request{ID: "rotate", AgeUS: age.Microseconds(), Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	}
	first, err := rotate(0)
	if err != nil {
		t.Fatal(err)
	}
	c.clock.Add(int64(10*time.Minute + 20*time.Second)) // the retry comes after 9m50s, the clock is 30 s ahead
	c.must(clientNamed("acme", "in-between"))
	again, err := rotate(9*time.Minute + 50*time.Second)
	if err != nil || !again.Replayed || again.Revision != first.Revision {
		t.Errorf("the retry: %+v, %v", again, err)
	}
}

func TestARequestOlderThanTheMemoryIsRefused(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	late := tenantNamed("late")
	late.AgeUS = (10*time.Minute + time.Second).Microseconds()
	if _, err := c.write(late); !errors.Is(err, store.ErrRequestReused) {
		t.Errorf("got %v, want it refused", err)
	}
	undated := tenantNamed("undated")
	undated.ID, undated.NoTime = "build-17", true
	c.must(undated)
}

func TestWhatNoNodeCouldReadIsNotProposed(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req := tenantNamed("acme")
	req.ID = "x"
	if _, err := c.leader().Write(ctx, req, access.Actor{Role: access.Admin, Name: strings.Repeat("a", 300)}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("an actor of 300 bytes: %v, want invalid", err)
	}
	c.must(tenantNamed("acme"))
}

// leaving is the context of a caller who leaves when it was looked at so often.
type leaving struct {
	context.Context
	looks int
}

func (l *leaving) Err() error {
	if l.looks--; l.looks < 0 {
		return context.Canceled
	}
	return nil
}

// TestNothingMoreIsDoneForACallerWhoLeft: a request is not completed for one, nor
// checked, nor is a refusal confirmed.
func TestNothingMoreIsDoneForACallerWhoLeft(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	for looks, want := range map[int]error{0: store.ErrUnavailable, 1: store.ErrUnavailable, 1000: store.ErrInvalid} {
		req := tenantNamed("acme")
		req.ID, req.NoTime = fmt.Sprint("request-", looks), true
		req.Patch = []byte(`{"no_such_field":1}`)
		if _, err := c.leader().Write(&leaving{context.Background(), looks}, req, access.Local("0")); !errors.Is(err, want) {
			t.Errorf("after %d looks: %v, want %v", looks, err, want)
		}
	}
}

func TestAVoterThatFellSilentHoldsNoWriteBack(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	var follower *Node
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			follower = n
		}
	}
	name := follower.Name()
	c.full.Store(&name)
	c.until("note of the full disk", func() error {
		if c.leader().full(false) == nil {
			return errors.New("none yet")
		}
		return nil
	})
	c.close(name) // its log could not be written
	c.until("accepted write", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := c.leader().Write(ctx, &mutation.Request{ID: "x", Op: mutation.OpTenantCreate, Name: "acme"}, access.Local("0"))
		return err
	})
}

func TestARestoreThatRunsOutOfTimeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	for i := range 300 {
		c.must(clientNamed("acme", fmt.Sprintf("client-%d", i)))
	}
	archive := archiveOf(t, c.leader())
	c.must(&mutation.Request{Op: mutation.OpTenantDelete, Name: "acme"})
	before := c.leader().Image().DataDigest()
	unfinished := 0
	for d := 2 * time.Millisecond; unfinished < 40 && d < patience; d += d / 8 {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		_, err := c.leader().Restore(ctx, strings.NewReader(archive), RestoreRequest{ID: fmt.Sprintf("restore-%d", unfinished)}, access.Local("0"))
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
			t.Fatalf("within %s: %v", d, err)
		}
		if errors.Is(err, store.ErrUnavailable) && c.leader().Image().DataDigest() != before {
			t.Fatalf("within %s: %v, but it was made", d, err)
		}
		unfinished++
	}
	if unfinished == 0 {
		t.Error("the first was fast enough: nothing was tested")
	}
	if _, err := restore(c.leader(), archive, "the-last", false); err != nil {
		t.Fatal(err)
	}
	c.until("closed stage", func() error {
		if c.leader().Image().OpenStage() != nil {
			return errors.New("open")
		}
		return nil
	})
}

func TestALateRetryOfARestoreIsRefused(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	archive := archiveOf(t, c.leader())
	c.must(&mutation.Request{Op: mutation.OpTenantDelete, Name: "acme"})
	if _, err := restore(c.leader(), archive, "r", false); err != nil {
		t.Fatal(err)
	}
	c.clock.Add(int64(25 * time.Minute))
	c.must(tenantNamed("newer"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := c.leader().Restore(ctx, strings.NewReader(archive), RestoreRequest{ID: "r", AgeUS: (25 * time.Minute).Microseconds()}, access.Local("0"))
	if !errors.Is(err, store.ErrRequestReused) {
		t.Errorf("got %v, want it refused", err)
	}
	if c.leader().Image().Get(store.TenantPath("newer")) == nil {
		t.Error("it was executed again")
	}
}

func TestAnUploadMayTakeLongerThanRequestsAreRemembered(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.large(4)
	archive := archiveOf(t, c.leader())
	c.emptied()
	h := c.halt(soon(t), archive, RestoreRequest{ID: "r"}, mutation.SysStagePut, 1)
	c.clock.Add(int64(25 * time.Minute))
	c.must(tenantNamed("meanwhile"))
	h.on()
	if err := <-h.over; err != nil {
		t.Fatal(err)
	}
	r, err := c.leader().Restore(soon(t), strings.NewReader(archive), RestoreRequest{ID: "r", AgeUS: (26 * time.Minute).Microseconds()}, access.Local("0"))
	if err != nil || !r.Replayed {
		t.Errorf("the same request again: %+v, %v", r, err)
	}
}

func TestASealedValueCannotBePlanted(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	const sealed = `{"sealed":{"enc":"A256GCM","key_id":"0123456789abcdef","nonce":"AAAAAAAAAAAAAAAA","ciphertext":"AAAAAAAAAAAAAAAAAAAAAAAA"}}`
	escaped := strings.Replace(sealed, "sealed", `\u0073ealed`, 1)
	before := c.leader().Image().StateDigest()
	for name, req := range map[string]*mutation.Request{
		"plain":   {Patch: json.RawMessage(`{"settings":{"smtp_password":` + sealed + `}}`)},
		"escaped": {Patch: json.RawMessage(`{"settings":{"smtp_password":` + escaped + `}}`)},
		"beside a number that no float64 can hold": {Patch: json.RawMessage(`{"settings":{"big":1e999,"smtp_password":` + sealed + `}}`)},
		"hidden by a later member of its name":     {Patch: json.RawMessage(`{"settings":{"smtp_password":` + sealed + `,"smtp_password":1}}`)},
		"in one field":                             {Set: []store.Element{{Path: "settings.smtp_password", Value: json.RawMessage(sealed)}}},
		"in one field, beside such a number":       {Set: []store.Element{{Path: "settings.x", Value: json.RawMessage(`{"big":-1e999,"y":` + sealed + `}`)}}},
	} {
		req.Op, req.Name = mutation.OpTenantUpdate, "acme"
		if _, err := c.write(req); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if after := c.leader().Image().StateDigest(); after != before {
		t.Error("something was planted")
	}
}

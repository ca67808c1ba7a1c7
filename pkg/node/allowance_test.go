package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestTheChangesOfOneIdentityAreRationed(t *testing.T) {
	var a allowance
	now := time.Unix(1_700_000_000, 0)
	ana := access.Actor{Role: access.Operator, Name: "ana", Serial: "1", Source: "10.0.0.9:1"}
	taken := func(by access.Actor, most int) (n int) {
		for ; n < most && a.take(by, 1, now) == nil; n++ {
		}
		return n
	}
	if n := taken(ana, 2*changesAtOnce); n != changesAtOnce {
		t.Fatalf("%d changes at once, want %d", n, changesAtOnce)
	}
	err := a.take(ana, 1, now)
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "too many changes at once by operator/ana") {
		t.Errorf("refused with %v", err)
	}
	renewed := ana
	renewed.Serial, renewed.Source = "2", "10.0.0.10:7"
	if a.take(renewed, 1, now) == nil {
		t.Error("another certificate of the same holder is another bucket")
	}
	for _, other := range []access.Actor{
		{Role: access.Operator, Name: "bob", Source: "10.0.0.9:2"},
		{Role: access.Operator, Name: "ana", Tenant: "acme", Source: "10.0.0.9:3"},
		access.Local("0"),
	} {
		if n := taken(other, 10); n != 10 {
			t.Errorf("%s is hit by what ana does after %d changes", other, n)
		}
	}
	if n := taken(access.Local("1000"), 3*changesAtOnce); n != 3*changesAtOnce {
		t.Errorf("an administrator at the socket is refused after %d changes", n)
	}
	now = now.Add(time.Second)
	if n := taken(ana, changesAtOnce); n != changesPerSecond {
		t.Errorf("%d changes a second later, want %d", n, changesPerSecond)
	}
	now = now.Add(-time.Hour)
	if n := taken(ana, 1); n != 0 {
		t.Error("a clock that is set back fills the bucket")
	}
}

func TestALargeChangeCostsMore(t *testing.T) {
	big := json.RawMessage(`"` + strings.Repeat("x", 10*changeBytes) + `"`)
	for want, req := range map[int]*mutation.Request{
		1:  {Patch: json.RawMessage(`{}`)},
		11: {Patch: big},
		21: {Patch: big, Set: []store.Element{{Path: "settings.x", Value: big}}},
	} {
		if got := costOf(req); got != want {
			t.Errorf("cost %d, want %d", got, want)
		}
	}
	var b bucket
	now := time.Unix(1_700_000_000, 0)
	if !b.take(changesAtOnce-1, now) || !b.take(64, now) || b.take(1, now) {
		t.Error("a change that is larger than what is left is to be taken once, and the next one to wait")
	}
}

func TestTheTableOfBucketsIsBounded(t *testing.T) {
	var a allowance
	now := time.Unix(1_700_000_000, 0)
	who := func(n int) access.Actor {
		return access.Actor{Role: access.Reader, Name: fmt.Sprint("r", n), Source: "10.0.0.9:1"}
	}
	for n := range 3 * maxBuckets {
		if err := a.take(who(n), 1, now); err != nil && n <= maxBuckets {
			t.Fatal(err)
		}
	}
	if len(a.buckets) > maxBuckets {
		t.Errorf("%d buckets, want at most %d", len(a.buckets), maxBuckets)
	}
	if a.others.spent == 0 {
		t.Error("those without a bucket are not counted")
	}
	now = now.Add(time.Minute) // all are full again
	if err := a.take(who(-1), 1, now); err != nil || len(a.buckets) != 1 {
		t.Errorf("%d buckets after a minute, %v; want those that are full forgotten", len(a.buckets), err)
	}
}

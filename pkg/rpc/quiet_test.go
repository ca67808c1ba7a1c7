package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// A reader may ask for a write as often as its pace allows, hundreds of times a
// second: at that rate an hour of it would be all that the record holds.
func TestWhoIsDeniedDoesNotFillTheRecord(t *testing.T) {
	n := &notes{}
	f := &fake{record: n, leads: true}
	serveFake(t, f)
	f.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		return nil, store.Errorf(store.CodeDenied, "it may not")
	}
	write := func(by access.Actor, id int) *store.Error {
		call := askedBy(by, nil, mutation.Request{ID: fmt.Sprint("r", id), Op: mutation.OpTenantCreate, Name: "acme"})
		call.caller.server, call.method = f.server, "Cluster.Write"
		var r Reply[*mutation.Answer]
		(&Cluster{f.server}).Write(call, &r)
		return r.Err
	}
	eve := access.Actor{Role: access.Reader, Name: "eve", Source: "10.0.0.9:1"}
	const many = 1000
	for i := range many {
		err := write(eve, i)
		if err == nil || err.Code != store.CodeDenied && (i < dripDepth || err.Code != store.CodeUnavailable) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if lines := n.count(); lines < dripDepth || lines > many/2 || len(n.asked) > lines {
		t.Errorf("%d lines and %d questions for %d calls", lines, len(n.asked), many)
	}
	before := n.count()
	for i := range 2 * dripDepth { // root could write to the file as well
		write(access.Local("0"), i)
	}
	f.write = nil
	if err := write(access.Actor{Role: access.Operator, Name: "ana", Source: "10.0.0.9:2"}, 0); err != nil || n.count() != before+2*dripDepth+1 {
		t.Errorf("another is kept waiting: %v, %d lines", err, n.count()-before)
	}
	for deadline := time.Now().Add(patience); ; {
		if err := write(eve, many); err == nil {
			break
		} else if err.Code != store.CodeUnavailable || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		return nil, store.Errorf(store.CodeDenied, "it may not")
	}
	if write(eve, many+1); !strings.Contains(n.last().Message, " more of its calls before; it may not") {
		t.Errorf("what is not on record is not counted: %+v", n.last())
	}
}

// A request id that is too long is refused, if anybody comes to look at it; while
// nobody takes requests, each is remembered for its second attempt.
func TestWhatIsRememberedOfARequestIsSmall(t *testing.T) {
	n := &notes{}
	f := &fake{record: n}
	serveFake(t, f)
	f.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		return nil, store.Errorf(store.CodeUnavailable, "too many changes at once")
	}
	heap := func() uint64 {
		n.mu.Lock()
		n.lines, n.asked, f.writes = nil, nil, nil
		n.mu.Unlock()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const many, long = 100, 500 << 10
	before := heap()
	for i := range many {
		call := askedBy(access.Actor{Role: access.Reader, Name: "eve", Source: "10.0.0.9:1"}, nil,
			mutation.Request{ID: fmt.Sprint(i, strings.Repeat("x", long)), Op: mutation.OpTenantCreate, Name: "acme"})
		call.caller.server, call.method = f.server, "Cluster.Write"
		var r Reply[*mutation.Answer]
		(&Cluster{f.server}).Write(call, &r)
		if r.Err == nil || r.Err.Code != store.CodeUnavailable {
			t.Fatal(r.Err)
		}
	}
	if f.server.record.open.seen == nil {
		t.Fatal("nothing is remembered")
	}
	if after := heap(); after > before+many*long/4 {
		t.Errorf("%d KiB are held of %d calls", (after-before)>>10, many)
	}
}

// While nobody takes a request the client sends it many times.
func TestARequestThatNobodyTakesIsOnRecordOnce(t *testing.T) {
	f := &fake{}
	n := &notes{}
	f.record = n
	c, _ := serveFake(t, f)
	tries := 0
	f.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		if tries++; tries < 5 {
			return nil, store.Errorf(store.CodeUnavailable, "no leader")
		}
		return &mutation.Answer{Name: "tenant/acme", Index: 7}, nil
	}
	if _, err := c.Write(soon(t), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	if n.count() != 2 || n.lines[0].Result != "unavailable" || n.lines[1].Result != "ok" || len(n.asked) != 1 {
		t.Errorf("got %+v after %d tries and %d questions", n.lines, tries, len(n.asked))
	}
	// What has no request id is told apart by its end: the next one is another.
	f.leads = false
	f.private = []byte("{}")
	c.Export(within(t, 300*time.Millisecond), ExportArgs{Tenant: "acme"})
	f.leads = true
	for range 2 {
		if _, err := c.Export(soon(t), ExportArgs{Tenant: "acme"}); err != nil {
			t.Fatal(err)
		}
	}
	if n.count() != 5 || n.lines[2].Result != "unavailable" || n.lines[4].Result != "ok" || len(n.asked) != 3 {
		t.Errorf("got %+v after %d questions", n.lines[2:], len(n.asked))
	}
}

func TestAPeerThatGoesOnAndOnDoesNotFillTheRecord(t *testing.T) {
	f := &fake{}
	n := &notes{}
	f.record = n
	serveFake(t, f)
	by := access.Actor{Role: access.Operator, Name: "eve", Serial: "0e", Source: "10.0.0.9:1"}
	for range 10_000 {
		f.server.Refused(by, "cpctl-raft/1", errors.New("operator/eve is not a node and may not speak raft"))
	}
	if n.count() != 1 || n.last().Result != "denied" || n.last().Type != "connect" || n.last().Target != "cpctl-raft/1" || n.last().Message == "" {
		t.Errorf("%d lines, the last is %+v", n.count(), n.last())
	}
	by.Serial = "0f" // somebody else is heard all the same
	if f.server.Refused(by, "cpctl-raft/1", errors.New("no")); n.count() != 2 {
		t.Errorf("%d lines", n.count())
	}
	q := &f.server.record.refusals
	q.mu.Lock()
	for _, h := range q.seen {
		h.at = h.at.Add(-quietFor)
	}
	q.mu.Unlock()
	by.Serial = "0e"
	if f.server.Refused(by, "cpctl-raft/1", errors.New("no")); !strings.HasPrefix(n.last().Message, "9999 more since") {
		t.Errorf("after a while: %+v", n.last())
	}
	for i := range 3 * quietMost {
		by.Serial = fmt.Sprint(i)
		f.server.Refused(by, "cpctl-raft/1", errors.New("no"))
	}
	if len(q.seen) > quietMost {
		t.Errorf("%d are remembered", len(q.seen))
	}
}

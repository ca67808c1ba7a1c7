package rpc

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/store"
)

func openLog(t *testing.T) *audit.Log {
	t.Helper()
	l := audit.Open(audit.Options{Dir: filepath.Join(t.TempDir(), "audit"), Node: "n1"})
	t.Cleanup(func() { l.Close() })
	return l
}

func TestALogIsReadPageByPage(t *testing.T) {
	l := openLog(t)
	const lines = 2000 // three pages and more
	for i := range lines {
		l.Record(audit.Event{Actor: "unix/0", Type: "client.create", Index: uint64(i + 1), Message: strings.Repeat(`"`, 100)})
	}
	c, _ := serveFake(t, &fake{record: l})
	var behind audit.Cursor
	pages, got := 0, 0
	for more := true; more; pages++ {
		p, err := c.Audit(soon(t), AuditArgs{Behind: behind})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range p.Lines {
			if got++; !strings.HasPrefix(line, fmt.Sprintf(`{"seq":%d,`, got)) {
				t.Fatalf("line %d is %s", got, line)
			}
		}
		behind, more = p.Next, p.More
	}
	if got != lines || pages < 3 {
		t.Errorf("%d lines in %d pages, want %d in several", got, pages, lines)
	}
	end, err := c.Audit(soon(t), AuditArgs{End: true})
	if err != nil || end.Next != behind || len(end.Lines) > 0 {
		t.Errorf("the end is at %+v, %v, want %+v", end.Next, err, behind)
	}
	r, err := c.AuditCheck(soon(t), AuditCheckArgs{})
	if err != nil || r.Fault != nil || r.Lines != lines {
		t.Errorf("got %+v, %v", r, err)
	}
}

// A call that waits for a line costs nothing until there is one.
func TestWhoFollowsIsAnsweredWhenThereIsALine(t *testing.T) {
	l := openLog(t)
	c, _ := serveFake(t, &fake{record: l})
	if p, err := c.Audit(soon(t), AuditArgs{WaitMS: 1}); err != nil || len(p.Lines) > 0 {
		t.Errorf("got %+v, %v, want no lines after a while", p, err)
	}
	came := make(chan *AuditReply, 1)
	go func() {
		p, err := c.Audit(soon(t), AuditArgs{WaitMS: patience.Milliseconds()})
		if err != nil {
			t.Error(err)
		}
		came <- p
	}()
	l.Record(audit.Event{Type: "client.create"})
	select {
	case p := <-came:
		if len(p.Lines) != 1 {
			t.Errorf("got %+v, want the line", p)
		}
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
}

func TestTheLogIsForAdminsAndAMemberThatIsGoneIsSilent(t *testing.T) {
	f := &fake{record: openLog(t), members: []Member{{ID: "id-1", Name: "n1"}, {ID: "id-2", Name: "n2"}}}
	c, _ := serveFake(t, f)
	p, err := c.Audit(soon(t), AuditArgs{Node: "id-2"})
	if err != nil || !strings.Contains(p.Silent, "unreachable") {
		t.Errorf("got %+v, %v, want why n2 is silent", p, err)
	}
	r, err := c.AuditCheck(soon(t), AuditCheckArgs{Node: "id-2"})
	if err != nil || r.Silent == "" {
		t.Errorf("got %+v, %v, want why n2 is silent", r, err)
	}
	if _, err := c.Audit(soon(t), AuditArgs{Node: "id-9"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a stranger's log: %v, want not found", err)
	}
	gone, leave := context.WithCancel(context.Background())
	defer leave()
	for _, role := range []access.Role{access.Operator, access.Reader, access.Node} {
		for _, node := range []string{"", "id-2"} {
			caller := &Caller{By: access.Actor{Role: role, Name: "x"}, gone: gone, server: f.server}
			call, reply := &Call[AuditArgs]{Args: AuditArgs{Node: node}}, new(Reply[*AuditReply])
			call.from(caller, "Cluster.Audit")
			(&Cluster{f.server}).Audit(call, reply)
			if reply.Err == nil || reply.Err.Code != store.CodeDenied {
				t.Errorf("%s reads the log of %q: %v", role, node, reply.Err)
			}
			check, checked := &Call[AuditCheckArgs]{Args: AuditCheckArgs{Node: node}}, new(Reply[*AuditCheckReply])
			check.from(caller, "Cluster.AuditCheck")
			(&Cluster{f.server}).AuditCheck(check, checked)
			if checked.Err == nil || checked.Err.Code != store.CodeDenied {
				t.Errorf("%s verifies the log of %q: %v", role, node, checked.Err)
			}
		}
	}
	call, reply := &Call[AuditArgs]{}, new(Reply[*AuditReply])
	call.from(&Caller{By: access.Actor{Role: access.Node, Name: "n2"}, gone: gone, server: f.server}, "Peer.Audit")
	if (&Peer{f.server}).Audit(call, reply); reply.Err == nil || reply.Err.Code != store.CodeDenied {
		t.Errorf("a node reads it for itself: %v", reply.Err)
	}
}

// Whoever has only a token is on record, too, but cannot drive others out of it.
func TestNewcomersAreOnRecord(t *testing.T) {
	n := &notes{}
	f := &fake{record: n, leads: true}
	serveFake(t, f)
	refusal := store.Errorf(store.CodeDenied, "the token is not known")
	f.enrol = func(EnrolArgs, access.Actor) (*Enrolment, error) { return nil, refusal }
	for range 1000 {
		if _, err := f.server.enrolNewcomer(soon(t), EnrolArgs{Token: "00112233445566ff", Secret: []byte("canary")}, "10.0.0.9:1"); !errors.Is(err, store.ErrDenied) {
			t.Fatal(err)
		}
	}
	want := audit.Event{Actor: "token/00112233445566ff", Source: "10.0.0.9:1", Type: "login", Result: "denied", Message: refusal.Message}
	if n.count() < dripDepth || n.count() > 2*dripDepth || n.lines[0] != want {
		t.Errorf("%d lines of 1000 attempts, the first is %+v", n.count(), n.lines[0])
	}
	if len(n.asked) > 0 {
		t.Errorf("%d questions for a token that nobody knows", len(n.asked))
	}
	f.enrol = func(EnrolArgs, access.Actor) (*Enrolment, error) { return &Enrolment{}, nil }
	if _, err := f.server.enrolNewcomer(soon(t), EnrolArgs{NodeID: "id-9", Name: "n9", Token: "00112233445566ff"}, "10.0.0.9:1"); err != nil {
		t.Fatal(err)
	}
	if e := n.last(); e.Type != "member.enrol" || e.Target != "node/n9" || e.Result != "ok" {
		t.Errorf("a node that got its certificate: %+v", e)
	}
	f.img = stateWith(t, nil)
	tx := f.img.Begin()
	if err := tx.PutSystem(applier.TokenPath("00112233445566ff"), map[string]string{"id": "00112233445566ff"}); err != nil {
		t.Fatal(err)
	}
	f.img, _ = tx.Freeze(6, 3)
	n.fail = store.Errorf(store.CodeUnavailable, "no disk")
	f.enrol = func(EnrolArgs, access.Actor) (*Enrolment, error) {
		t.Error("a token was used without a record")
		return nil, nil
	}
	if _, err := f.server.enrolNewcomer(soon(t), EnrolArgs{Token: "00112233445566ff"}, "10.0.0.9:1"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
}

package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// notes is a record for tests.
type notes struct {
	*audit.Log // for what reads

	mu    sync.Mutex
	lines []audit.Event
	asked []audit.Event
	fail  error // of Ask
}

func (n *notes) Ask(_ context.Context, e audit.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, e)
	return n.fail
}

func (n *notes) Record(e audit.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, e)
}

func (n *notes) Failing() string   { return "" }
func (n *notes) Required() bool    { return true }
func (n *notes) Recordable() error { return n.fail }

func (n *notes) last() audit.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.lines) == 0 {
		return audit.Event{}
	}
	return n.lines[len(n.lines)-1]
}

func (n *notes) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.lines)
}

// A new method is on record, or somebody has said that it only reads.
func TestEveryMethodIsOnRecordOrARead(t *testing.T) {
	known := map[string]bool{"stream.snapshot": true, "stream.restore": true, "stream.state": true, "newcomer": true}
	for _, service := range []any{&Cluster{}, &Peer{}} {
		typ := reflect.TypeOf(service)
		for i := range typ.NumMethod() {
			name := typ.Elem().Name() + "." + typ.Method(i).Name
			known[name] = true
			if on, read := acts[name] != nil, slices.Contains(reads, name); on == read {
				t.Errorf("%s: on record: %v, a read: %v; put it into acts or reads, not both", name, on, read)
			}
		}
	}
	for name := range acts {
		if !known[name] {
			t.Errorf("%s is in acts and nowhere else", name)
		}
	}
	for _, name := range reads {
		if !known[name] {
			t.Errorf("%s is in reads and nowhere else", name)
		}
	}
}

func TestEveryWriteIsOnRecordWithWhatCameOfIt(t *testing.T) {
	f := &fake{}
	n := &notes{}
	f.record = n
	c, _ := serveFake(t, f)
	answer := func(a mutation.Answer) func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		return func(context.Context, *mutation.Request) (*mutation.Answer, error) { return &a, nil }
	}
	refuse := func(err *store.Error) func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		return func(context.Context, *mutation.Request) (*mutation.Answer, error) { return nil, err }
	}
	for _, w := range []struct {
		fact  string
		req   mutation.Request
		write func(context.Context, *mutation.Request) (*mutation.Answer, error)
		want  audit.Event
	}{
		{"a tenant", mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}, answer(mutation.Answer{Name: "tenant/acme", Index: 7, Revision: 3}),
			audit.Event{Type: "tenant.create", Target: "tenant/acme", Index: 7, Revision: 3, Result: "ok"}},
		{"a client whose name the leader made", mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme"}, answer(mutation.Answer{Name: "client/acme/x1", Index: 8, Revision: 4}),
			audit.Event{Type: "client.create", Target: "client/acme/x1", Index: 8, Revision: 4, Result: "ok"}},
		{"one that was done before", mutation.Request{Op: mutation.OpScopeDelete, Tenant: "acme", Name: "a:b"}, answer(mutation.Answer{Index: 5, Revision: 2, Replayed: true}),
			audit.Event{Type: "scope.delete", Target: "scope/acme/a:b", Index: 5, Revision: 2, Result: "replayed"}},
		{"nothing to do", mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme"}, answer(mutation.Answer{Outcome: mutation.Unchanged}),
			audit.Event{Type: "key.rotate", Target: "keyset/acme", Result: "unchanged"}},
		{"a dry run", mutation.Request{Op: mutation.OpKeyRevoke, Tenant: "acme", KID: "k1"}, answer(mutation.Answer{DryRun: true}),
			audit.Event{Type: "key.revoke", Target: "key/acme/k1", Result: "dry_run"}},
		{"denied", mutation.Request{Op: mutation.OpClientDelete, Tenant: "acme", Name: "web"}, refuse(store.Errorf(store.CodeDenied, "reader/x may not")),
			audit.Event{Type: "client.delete", Target: "client/acme/web", Result: "denied", Message: "reader/x may not"}},
		{"a conflict", mutation.Request{Op: mutation.OpClientUpdate, Tenant: "acme", Name: "web"}, refuse(store.Errorf(store.CodeConflict, "it is at revision 9").WithHint("read it")),
			audit.Event{Type: "client.update", Target: "client/acme/web", Result: "conflict", Message: "it is at revision 9"}},
		{"invalid", mutation.Request{Op: mutation.OpClientUpdate, Tenant: "acme", Name: "web"},
			refuse(store.Invalid("the client", []store.Field{{Path: "scopes[1]", Message: "is hunter2"}, {Path: "name", Message: "too long"}})),
			audit.Event{Type: "client.update", Target: "client/acme/web", Result: "invalid", Message: "scopes[1], name"}},
		{"an operation that nobody knows", mutation.Request{Op: "sys.epoch", Tenant: "acme", Name: "web"}, refuse(store.Errorf(store.CodeInvalid, "unknown operation")),
			audit.Event{Type: "sys.epoch", Target: "sys/acme/web", Result: "invalid"}},
	} {
		f.write = w.write
		w.req.ID = "req-" + w.fact
		c.Write(soon(t), &w.req)
		w.want.Actor, w.want.Source, w.want.RequestID = "unix/"+uid(), "unix", w.req.ID
		if got := n.last(); got != w.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", w.fact, got, w.want)
		}
	}
	if n.count() != 9 || len(n.asked) != 9 {
		t.Errorf("%d lines and %d questions, want 9", n.count(), len(n.asked))
	}
}

func TestExportsAndChangesOfMembershipAreOnRecord(t *testing.T) {
	f := &fake{leads: true, private: []byte(`{"d":"secret"}`), self: &SelfCheck{}}
	n := &notes{}
	f.record = n
	c, _ := serveFake(t, f)
	ctx := soon(t)
	for _, w := range []struct {
		call         func() error
		typ, target  string
		result, more string
		index        uint64
	}{
		{func() error { _, err := c.Export(ctx, ExportArgs{Tenant: "acme"}); return err }, "key.export", "key/acme/k1", "ok", "", 7},
		{func() error { _, err := c.Remove(ctx, RemoveArgs{Name: "n2"}); return err }, "member.remove", "node/n2", "ok", "", 0},
		{func() error { _, err := c.Enrol(ctx, EnrolArgs{Name: "n3"}); return err }, "member.enrol", "node/n3", "ok", "", 0},
		{func() error { return c.Admit(ctx, AdmitArgs{NodeID: "id-3"}) }, "member.admit", "node/n3", "ok", "", 0},
		{func() error { _, err := c.Check(ctx, CheckArgs{Repair: true}); return err }, "check.repair", "cluster", "ok", "", 0},
		{func() error { _, err := c.Snapshot(ctx, io.Discard); return err }, "snapshot.save", "cluster", "ok", "", 0},
	} {
		before := n.count()
		if err := w.call(); err != nil {
			t.Errorf("%s: %v", w.typ, err)
		}
		if e := n.last(); n.count() != before+1 || e.Type != w.typ || e.Target != w.target || e.Result != w.result || e.Index != w.index || e.Source != "unix" {
			t.Errorf("%s: %d lines, %+v", w.typ, n.count()-before, e)
		}
	}
	for _, w := range []struct {
		call func() error
		want audit.Event
	}{
		{func() error { return err2(c.Revoke(ctx, RevokeArgs{Serial: "0a"})) }, audit.Event{Type: "cert.revoke", Target: "cert/0a", Index: 9, Message: "of operator/ana"}},
		{func() error { return err2(c.Rotate(ctx, RotateArgs{})) }, audit.Event{Type: "authority.rotate", Target: "cluster", Message: "announced, authority a1 signs"}},
		{func() error { return err2(c.Rotate(ctx, RotateArgs{Look: true})) }, audit.Event{}},
		{func() error { return err2(c.Rotate(ctx, RotateArgs{Retire: true})) }, audit.Event{Type: "authority.retire", Target: "cluster", Message: "announced, authority a1 signs"}},
		{func() error { return err2(c.Renew(ctx, []byte("csr"))) }, audit.Event{Type: "cert.renew"}},
	} {
		before := n.count()
		if err := w.call(); err != nil {
			t.Errorf("%s: %v", w.want.Type, err)
		}
		if w.want == (audit.Event{}) {
			if n.count() != before {
				t.Errorf("a look is on record: %+v", n.last())
			}
			continue
		}
		w.want.Actor, w.want.Source, w.want.Result = "unix/"+uid(), "unix", "ok"
		if got := n.last(); got != w.want {
			t.Errorf("got  %+v\nwant %+v", got, w.want)
		}
	}
	before := n.count()
	for _, err := range []error{err2(c.Check(ctx, CheckArgs{})), err2(c.Status(ctx)), err2(c.Health(ctx, false)), err2(c.Get(ctx, GetArgs{Kind: "tenant", Name: "acme"}))} {
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
	}
	if n.count() != before {
		t.Errorf("a read is on record: %+v", n.last())
	}
}

// A roll-over of the cluster key is asked for many times: each step of it is on
// record once.
func TestEachStepOfARekeyIsOnRecord(t *testing.T) {
	n := &notes{}
	f := &fake{record: n, leads: true}
	c, _ := serveFake(t, f)
	steps := []RekeyReply{{Phase: "begun"}, {Phase: "begun"}, {Phase: "begun"}, {Phase: "switched"}, {Phase: "switched"}, {Phase: "retired", Done: true}}
	f.rekey = func(roll string) (*RekeyReply, error) {
		r := steps[0]
		steps = steps[1:]
		r.Roll, r.KeyID = roll, "k2"
		return &r, nil
	}
	if _, err := c.Rekey(soon(t), func(*RekeyReply) {}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range n.lines {
		got = append(got, e.Type+" "+e.Target+" "+e.Result+" "+e.Message)
	}
	want := []string{"rekey cluster ok begun, key k2", "rekey cluster ok switched, key k2", "rekey cluster ok retired, key k2"}
	if !slices.Equal(got, want) || len(n.asked) != 1 {
		t.Errorf("got %q after %d questions", got, len(n.asked))
	}
	gone, leave := context.WithCancel(context.Background())
	defer leave()
	f.cluster = []byte("canary")
	call := &Call[ClusterKeyArgs]{Args: ClusterKeyArgs{KeyID: "k2"}}
	call.from(&Caller{By: access.Actor{Role: access.Node, Name: "n2"}, gone: gone, server: f.server}, "Peer.ClusterKey")
	(&Peer{f.server}).ClusterKey(call, new(Reply[*ClusterKeyReply]))
	if e := n.last(); e.Type != "clusterkey.give" || e.Target != "clusterkey/k2" || e.Actor != "node/n2" || e.Result != "ok" {
		t.Errorf("a cluster key that was given to a node: %+v", e)
	}
}

func err2[T any](_ T, err error) error { return err }

func TestARestoreIsOnRecord(t *testing.T) {
	f := &fake{leads: true}
	n := &notes{}
	f.record = n
	c, _ := serveFake(t, f)
	f.restore = func(archive io.Reader) (*Restored, error) {
		io.Copy(io.Discard, archive)
		return &Restored{Index: 9, Revision: 4}, nil
	}
	archive := strings.Repeat("x", 1<<20)
	if _, err := c.Restore(soon(t), strings.NewReader(archive), RestoreArgs{RequestID: "r1"}); err != nil {
		t.Fatal(err)
	}
	want := audit.Event{Actor: "unix/" + uid(), Source: "unix", Type: "restore", Target: "cluster", RequestID: "r1", Index: 9, Revision: 4, Result: "unchanged"}
	if got := n.last(); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	n.fail = store.Errorf(store.CodeUnavailable, "no disk")
	f.restore = func(io.Reader) (*Restored, error) { t.Error("restored without a record"); return nil, nil }
	if _, err := c.Restore(within(t, 4*time.Second), strings.NewReader(archive), RestoreArgs{RequestID: "r2"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	if err := err2(c.Snapshot(within(t, 4*time.Second), io.Discard)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a snapshot: got %v, want unavailable", err)
	}
}

func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	f := &fake{leads: true, private: []byte("{}")}
	n := &notes{fail: store.Errorf(store.CodeUnavailable, "the audit log cannot be written")}
	f.record = n
	c, _ := serveFake(t, f)
	if _, err := c.Write(within(t, 300*time.Millisecond), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(fmt.Sprint(err.(*store.Error).Hint), "audit log") {
		t.Errorf("got %v, want unavailable, and why", err)
	}
	if _, err := c.Export(within(t, 300*time.Millisecond), ExportArgs{Tenant: "acme"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("an export: got %v, want unavailable", err)
	}
	if len(f.seen()) > 0 || len(f.exports) > 0 {
		t.Errorf("%d writes and %d exports reached the node", len(f.seen()), len(f.exports))
	}
	if err := err2(c.Status(soon(t))); err != nil {
		t.Errorf("a read needs no record: %v", err)
	}
}

func TestAForwardedCallIsOnRecordWhereItBegan(t *testing.T) {
	f := &fake{leads: true}
	n := &notes{}
	f.record = n
	serveFake(t, f)
	gone, leave := context.WithCancel(context.Background())
	defer leave()
	node := &Caller{By: access.Actor{Role: access.Node, Name: "n2", Serial: "0b"}, gone: gone, server: f.server}
	ana := access.Actor{Role: access.Operator, Name: "ana", Serial: "0a"}
	write := func(from *access.Actor, caller *Caller) {
		call := &Call[mutation.Request]{From: from, Args: mutation.Request{ID: "r", Op: mutation.OpTenantCreate, Name: "acme"}}
		call.from(caller, "Peer.Write")
		(&Peer{f.server}).Write(call, new(Reply[*mutation.Answer]))
	}
	if write(&ana, node); n.count() != 0 {
		t.Errorf("it is on record at the second node, too: %+v", n.last())
	}
	f.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		return nil, store.Errorf(store.CodeDenied, "she may not")
	}
	if write(&ana, node); n.count() != 0 {
		t.Errorf("it is on record at the second node, too, when it is denied: %+v", n.last())
	}
	f.write = nil
	if write(nil, node); n.count() != 1 || n.last().Actor != "node/n2" || n.last().Serial != "0b" {
		t.Errorf("what a node asks for itself: %+v", n.last())
	}
	ann := &Caller{By: ana, gone: gone, server: f.server}
	root := access.Local("0")
	if write(&root, ann); n.count() != 2 || n.last().Actor != "operator/ana" {
		t.Errorf("a name that an operator made up: %+v", n.last())
	}
}

// Secrets of a request and what its document says stay out of the record,
// whatever comes of it.
func TestNoSecretAndNoDocumentIsOnRecord(t *testing.T) {
	f := &fake{leads: true, private: []byte(`{"d":"canary-private"}`)}
	dir := filepath.Join(t.TempDir(), "audit")
	l := audit.Open(audit.Options{Dir: dir, Node: "n1", Required: true})
	f.record = l
	c, _ := serveFake(t, f)
	secret := "canary-imported-secret"
	raw := []byte(`"canary-seed-canary-seed-canary-s"`)
	req := mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: "web", Seed: raw, Secret: &secret, Reason: "canary-reason"}
	v := reflect.ValueOf(&req).Elem()
	for _, name := range []string{"Patch", "Set", "Add", "Remove"} {
		field := v.FieldByName(name)
		if !field.IsValid() {
			t.Fatalf("a request has no field %s any more", name)
		}
		canary := `{"canary":"canary-` + name + `"}`
		if field.Kind() == reflect.Slice && field.Type().Elem().Kind() != reflect.Uint8 {
			canary = "[" + `"canary-` + name + `"]`
			if field.Type().Elem().Kind() == reflect.Struct {
				canary = `[{"path":"canary.path","value":"canary-` + name + `"}]`
			}
		}
		if err := json.Unmarshal([]byte(canary), field.Addr().Interface()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	answers := []func() (*mutation.Answer, error){
		func() (*mutation.Answer, error) {
			return &mutation.Answer{Name: "client/acme/web", Secret: "canary-generated", Document: json.RawMessage(`{"a":"canary-document"}`), Note: "canary-note"}, nil
		},
		func() (*mutation.Answer, error) {
			return nil, store.Errorf(store.CodeInvalid, "cannot read %q", secret).WithHint("canary-hint")
		},
		func() (*mutation.Answer, error) { return nil, fmt.Errorf("inside: %s", secret) },
		func() (*mutation.Answer, error) {
			return nil, store.Invalid("client", []store.Field{{Path: "secrets", Message: "canary-field"}})
		},
	}
	for _, a := range answers {
		f.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) { return a() }
		req.ID = ""
		c.Write(soon(t), &req)
	}
	if _, err := c.Export(soon(t), ExportArgs{Tenant: "acme"}); err != nil {
		t.Error(err)
	}
	l.Close()
	p, err := audit.Open(audit.Options{Dir: dir}).Read(audit.Cursor{}, time.Time{}, 1<<20)
	if err != nil || len(p.Lines) != 10 {
		t.Fatalf("%d lines, %v, want a question and an answer for each of 5", len(p.Lines), err)
	}
	for _, line := range p.Lines {
		if strings.Contains(line, "canary") || strings.Contains(line, "Y2FuYXJ5") {
			t.Errorf("a secret: %s", line)
		}
	}
}

func TestADeniedReadAndAnUnreadableWriteAreOnRecord(t *testing.T) {
	f := &fake{}
	n := &notes{}
	f.record = n
	serveFake(t, f)
	gone, leave := context.WithCancel(context.Background())
	defer leave()
	bound := &Caller{By: access.Actor{Role: access.Reader, Name: "ci", Tenant: "acme"}, gone: gone, server: f.server}
	call := &Call[GetArgs]{Args: GetArgs{Kind: "tenant", Name: "globex"}}
	call.from(bound, "Cluster.Get")
	(&Cluster{f.server}).Get(call, new(Reply[*GetReply]))
	if e := n.last(); e.Type != "read" || e.Target != "Cluster.Get" || e.Result != "denied" || e.Actor != "reader/ci@acme" {
		t.Errorf("a read of another tenant: %+v", e)
	}
	c := serverCodec{&codec{caller: bound, method: "Cluster.Write", body: []byte(`{"args":`)}}
	if err := c.ReadRequestBody(new(Call[mutation.Request])); err == nil {
		t.Error("half of a call is read")
	}
	if e := n.last(); e.Type != "call" || e.Target != "Cluster.Write" || e.Result != "invalid" {
		t.Errorf("a write that nobody can read: %+v", e)
	}
}

// uid is the user of this test, as the socket tells it.
func uid() string { return strconv.Itoa(os.Geteuid()) }

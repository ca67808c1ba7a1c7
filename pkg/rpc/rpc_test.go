package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func someCaller() *Caller {
	gone, leave := context.WithCancel(context.Background())
	return &Caller{gone: gone, leave: leave, server: &Server{node: &fake{img: store.NewImage()}}}
}

func TestWorkForACallerThatIsGoneEnds(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	f := &fake{write: func(ctx context.Context, _ *mutation.Request) (*mutation.Answer, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}}
	c, path := serveFake(t, f)
	conn, _, err := c.connection(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	call := conn.Go("Cluster.Write", &Call[mutation.Request]{}, &Reply[*mutation.Answer]{}, nil)
	for len(f.seen()) == 0 { // it has begun: another connection is served meanwhile
		if _, err := NewClient(Options{Servers: []string{"unix:" + path}}).Status(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	<-call.Done
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("it goes on")
	}
}

func TestNoWorkBeginsForACallerThatIsGone(t *testing.T) {
	t.Parallel()
	caller := someCaller()
	caller.leave()
	var reply Reply[int]
	err := serve(&Call[int]{caller: caller}, &reply, func(context.Context) (int, error) {
		t.Error("it began")
		return 0, nil
	})
	if err != nil || reply.Err == nil || !errors.Is(reply.Err, store.ErrUnavailable) {
		t.Errorf("%v, reply %v, want unavailable", err, reply.Err)
	}
}

func TestErrorsKeepTheirClassAcrossTheWire(t *testing.T) {
	t.Parallel()
	want := store.Invalid(`client "web"`, []store.Field{{Path: "redirect_uris[1]", Message: "has a fragment"}}).WithHint("look")
	c, _ := serveFake(t, &fake{write: func(context.Context, *mutation.Request) (*mutation.Answer, error) { return nil, want }})
	_, err := c.Write(soon(t), &mutation.Request{Op: mutation.OpClientCreate})
	var got *store.Error
	if !errors.Is(err, store.ErrInvalid) || !errors.As(err, &got) || got.Error() != want.Error() || got.Hint != "look" {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestTheSocketTellsWhoAsks(t *testing.T) {
	t.Parallel()
	c, _ := serveFake(t, &fake{})
	a, err := c.Write(soon(t), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"})
	if err != nil || !strings.HasPrefix(a.Note, "unix/") || !a.Published {
		t.Errorf("answer %+v, %v", a, err)
	}
}

func TestAnAnswerSaysWhenTheFilesAreBehind(t *testing.T) {
	t.Parallel()
	c, _ := serveFake(t, &fake{files: store.ErrUnavailable})
	if a, err := c.Write(soon(t), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}); err != nil || a.Published {
		t.Errorf("answer %+v, %v", a, err)
	}
}

func TestTheSameRequestIsSentUntilItIsSettled(t *testing.T) {
	t.Parallel()
	answers := []error{store.ErrUnavailable, store.Errorf(store.CodeUnknown, "lost"), store.ErrUnavailable, nil}
	f := &fake{}
	f.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		if err := answers[len(f.seen())-1]; err != nil {
			return nil, err
		}
		return &mutation.Answer{Name: "tenant/acme"}, nil
	}
	c, _ := serveFake(t, f)
	if _, err := c.Write(soon(t), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	all := f.seen()
	for i, r := range all {
		if r.ID != all[0].ID || !bytes.Equal(r.Seed, all[0].Seed) || len(r.Seed) != 32 || i > 0 && r.AgeUS <= all[i-1].AgeUS {
			t.Errorf("attempt %d: id %s, seed %x, age %d us; the first had id %s", i, r.ID, r.Seed, r.AgeUS, all[0].ID)
		}
	}
	if len(all) != 4 {
		t.Errorf("%d attempts, want 4", len(all))
	}
}

func TestAnOutcomeThatNobodyKnowsStaysUnknown(t *testing.T) {
	t.Parallel()
	n := 0
	f := &fake{write: func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		if n++; n == 1 {
			return nil, store.ErrUnknown
		}
		return nil, store.ErrUnavailable // later attempts were not proposed; the first may have been
	}}
	c, _ := serveFake(t, f)
	_, err := c.Write(within(t, 400*time.Millisecond), &mutation.Request{ID: "my-id", Op: mutation.OpTenantCreate, Name: "acme"})
	if !errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "request id my-id") {
		t.Errorf("got %v", err)
	}
}

// A node that refuses an attempt says nothing of the one before it.
func TestWhoDoesNotJudgeLeavesAnOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for _, refusal := range []*store.Error{
		store.Errorf(store.CodeDenied, "certificate 0a was revoked: removed by unix/0"),
		store.Errorf(store.CodeIntegrity, "the state is damaged"),
		store.Errorf(store.CodeInternal, "the node is broken"),
	} {
		f := &fake{}
		f.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
			if len(f.seen()) == 1 {
				return nil, store.ErrUnknown
			}
			return nil, refusal
		}
		c, path := serveFake(t, f)
		req := someWrite()
		_, err := c.Write(soon(t), req)
		var e *store.Error
		if !errors.As(err, &e) || e.Code != store.CodeUnknown || !strings.Contains(e.Message, "request id "+req.ID) || e.Hint != refusal.Message || len(f.seen()) != 2 {
			t.Errorf("after %d attempts: %v (%+v), want that nobody knows, because %s", len(f.seen()), err, e, refusal)
		}

		// Another node may know.
		g := &fake{}
		g.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
			if len(g.seen()) == 1 {
				return nil, store.ErrUnknown
			}
			return &mutation.Answer{}, nil
		}
		_, knows := serveFake(t, g)
		both := NewClient(Options{Servers: []string{"unix:" + knows, "unix:" + path}})
		defer both.Close()
		if _, err := both.Write(soon(t), someWrite()); err != nil || len(f.seen()) != 3 || len(g.seen()) != 2 {
			t.Errorf("with another node: %v, asked %d and %d times", err, len(f.seen()), len(g.seen()))
		}
	}
}

func TestAgesOfRequestIDs(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c, _ := serveFake(t, f)
	for _, id := range []string{"", "build-17", "0198f0c2-6a1e-7c3b-9a55-0d1f5b7d2f10"} { // the last is of August 2025
		if _, err := c.Write(soon(t), &mutation.Request{ID: id, Op: mutation.OpTenantCreate, Name: "acme"}); err != nil {
			t.Fatal(err)
		}
	}
	all := f.seen()
	if all[0].NoTime || all[0].AgeUS > (10*time.Second).Microseconds() {
		t.Errorf("an id of our own: %+v", all[0])
	}
	if !all[1].NoTime {
		t.Error("an id that tells no time must say so")
	}
	if all[2].NoTime || all[2].AgeUS < (24*time.Hour).Microseconds() {
		t.Errorf("a UUIDv7 given by the caller has the age that is in it: %d us", all[2].AgeUS)
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	c := NewClient(Options{Servers: []string{"unix:/nonexistent/a/cpctl.sock", "unix:/nonexistent/b/cpctl.sock"}})
	_, err := c.Status(within(t, 100*time.Millisecond))
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeUnavailable || !strings.Contains(e.Hint, "/nonexistent/b/cpctl.sock no such file or directory") {
		t.Errorf("got %v, hint %q", err, e.Hint)
	}
	if !strings.HasSuffix(e.Hint, "\nis the node running? start it with: cpctl node --data-dir /nonexistent/a") {
		t.Errorf("the hint does not name the directory of the node: %q", e.Hint)
	}
}

func TestHealthWithoutWaitingAsksOnce(t *testing.T) {
	t.Parallel()
	c := NewClient(Options{Servers: []string{"unix:/nonexistent/a"}})
	began := time.Now()
	if _, err := c.Health(soon(t), false); !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "after") {
		t.Errorf("got %v, want unavailable", err)
	}
	if took := time.Since(began); took > patience/3 {
		t.Errorf("it took %s", took)
	}
}

// The founder of a cluster is ready before anybody knows its name, which comes
// with the first entry of the log.
func TestHealthNamesTheLeaderAsOfWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	img, _ := store.NewImage().Begin().Freeze(3, 2)
	c, _ := serveFake(t, &fake{img: img, leads: true, leader: &Member{ID: "id-1"}})
	h, err := c.Health(soon(t), false)
	if err != nil || !h.Ready || h.Leader != "n1" || h.Index != 3 {
		t.Errorf("got %+v, %v, want leader n1 and index 3", h, err)
	}
}

func TestAnAnswerSaysWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	f := &fake{leads: true, leader: &Member{ID: "id-1"}, write: func(ctx context.Context, _ *mutation.Request) (*mutation.Answer, error) {
		<-ctx.Done()
		return nil, store.Errorf(store.CodeUnavailable, "index 9 is not applied yet")
	}}
	c, _ := serveFake(t, f)
	_, err := c.Write(within(t, time.Second), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"})
	for again := 0; errors.Is(err, store.ErrUnknown) && again < 5; again++ { // a busy machine: the answer came too late
		_, err = c.Write(within(t, 2*time.Second), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"})
	}
	var e *store.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "index 9 is not applied yet") || strings.Contains(e.Message, "no leader") {
		t.Errorf("got %v, hint %q", err, e.Hint)
	}
}

// startProxy passes connections on to a socket; cut decides after each answer
// whether it is dropped together with its connection.
func startProxy(t *testing.T, to string, cut func(n int) bool) string {
	t.Helper()
	path := to + "p"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	answers := 0
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { io.Copy(out, in); out.Close() }()
			go func() {
				defer in.Close()
				defer out.Close()
				var head [4]byte
				for {
					if _, err := io.ReadFull(out, head[:]); err != nil {
						return
					}
					b := make([]byte, binary.BigEndian.Uint32(head[:]))
					if _, err := io.ReadFull(out, b); err != nil {
						return
					}
					mu.Lock()
					answers++
					drop := cut(answers)
					mu.Unlock()
					if drop {
						return
					}
					in.Write(append(head[:], b...))
				}
			}()
		}
	}()
	return path
}

func TestALostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	f := &fake{}
	_, path := serveFake(t, f)
	c := NewClient(Options{Servers: []string{"unix:" + startProxy(t, path, func(n int) bool { return n <= 2 })}})
	defer c.Close()
	if _, err := c.Write(soon(t), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	all := f.seen()
	if len(all) != 3 || all[0].ID != all[2].ID || !bytes.Equal(all[0].Seed, all[2].Seed) {
		t.Errorf("%d attempts, ids %q and %q", len(all), all[0].ID, all[len(all)-1].ID)
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	docs := map[string]string{}
	for _, slug := range []string{"acme", "acme-x", "acme0", "b"} {
		docs[store.TenantPath(slug)] = fmt.Sprintf(`{"kind":"tenant","slug":%q,"labels":{"first":%q}}`, slug, slug[:1])
		docs[store.ScopePath(slug, "openid")] = fmt.Sprintf(`{"kind":"scope","tenant":%q,"name":"openid"}`, slug)
	}
	for i := range 700 {
		docs[store.ClientPath("acme", fmt.Sprintf("C%03d", i))] = fmt.Sprintf(`{"kind":"client","tenant":"acme","client_id":"C%03d","description":%q,"secrets":[{"id":"s1","hash":"sha256$x$y"}]}`, i, strings.Repeat("d", 2000))
	}
	f := &fake{leads: true, img: stateWith(t, docs)}
	c, _ := serveFake(t, f)

	tenants, err := c.List(soon(t), ListArgs{Kind: "tenant"})
	if err != nil || len(tenants.Items) != 4 {
		t.Fatalf("tenants: %v, %d", err, len(tenants.Items))
	}
	labelled, err := c.List(soon(t), ListArgs{Kind: "tenant", Labels: map[string]string{"first": "b"}})
	if err != nil || len(labelled.Items) != 1 {
		t.Errorf("tenants with a label: %v, %d", err, len(labelled.Items))
	}
	all, err := c.List(soon(t), ListArgs{Kind: "client", Tenant: "acme"}) // more than one frame
	if err != nil || len(all.Items) != 700 || all.Continue != "" || all.Index != 5 {
		t.Fatalf("clients: %v, %d, continue %q", err, len(all.Items), all.Continue)
	}
	var paged []json.RawMessage
	args := ListArgs{Kind: "client", Tenant: "acme", Limit: 300}
	for {
		page, err := c.List(soon(t), args)
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, page.Items...)
		if args.Continue = page.Continue; args.Continue == "" {
			break
		}
	}
	if len(paged) != 700 || string(paged[699]) != string(all.Items[699]) {
		t.Errorf("in pages: %d", len(paged))
	}
	if bytes.Contains(all.Items[0], []byte("hash")) {
		t.Errorf("a hash in a list: %s", all.Items[0])
	}
	got, err := c.Get(soon(t), GetArgs{Kind: "client", Tenant: "acme", Name: "C007", Read: ReadOptions{Stale: true}})
	if err != nil || got.AgeMS != 1500 || got.Node != "n1" {
		t.Errorf("get: %v, %+v", err, got)
	}
	for _, bad := range []GetArgs{{Kind: "client", Tenant: "acme", Name: "../../x"}, {Kind: "client", Tenant: "..", Name: "x"}, {Kind: "system", Name: "cluster"}} {
		if _, err := c.Get(soon(t), bad); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("get %+v: %v, want invalid", bad, err)
		}
	}
	if _, err := c.Get(soon(t), GetArgs{Kind: "client", Tenant: "nope", Name: "x"}); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), `tenant "nope"`) {
		t.Errorf("a client of no tenant: %v", err)
	}
	f.unread = store.Errorf(store.CodeUnavailable, "not yet")
	if _, err := c.Get(within(t, 50*time.Millisecond), GetArgs{Kind: "tenant", Name: "b", Read: ReadOptions{Stale: true}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a stale read before the node knows where it was: %v", err)
	}
}

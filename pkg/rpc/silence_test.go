package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// mute is a socket where calls are taken and nothing is said: that of a process
// that stands still.
func mute(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "mute")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, conn)
		}
	}()
	return "unix:" + path
}

// leaveWithin is the time within which a silent server is left, on a machine
// that has other work.
const leaveWithin = 5 * beat * quietLeave

const big = 250 << 10 // more than the system keeps for a socket

func TestASilentServerIsLeftForTheNext(t *testing.T) {
	t.Parallel()
	f := &fake{leads: true}
	_, path := serveFake(t, f)
	for name, call := range map[string]func(context.Context, *Client) error{
		"a read":     func(ctx context.Context, c *Client) error { _, err := c.Status(ctx); return err },
		"health":     func(ctx context.Context, c *Client) error { _, err := c.Health(ctx, false); return err },
		"a snapshot": func(ctx context.Context, c *Client) error { _, err := c.Snapshot(ctx, io.Discard); return err },
		"a write": func(ctx context.Context, c *Client) error {
			_, err := c.Write(ctx, &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme", Patch: []byte(`{}`)})
			return err
		},
		"a write that does not fit into a buffer": func(ctx context.Context, c *Client) error {
			patch := `{"display_name":"` + strings.Repeat("x", big) + `"}`
			_, err := c.Write(ctx, &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme", Patch: []byte(patch)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := NewClient(Options{Servers: []string{mute(t), "unix:" + path}})
			defer c.Close()
			began := time.Now()
			if err := call(soon(t), c); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > leaveWithin+big/slowest*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestAServerThatNeverAnswersIsCalledSilent(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{beat, (quietLeave + 2) * beat} { // shorter, and longer, than the client's own patience
		c := NewClient(Options{Servers: []string{mute(t)}})
		defer c.Close()
		_, err := c.Status(within(t, wait))
		var e *store.Error
		if !errors.As(err, &e) || e.Code != store.CodeUnavailable || !strings.HasPrefix(e.Message, "no answer from unix:") || !strings.Contains(e.Hint, "stands still") {
			t.Errorf("after %s: %+v", wait, err)
		}
	}
}

// One to which no connection comes about is left sooner, unless it is the only one.
func TestAServerThatIsOutOfReachIsLeftSoon(t *testing.T) {
	t.Parallel()
	_, path := serveFake(t, &fake{leads: true})
	ln, err := net.Listen("tcp", "127.0.0.1:0") // a connection, and then nothing: of TLS this is the first step
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ana := member(t, newAuthority(t), access.Admin, "ana", 1, time.Now())
	c := NewClient(Options{Servers: []string{ln.Addr().String(), "unix:" + path}, Credentials: &ana})
	defer c.Close()
	began := time.Now()
	if _, err := c.Status(soon(t)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < firstDial || took > 3*firstDial {
		t.Errorf("it was left after %s", took)
	}
	alone := NewClient(Options{Servers: []string{ln.Addr().String()}, Credentials: &ana})
	defer alone.Close()
	if alone.patience() != dialWait {
		t.Errorf("the only server is given %s", alone.patience())
	}
}

// Who works is not silent, however long it takes.
func TestAServerThatWorksLongIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := &fake{leads: true, write: func(ctx context.Context, req *mutation.Request) (*mutation.Answer, error) {
		select {
		case <-time.After((quietLeave + 3) * beat): // longer than silence is borne
		case <-ctx.Done():
		}
		return &mutation.Answer{Outcome: mutation.Created}, ctx.Err()
	}}
	c, _ := serveFake(t, f)
	if _, err := c.Write(soon(t), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	if n := len(f.seen()); n != 1 {
		t.Errorf("the request was sent %d times", n)
	}
}

// A leader that says nothing is waited for while it leads, and no longer.
func TestAnAnswerIsNotWaitedForFromWhoLeadsNoLonger(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	f := &fake{leader: &Member{ID: "id-2", Address: "10.0.0.2:7700"}, write: func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		return nil, store.Errorf(store.CodeUnavailable, "not the leader")
	}}
	f.dial = func(Member, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			there.Read(make([]byte, 1))
			close(asked)
			io.Copy(io.Discard, there)
		}()
		return here, nil
	}
	c, _ := serveFake(t, f)
	conn, _, err := c.connection(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked
		f.mu.Lock()
		f.leader = nil
		f.mu.Unlock()
	}()
	began := time.Now()
	_, err = do[mutation.Request, *mutation.Answer](soon(t), conn, "Cluster.Write", nil, mutation.Request{ID: "r", Op: mutation.OpTenantCreate, Name: "acme"})
	if !errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), `node "n2" at 10.0.0.2:7700 was asked, but its answer did not come: it leads no longer`) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > quietLeave*beat {
		t.Errorf("it took %s", took)
	}
}

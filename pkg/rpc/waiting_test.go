package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestAPortThatIsNoNodeEndsACommandAtOnce: it will not be one in half a minute.
func TestAPortThatIsNoNodeEndsACommandAtOnce(t *testing.T) {
	t.Parallel()
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	go func() {
		for {
			conn, err := web.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
				io.Copy(io.Discard, conn) // else a reset overtakes the answer
			}()
		}
	}()
	ana := member(t, newAuthority(t), access.Admin, "ana", 1, time.Now())
	_, err = clientOf(t, &ana, web.Addr().String()).Status(soon(t))
	wantDenied(t, "status", err, "is no node: it does not speak TLS", "cpctl context show")
}

// TestAHostThatDoesNotExistIsNotWaitedFor, unless another server may come.
func TestAHostThatDoesNotExistIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	nowhere := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true}}
	c := NewClient(Options{Servers: []string{"nowhere:7700", "10.0.0.1:7700"}})
	c.note("nowhere:7700", nil, nowhere)
	if err := c.hopeless(); err != nil {
		t.Errorf("before the other one was asked: %v", err)
	}
	c.note("10.0.0.1:7700", nil, errors.New("connection refused"))
	if err := c.hopeless(); err != nil {
		t.Errorf("while the other one may come: %v", err)
	}
	c.note("10.0.0.1:7700", nil, nowhere)
	if err := c.hopeless(); err == nil || err.Code != store.CodeUnavailable {
		t.Errorf("with no host at all: %v", err)
	}
	c.note("10.0.0.1:7700", nil, store.Errorf(store.CodeDenied, "another cluster"))
	if err := c.hopeless(); err == nil || err.Code != store.CodeDenied {
		t.Errorf("when the other one refuses: %v", err)
	}
}

func TestWhoWaitsLongIsToldOnceWhatFor(t *testing.T) {
	t.Parallel()
	var told atomic.Int32
	server := "unix:" + filepath.Join(t.TempDir(), "none")
	c := NewClient(Options{Servers: []string{server}, Waiting: func(at, why string) {
		if told.Add(1); at != server || why != "no such file or directory" {
			t.Errorf("told of %s: %s", at, why)
		}
	}})
	defer c.Close()
	for wait, want := range map[time.Duration]int32{longWait / 5: 0, 2 * longWait: 1} {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		before := told.Load()
		if _, err := c.Status(ctx); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		cancel()
		if got := told.Load() - before; got != want {
			t.Errorf("in %s told %d times, want %d", wait, got, want)
		}
	}
}

package rpc

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
)

func TestRoomIsGivenInTurn(t *testing.T) {
	t.Parallel()
	r := newRoom(10)
	if err := r.take(soon(t), 8); err != nil {
		t.Fatal(err)
	}
	waits := func(size int64, n int) chan error {
		got := make(chan error, 1)
		go func() { got <- r.take(soon(t), size) }()
		for deadline := time.Now().Add(patience); ; {
			r.mu.Lock()
			there := r.waiting.Len()
			r.mu.Unlock()
			if there == n {
				return got
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d wait, want %d", there, n)
			}
			time.Sleep(time.Millisecond)
		}
	}
	large := waits(9, 1)
	small := waits(1, 2) // would fit, and does not overtake
	gone, leave := context.WithCancel(context.Background())
	leave()
	if err := r.take(gone, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("for one who is gone: %v", err)
	}
	select {
	case <-small:
		t.Error("the small one has overtaken the large one")
	default:
	}
	r.give(8)
	if err := errors.Join(<-large, <-small); err != nil {
		t.Error(err)
	}
	r.give(9)
	r.give(1)
	if r.free != 10 || r.waiting.Len() != 0 {
		t.Errorf("%d free and %d waiting at the end", r.free, r.waiting.Len())
	}
}

// pipeOf is a server's codec for somebody, and the other end.
func pipeOf(t *testing.T, who *guest) (serverCodec, net.Conn) {
	t.Helper()
	server, client := net.Pipe()
	t.Cleanup(func() { server.Close(); client.Close() })
	caller := someCaller()
	caller.guest = who
	return serverCodec{newCodec(server, caller)}, client
}

func TestCallsThatFindNoRoomAreNotRead(t *testing.T) {
	t.Parallel()
	g := newGuests()
	ana, _, err := g.enter(person("ana"), ProtocolRPC, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, client := pipeOf(t, ana)
	body := `{"args":{}}`
	most := roomOfOne / int(roomFor("Cluster.List", len(framed(0, "Cluster.List", body))-4))
	read := make(chan uint64, most+2)
	go func() {
		for {
			var head rpc.Request
			if c.ReadRequestHeader(&head) != nil {
				close(read)
				return
			}
			read <- head.Seq
		}
	}()
	go func() {
		for n := range most + 1 {
			client.Write(framed(uint64(n), "Cluster.List", body))
		}
	}()
	for range most {
		<-read
	}
	select {
	case n := <-read:
		t.Errorf("call %d was read with no room for it", n)
	case <-time.After(50 * time.Millisecond):
	}
	other, _, err := g.enter(person("bob"), ProtocolRPC, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.take(soon(t), roomOfCall); err != nil {
		t.Errorf("another person: %v", err)
	}
	other.give(roomOfCall)
	go c.WriteResponse(&rpc.Response{Seq: 0}, struct{}{})
	go func() {
		for b := make([]byte, 4096); ; {
			if _, err := client.Read(b); err != nil {
				return
			}
		}
	}()
	if n := <-read; n != uint64(most) {
		t.Errorf("then call %d was read, want %d", n, most)
	}
	for n := range most {
		c.WriteResponse(&rpc.Response{Seq: uint64(n + 1)}, struct{}{})
	}
	client.Close()
	for range read {
	}
	if ana.own.free != roomOfOne || g.all.free != roomOfAll {
		t.Errorf("%d and %d bytes are free at the end, want %d and %d", ana.own.free, g.all.free, int64(roomOfOne), int64(roomOfAll))
	}
}

func TestACallUnderWayKeepsItsNumber(t *testing.T) {
	t.Parallel()
	ana, _, err := newGuests().enter(access.Actor{Role: access.Reader, Name: "ana"}, ProtocolRPC, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, client := pipeOf(t, ana)
	go func() {
		for range 2 {
			client.Write(framed(7, "Cluster.Get", `{}`))
		}
	}()
	var head rpc.Request
	if err := c.ReadRequestHeader(&head); err != nil || head.Seq != 7 {
		t.Fatalf("call %d, %v", head.Seq, err)
	}
	if err := c.ReadRequestHeader(&head); err == nil || !strings.Contains(err.Error(), "call 7 is under way already") {
		t.Errorf("the same number again: %v", err)
	}
}

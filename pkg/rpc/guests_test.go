package rpc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

func person(name string) access.Actor {
	return access.Actor{Role: access.Operator, Name: name, Source: "10.0.0.9:1"}
}

func TestOneIdentityHasItsShareOfConnections(t *testing.T) {
	t.Parallel()
	g := newGuests()
	var leave []func()
	enter := func(by access.Actor) error {
		_, l, err := g.enter(by, ProtocolRPC, nil)
		if err == nil {
			leave = append(leave, l)
		}
		return err
	}
	ana := person("ana")
	for n := range maxOfOne {
		ana.Serial, ana.Source = fmt.Sprint(n), fmt.Sprintf("10.0.0.%d:1", n) // other certificates and places are no others
		if err := enter(ana); err != nil {
			t.Fatalf("connection %d: %v", n+1, err)
		}
	}
	if err := enter(ana); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("one too many: %v", err)
	}
	for n := 0; len(leave) < maxConnections; n++ {
		if err := enter(person(fmt.Sprint("p", n))); err != nil {
			t.Fatalf("another person, with %d connections open: %v", len(leave), err)
		}
	}
	if err := enter(person("late")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("beyond the share of all people: %v", err)
	}
	if err := enter(access.Local("0")); err != nil {
		t.Errorf("people keep root out of the socket: %v", err)
	}
	if err := enter(access.Actor{Role: access.Node, Name: "n2"}); err != nil {
		t.Errorf("people keep a node out: %v", err)
	}
	for _, l := range leave {
		l()
	}
	if len(g.of) != 0 || len(g.nodes) != 0 || g.people != 0 {
		t.Errorf("all have left, and %d people, %d identities and %d nodes are counted", g.people, len(g.of), len(g.nodes))
	}
}

func TestAUserLeavesRoomAtTheSocket(t *testing.T) {
	t.Parallel()
	g := newGuests()
	for range maxOfUser {
		if who, _, err := g.enter(access.Local("1000"), "", nil); err != nil || who != nil {
			t.Fatalf("guest %v, %v; want none, since calls at the socket take no room", who, err)
		}
	}
	if _, _, err := g.enter(access.Local("1000"), "", nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("one too many: %v", err)
	}
	if _, _, err := g.enter(access.Local("0"), "", nil); err != nil {
		t.Errorf("root: %v", err)
	}
}

func TestANodeIsNeverKeptOut(t *testing.T) {
	t.Parallel()
	g := newGuests()
	near, far := net.Pipe()
	defer far.Close()
	node := access.Actor{Role: access.Node, Name: "n2"}
	if _, _, err := g.enter(node, ProtocolRPC, near); err != nil {
		t.Fatal(err)
	}
	for n := range 2 * maxOfNode {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		if _, _, err := g.enter(node, ProtocolRPC, a); err != nil {
			t.Fatalf("connection %d: %v", n+2, err)
		}
	}
	far.SetDeadline(time.Now().Add(patience))
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the oldest connection: %v, want it closed", err)
	}
	if n := g.nodes["node/n2 "+ProtocolRPC].Len(); n != maxOfNode {
		t.Errorf("%d connections, want %d", n, maxOfNode)
	}
}

// Whoever is refused hears why, and is not heard.
func TestWhoIsTurnedAwayHearsWhy(t *testing.T) {
	t.Parallel()
	_, path := serveFake(t, &fake{leads: true, img: stateWith(t, nil)})
	for range maxOfUser {
		conn, err := dialSocket(soon(t), path, ProtocolRPC)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	want := "too many connections of " + access.Local(fmt.Sprint(os.Geteuid())).String()
	fresh := func() *Client {
		c := NewClient(Options{Servers: []string{"unix:" + path}})
		t.Cleanup(func() { c.Close() })
		return c
	}
	var refused error
	for refused == nil { // the server counts them a little later
		_, refused = fresh().Health(soon(t), false)
	}
	_, snapshot := fresh().Snapshot(within(t, 2*time.Second), io.Discard)
	for what, err := range map[string]error{"a call": refused, "a snapshot": snapshot} {
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
}

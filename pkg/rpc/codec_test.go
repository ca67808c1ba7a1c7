package rpc

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestFramesBeyondTheLimitEndTheConnection(t *testing.T) {
	t.Parallel()
	_, path := serveFake(t, &fake{leads: true})
	for name, frame := range map[string][]byte{
		"claims 1 GiB":    {0x40, 0, 0, 0, 1, 2, 3},
		"no header":       {0, 0, 0, 1, 9},
		"method too long": append([]byte{0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 1, 200}, make([]byte, 11)...),
		"method of 255":   append([]byte{0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 1, 255}, make([]byte, 256)...),
	} {
		conn, err := dialSocket(soon(t), path, ProtocolRPC)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		conn.Write(frame)
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Errorf("a frame that %s: answered %q, %v; want the connection closed", name, b, err)
		}
		conn.Close()
	}
	c := NewClient(Options{Servers: []string{"unix:" + path}})
	defer c.Close()
	if _, err := c.Health(soon(t), false); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestArgumentsThatCannotBeReadAreAnError(t *testing.T) {
	t.Parallel()
	c, _ := serveFake(t, &fake{leads: true})
	conn, _, err := c.connection(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := do[string, any](soon(t), conn, "Cluster.Get", nil, "not an object"); !errors.Is(err, store.ErrInternal) {
		t.Errorf("arguments of another shape: %v", err)
	}
	if _, err := do[struct{}, any](soon(t), conn, "Peer.Write", nil, struct{}{}); !errors.Is(err, store.ErrInternal) {
		t.Errorf("the calls between nodes on the socket: %v, want none such", err)
	}
	if _, err := c.Health(soon(t), false); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestARequestLargerThanAFrameIsRefusedHere(t *testing.T) {
	t.Parallel()
	c, _ := serveFake(t, &fake{})
	big := json.RawMessage(`"` + strings.Repeat("x", MaxFrame) + `"`)
	if _, err := c.Write(soon(t), &mutation.Request{Op: mutation.OpClientCreate, Patch: big}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("got %v, want invalid", err)
	}
}

func TestAnIdleConnectionIsClosedButNotUnderACall(t *testing.T) {
	t.Parallel()
	server, client := net.Pipe()
	defer client.Close()
	c := serverCodec{newCodec(server, someCaller())}
	c.idle = 20 * time.Millisecond
	if _, _, err := c.readFrame(); err == nil {
		t.Error("an idle connection was kept")
	}
	c.calls.Add(1)
	ended := make(chan error, 1)
	go func() { _, _, err := c.readFrame(); ended <- err }()
	select {
	case err := <-ended:
		t.Errorf("closed under a call: %v", err)
	case <-time.After(5 * c.idle):
	}
	c.calls.Add(-1)
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("kept after the call")
	}
}

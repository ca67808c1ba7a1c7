package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestAnExportIsRecordedBeforeItIsAnswered(t *testing.T) {
	f := &fake{leads: true, private: []byte(`{"d":"PRIVATE"}`)}
	c, _ := serveFake(t, f)
	r, err := c.Export(soon(t), ExportArgs{Tenant: "acme"})
	if err != nil || r.KID != "k1" || r.Index != 7 || string(r.Key) != `{"d":"PRIVATE"}` {
		t.Fatalf("%+v, %v", r, err)
	}
	if want := fmt.Sprintf("[acme  n1 unix/%d]", os.Geteuid()); fmt.Sprint(f.exports) != want {
		t.Errorf("recorded %v, want %s", f.exports, want)
	}
}

// Both ends forget a key once it was carried.
func TestAKeyIsWipedOnItsWay(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	sent := &Reply[*ExportReply]{Value: &ExportReply{KID: "k1", Key: []byte("PRIVATE")}}
	failed := make(chan error, 1)
	go func() { failed <- newCodec(near, nil).writeFrame(1, "", sent) }()
	c := newCodec(far, nil)
	_, _, err := c.readFrame()
	var got Reply[*ExportReply]
	if err := errors.Join(err, clientCodec{codec: c}.ReadResponseBody(&got), <-failed); err != nil {
		t.Fatal(err)
	}
	if string(got.Value.Key) != "PRIVATE" || !blank(c.body) || !blank(sent.Value.Key) || sent.Value.KID != "k1" {
		t.Errorf("received %q, left in the frame %q, left with the sender %q", got.Value.Key, c.body, sent.Value.Key)
	}
	got.Value.Wipe()
	if !blank(got.Value.Key) {
		t.Errorf("left with the receiver %q", got.Value.Key)
	}
}

func blank(b []byte) bool { return len(b) > 0 && bytes.Count(b, []byte{0}) == len(b) }

// What one node asks of another has no room for a private key.
func TestNoPrivateKeyTravelsBetweenNodes(t *testing.T) {
	f := &fake{leads: true, private: []byte(`{"d":"PRIVATE"}`)}
	c, _ := serveFake(t, f)
	conn, _, err := c.connection(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := do[ExportArgs, recorded](soon(t), conn, "Peer.Export", nil, ExportArgs{Tenant: "acme"}); err == nil || !strings.Contains(err.Error(), "can't find service") {
		t.Errorf("the socket serves what nodes ask of each other: %v", err)
	}
	b, err := json.Marshal(Reply[recorded]{Value: recorded{KID: "k1", Index: 7}})
	if err != nil || string(b) != `{"value":{"kid":"k1","index":7}}` {
		t.Errorf("a leader answers %s, %v", b, err)
	}
}

// A key that was retired between the record and the answer is not another's fault.
func TestAnExportThatCameTooLateIsAskedForAgain(t *testing.T) {
	f := &fake{leads: true}
	c, _ := serveFake(t, f)
	_, err := c.Export(within(t, 300*time.Millisecond), ExportArgs{Tenant: "acme"})
	if !errors.Is(err, store.ErrUnavailable) || len(f.exports) < 2 {
		t.Errorf("%d records, %v", len(f.exports), err)
	}
}

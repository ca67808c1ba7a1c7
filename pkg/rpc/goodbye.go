package rpc

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/rpc"
	"sync/atomic"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// Goodbye is what a server says in place of serving: why, in the words of an
// error. TLS could only break off, with a number that says nothing.
type Goodbye struct {
	Err     *store.Error `json:"err"`
	Removed bool         `json:"removed,omitempty"` // the caller is a node that is no longer a member
}

func (g *Goodbye) Error() string { return g.Err.Error() }

func (g *Goodbye) Unwrap() error { return g.Err }

const (
	// goodbyeSeq is the sequence number of the frame. net/rpc counts from 0: a
	// client that knows of no goodbye throws the frame away.
	goodbyeSeq = math.MaxUint64

	goodbyeWait  = 2 * time.Second // for a peer that reads slowly, or goes on talking
	goodbyeBytes = 64 << 10        // of what it has sent, which is not looked at

	// maxGoodbyes bounds those that are being said: a peer that is not served
	// should not keep out those that are.
	maxGoodbyes = 32
)

// goodbyes says goodbye to a few at once; the others are only disconnected.
type goodbyes struct{ now atomic.Int32 }

// say writes the goodbye and lingers: bytes of the peer that nobody has read
// when a connection is closed make the kernel drop what was written last.
func (g *goodbyes) say(conn net.Conn, why Goodbye) {
	defer conn.Close()
	if g.now.Add(1) > maxGoodbyes {
		g.now.Add(-1)
		return
	}
	defer g.now.Add(-1)
	if conn.SetDeadline(time.Now().Add(goodbyeWait)) != nil {
		return
	}
	if newCodec(conn, nil).writeFrame(goodbyeSeq, "", why) != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	// writeFrame has set a longer deadline of its own.
	if conn.SetDeadline(time.Now().Add(goodbyeWait)) == nil {
		io.CopyN(io.Discard, conn, goodbyeBytes)
	}
}

// heard is the goodbye in a frame that was read, nil if it holds none.
func (c *codec) heard(seq uint64) *Goodbye {
	if seq != goodbyeSeq {
		return nil
	}
	g := new(Goodbye)
	if json.Unmarshal(c.body, g) != nil || g.Err == nil {
		g.Err = store.Errorf(store.CodeUnavailable, "the server ended the connection and did not say why")
	}
	return g
}

// link is a client's end of a connection.
type link struct {
	*rpc.Client
	goodbye *atomic.Pointer[Goodbye] // what the server said at last
}

// newLink makes a client of a connection. dead, if it is not nil, is told when
// nothing more will come.
func newLink(conn net.Conn, dead func(*link)) *link {
	l := &link{goodbye: new(atomic.Pointer[Goodbye])}
	ready := make(chan struct{})
	codec := clientCodec{codec: newCodec(conn, nil), goodbye: l.goodbye}
	if dead != nil {
		codec.dead = func() { <-ready; dead(l) }
	}
	l.Client = rpc.NewClientWithCodec(codec)
	close(ready)
	return l
}

// over reports whether nothing more can be asked on a connection, after a call
// that ended with err.
func over(err error) bool {
	var g *Goodbye
	return errors.Is(err, errBroken) || errors.As(err, &g)
}

package attacks

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/rpc"
)

// A peer that sends a byte a second is let go of wherever it stands: a few
// seconds before it has said who it is or what it wants, half a minute within a
// frame or a chunk.
func TestAPeerThatSendsAByteASecondIsLetGo(t *testing.T) {
	t.Parallel()
	c := found(t, 1)
	b := c.write(t)
	before := loadOf(t, c.Nodes[0])
	ci, ada := c.person(access.Reader, "ci", ""), c.person(access.Admin, "ada", "")
	plain := func() net.Conn {
		conn, err := net.Dial("tcp", c.at(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	socket := func(first string) net.Conn {
		conn, err := net.Dial("unix", c.Nodes[0].Server()[len("unix:"):])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := conn.Write([]byte(first)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	inChunk := c.dial(t, ada, 0, rpc.ProtocolStream)
	if _, err := inChunk.Write(chunk([]byte(`{"op":"restore","restore":{"request_id":"slow"}}`))); err != nil {
		t.Fatal(err)
	}
	frame := framed(1, "Cluster.Health", make([]byte, 1000))
	piece := chunk(make([]byte, 1000))
	var all sync.WaitGroup
	for _, tt := range []struct {
		where  string
		conn   net.Conn
		says   []byte
		within time.Duration
	}{
		{"in clear", plain(), []byte("GET / HTTP/1.1"), 5 * time.Second},
		{"in a TLS record", plain(), append([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252}, make([]byte, 500)...), 5 * time.Second},
		{"saying nothing at all", plain(), nil, 5 * time.Second},
		{"in the first line at the socket", socket(""), []byte("cpctl-rpc/1\n"), 5 * time.Second},
		{"in a frame", c.dial(t, ci, 0, rpc.ProtocolRPC), frame, 30 * time.Second},
		{"in a frame at the socket", socket("cpctl-rpc/1\n"), frame, 30 * time.Second},
		{"in what a stream is for", c.dial(t, ci, 0, rpc.ProtocolStream), piece, 5 * time.Second},
		{"in an archive", inChunk, piece, 30 * time.Second},
	} {
		all.Go(func() {
			gone := make(chan struct{})
			go func() {
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				for i := 0; i < len(tt.says); i++ {
					if _, err := tt.conn.Write(tt.says[i : i+1]); err != nil {
						return
					}
					select {
					case <-tick.C:
					case <-gone:
						return
					}
				}
			}()
			took := wantEnd(t, tt.where, tt.conn, 2*tt.within)
			close(gone)
			t.Logf("%s: let go after %s", tt.where, took.Round(100*time.Millisecond))
		})
	}
	all.Wait()
	b.goesOn(t, 5)
	settles(t, c.Nodes[0], before)
	wantBounded(t, c.Nodes[0], before, 32)
	c.nothingLeft(t, b, before)
}

// chunk is a piece of a stream.
func chunk(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

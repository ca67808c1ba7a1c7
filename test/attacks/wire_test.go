package attacks

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// wire is a connection to a port, on which a test may say what no client would.
type wire struct {
	net.Conn
	r   *bufio.Reader
	seq uint64
}

// dial connects as somebody with one of the protocols.
func (c *city) dial(t *testing.T, who pki.Credentials, n int, protocol string) *wire {
	t.Helper()
	w, err := c.tryDial(who, n, protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func (c *city) tryDial(who pki.Credentials, n int, protocol string) (*wire, error) {
	cfg, err := pki.ClientTLS(who, c.id, 1, nil, protocol, "")
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", c.at(n))
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(live.Patience))
	over := tls.Client(conn, cfg)
	if err := over.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	return &wire{Conn: over, r: bufio.NewReader(over)}, nil
}

// socket connects to the socket of a node, as whoever runs the tests.
func (c *city) socket(t *testing.T, n int) *wire {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(c.Nodes[n].Server(), "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(live.Patience))
	if _, err := io.WriteString(conn, rpc.ProtocolRPC+"\n"); err != nil {
		t.Fatal(err)
	}
	return &wire{Conn: conn, r: bufio.NewReader(conn)}
}

// framed is a frame with a body that need not be JSON.
func framed(seq uint64, method string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(9+len(method)+len(body)))
	b = append(binary.BigEndian.AppendUint64(b, seq), byte(len(method)))
	return append(append(b, method...), body...)
}

// answer is what a call came to: an error of the node's, of the wire's own, or a value.
type answer struct {
	Err   *store.Error    `json:"err"`
	Value json.RawMessage `json:"value"`

	wire      string   // unknown method, arguments that cannot be read
	documents [][]byte // behind the JSON
}

// String is short: an answer may be a whole document.
func (a answer) String() string {
	return fmt.Sprintf("%.200s", fmt.Sprintf("%v %s%s%s", a.Err, a.wire, a.Value, a.documents))
}

// call says a body and hears the answer.
func (w *wire) call(method string, body []byte) (answer, error) {
	w.seq++
	if _, err := w.Write(framed(w.seq, method, body)); err != nil {
		return answer{}, err
	}
	return w.hear()
}

func (w *wire) hear() (a answer, err error) {
	var head [13]byte
	if _, err := io.ReadFull(w.r, head[:]); err != nil {
		return a, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 9 || n > rpc.MaxFrame || 9+uint32(head[12]) > n {
		return a, fmt.Errorf("a frame of %d bytes", n)
	}
	rest := make([]byte, n-9)
	if _, err := io.ReadFull(w.r, rest); err != nil {
		return a, err
	}
	if a.wire = string(rest[:head[12]]); a.wire != "" {
		return a, nil
	}
	parts := bytes.Split(rest[head[12]:], []byte{0})
	a.documents = parts[1:]
	return a, json.Unmarshal(parts[0], &a)
}

// args are the arguments of a call, with what the caller would like to be
// believed about itself.
func args(t *testing.T, v any, from any) []byte {
	t.Helper()
	call := map[string]any{"timeout_ms": 20000, "args": v}
	if from != nil {
		call["from"] = from
	}
	b, err := json.Marshal(call)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantEnd waits for the other end to close the connection, and returns how long
// that took.
func wantEnd(t *testing.T, what string, conn net.Conn, within time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	conn.SetReadDeadline(begun.Add(within))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: the connection is still open after %s", what, within)
	}
	return time.Since(begun)
}

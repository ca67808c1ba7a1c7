package rpc

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The codec of net/rpc on our wire. A frame holds one call or one answer; what is
// larger goes over a stream. It is
//
//	length  uint32, big endian, of what follows
//	seq     uint64
//	method  one byte of length, then the name; in an answer the error of net/rpc itself
//	body    JSON; behind that of an answer, its documents
//
// JSON and not gob: its decoder allocates in proportion to its input, whoever sent it.
type codec struct {
	conn   net.Conn
	r      *bufio.Reader
	caller *Caller // whom the connection belongs to, at a server

	method  string // and body: of the frame whose header was read last
	body    []byte
	writing sync.Mutex
	calls   atomic.Int64 // under way, at a server
	idle    time.Duration

	mu   sync.Mutex
	took map[uint64]int64 // of the guest's room, by the calls under way
}

func newCodec(conn net.Conn, caller *Caller) *codec {
	c := &codec{conn: conn, r: bufio.NewReaderSize(conn, 32<<10), caller: caller}
	if caller != nil {
		c.idle, c.took = idleTimeout, map[uint64]int64{}
	}
	return c
}

// called is what a call's arguments know about their caller; the codec tells them.
type called interface {
	from(caller *Caller, method string)
}

func (c *codec) readFrame() (seq uint64, method string, err error) {
	if err := c.awaitFrame(); err != nil {
		return 0, "", err
	}
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, "", err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 9 || n > MaxFrame {
		return 0, "", fmt.Errorf("a frame of %d bytes; at most %d are allowed", n, MaxFrame)
	}
	end := time.Now().Add(frameTimeout)
	if err := c.until(end); err != nil {
		return 0, "", err
	}
	b, err := readAtMost(c.r, 9)
	if err != nil {
		return 0, "", err
	}
	seq = binary.BigEndian.Uint64(b)
	m := uint32(b[8])
	if 9+m > n || m > maxMethod && c.caller != nil {
		return 0, "", errors.New("a frame with a broken header")
	}
	name, err := readAtMost(c.r, int(m))
	if err != nil {
		return 0, "", err
	}
	asked := time.Now()
	if err := c.take(seq, string(name), int(n)); err != nil {
		return 0, "", err
	}
	if err := c.until(end.Add(time.Since(asked))); err != nil { // the wait was not the peer's fault
		c.give(seq)
		return 0, "", err
	}
	if c.body, err = readAtMost(c.r, int(n-9-m)); err != nil {
		c.give(seq)
	}
	return seq, string(name), err
}

// until gives the rest of a frame its time.
func (c *codec) until(end time.Time) error {
	if c.caller == nil {
		return nil
	}
	return c.conn.SetReadDeadline(end)
}

// take waits until there is room for a call of a guest, before the call is read.
func (c *codec) take(seq uint64, method string, frame int) error {
	if c.caller == nil || c.caller.guest == nil {
		return nil
	}
	c.mu.Lock()
	_, again := c.took[seq]
	c.mu.Unlock()
	if again {
		return fmt.Errorf("call %d is under way already", seq)
	}
	size := roomFor(method, frame)
	if err := c.caller.guest.take(c.caller.gone, size); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took[seq] = size
	return nil
}

// give returns what a call took.
func (c *codec) give(seq uint64) {
	if c.caller == nil || c.caller.guest == nil {
		return
	}
	c.mu.Lock()
	size := c.took[seq]
	delete(c.took, seq)
	c.mu.Unlock()
	c.caller.guest.give(size)
}

// readAtMost reads n bytes without allocating for more than have arrived.
func readAtMost(r io.Reader, n int) ([]byte, error) {
	const step = 64 << 10
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		m := min(n-len(b), step)
		at := len(b)
		b = append(b, make([]byte, m)...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// awaitFrame waits for the first byte of a frame; at a server not longer than
// the idle time, unless a call is under way.
func (c *codec) awaitFrame() error {
	for c.idle > 0 {
		if err := c.conn.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
			return err
		}
		_, err := c.r.Peek(1)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || c.calls.Load() == 0 {
			return err
		}
	}
	return nil
}

func (c *codec) writeFrame(seq uint64, method string, body any) error {
	b := make([]byte, 13, 1024)
	binary.BigEndian.PutUint64(b[4:], seq)
	if len(method) > 255 {
		method = method[:255]
	}
	b[12] = byte(len(method))
	b = append(b, method...)
	payload, err := encode(body)
	if err != nil {
		return err
	}
	b = append(b, payload...)
	if len(b)-4 > MaxFrame {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", errTooLarge, len(b)-4, MaxFrame)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if c.caller != nil {
		c.caller.guest.sent(len(b))
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err == nil {
		_, err = c.conn.Write(b)
	}
	if err != nil {
		c.conn.Close() // a part of it may be out: nothing after it could be understood
		if c.caller != nil && c.caller.leave != nil {
			c.caller.leave() // a call that waits for its turn would find out later
		}
	}
	if s, ok := body.(secret); ok && s.holdsSecret() {
		clear(payload)
		clear(b)
		s.wipe()
	}
	return err
}

// secret is a body that may hold what must not stay in memory longer than it
// takes to carry it. What encoding/json and the kernel copy is out of reach.
type secret interface {
	holdsSecret() bool
	wipe()
}

var errTooLarge = errors.New("too large for one message")

func (c *codec) Close() error { return c.conn.Close() }

// serverCodec implements rpc.ServerCodec.
type serverCodec struct{ *codec }

func (c serverCodec) ReadRequestHeader(r *rpc.Request) (err error) {
	if r.Seq, r.ServiceMethod, err = c.readFrame(); err != nil {
		c.caller.leave() // net/rpc itself would wait for the calls under way
		return err
	}
	c.method = r.ServiceMethod
	c.calls.Add(1)
	return nil
}

func (c serverCodec) ReadRequestBody(body any) error {
	if body == nil {
		return nil
	}
	if err := json.Unmarshal(c.body, body); err != nil {
		c.caller.server.unreadable(c.caller.By, c.method)
		return err
	}
	if call, ok := body.(called); ok {
		call.from(c.caller, c.method)
	}
	return nil
}

func (c serverCodec) WriteResponse(r *rpc.Response, body any) error {
	defer c.calls.Add(-1)
	defer c.give(r.Seq)
	if err := c.caller.gone.Err(); err != nil {
		return err // many answers may wait here for one that is gone
	}
	err := c.writeFrame(r.Seq, r.Error, body)
	if errors.Is(err, errTooLarge) {
		return c.writeFrame(r.Seq, err.Error(), struct{}{})
	}
	return err
}

// clientCodec implements rpc.ClientCodec. dead, if set, is told in a goroutine
// of its own when nothing more will come; answered, if set, of every answer.
type clientCodec struct {
	*codec
	dead     func()
	answered func(Stamp)
}

func (c clientCodec) WriteRequest(r *rpc.Request, body any) error {
	return c.writeFrame(r.Seq, r.ServiceMethod, body)
}

func (c clientCodec) ReadResponseHeader(r *rpc.Response) (err error) {
	r.Seq, r.Error, err = c.readFrame()
	if err != nil && c.dead != nil {
		go c.dead()
	}
	return err
}

func (c clientCodec) ReadResponseBody(body any) error {
	if body == nil {
		return nil
	}
	err := decode(c.body, body)
	if s, ok := body.(secret); ok && s.holdsSecret() {
		clear(c.body)
	}
	if s, ok := body.(stamped); ok && err == nil && c.answered != nil {
		c.answered(s.stamp())
	}
	return err
}

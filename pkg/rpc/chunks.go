package rpc

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// stalling gives each chunk that is read from a connection, and each write to it,
// a deadline of its own. Bytes that trickle do not prolong it.
type stalling struct{ net.Conn }

func (c stalling) pace() error { return c.SetReadDeadline(time.Now().Add(streamStall)) }

func (c stalling) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(streamStall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func writeChunk(w io.Writer, b []byte) error {
	head := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b)))
	_, err := w.Write(append(head, b...))
	return err
}

func readHead(r io.Reader, limit uint32) ([]byte, error) {
	if p, ok := r.(interface{ pace() error }); ok {
		if err := p.pace(); err != nil {
			return nil, err
		}
	}
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > limit {
		return nil, fmt.Errorf("a chunk of %d bytes; at most %d are allowed", n, limit)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeChunk(w, b)
}

func readJSON(r io.Reader, limit uint32, v any) error {
	b, err := readHead(r, limit)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// chunks reads an archive out of a stream, to its empty chunk.
type chunks struct {
	r      io.Reader
	left   []byte
	end    bool
	broken error  // what comes after it is no chunk
	whole  func() // is called at its end; may be nil
}

func (c *chunks) Read(p []byte) (int, error) {
	for len(c.left) == 0 {
		if c.end {
			return 0, io.EOF
		}
		if c.broken != nil {
			return 0, c.broken
		}
		b, err := readHead(c.r, chunkSize)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // only the empty chunk ends an archive
		}
		if err != nil {
			c.broken = err
			return 0, err
		}
		if c.left, c.end = b, len(b) == 0; c.end && c.whole != nil {
			c.whole()
		}
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// chunkWriter writes an archive into a stream. Close sends the empty chunk.
type chunkWriter struct{ w *bufio.Writer }

func newChunkWriter(w io.Writer) chunkWriter {
	return chunkWriter{bufio.NewWriterSize(chunked{w}, chunkSize)}
}

func (c chunkWriter) Write(p []byte) (int, error) { return c.w.Write(p) }

func (c chunkWriter) finish(to io.Writer) error {
	if err := c.w.Flush(); err != nil {
		return err
	}
	return writeChunk(to, nil)
}

type chunked struct{ w io.Writer }

func (c chunked) Write(p []byte) (int, error) {
	for at := 0; at < len(p); at += chunkSize {
		if err := writeChunk(c.w, p[at:min(at+chunkSize, len(p))]); err != nil {
			return at, err
		}
	}
	return len(p), nil
}

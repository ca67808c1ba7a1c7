package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/cpctl/cpctl/pkg/store"
)

// archiveWriter writes members into the tar stream. It remembers the sums of
// streams, of which there are at most two; those of documents are computed again.
type archiveWriter struct {
	blocks
	header  []byte
	streams map[string][]byte
	section section
	last    string
}

// add writes one member, if it is one that Read takes in this place.
func (a *archiveWriter) add(m *member) error {
	s, most, err := place(m.name)
	if err != nil {
		return store.Errorf(store.CodeInternal, "the state has a document at %q, which no snapshot can hold", m.name)
	}
	if s < a.section || s == a.section && m.name <= a.last {
		return store.Errorf(store.CodeInternal, "member %q is out of order", m.name)
	}
	size, err := m.size()
	if err != nil {
		return err
	}
	if size > most {
		return store.Errorf(store.CodeInternal, "member %q has %d bytes, at most %d are allowed", m.name, size, most)
	}
	a.section, a.last = s, m.name
	a.header = appendHeader(a.header[:0], m.name, size)
	if _, err := a.Write(a.header); err != nil {
		return err
	}
	start := a.n
	if err := a.content(m); err != nil {
		return err
	}
	if n := a.n - start; n != size {
		return store.Errorf(store.CodeInternal, "member %q came to %d bytes, not %d", m.name, n, size)
	}
	_, err = a.Write(zeroBlock[:padding(size)])
	return err
}

// content writes a member's bytes, and remembers the sum of a stream.
func (a *archiveWriter) content(m *member) error {
	if m.stream == nil {
		_, err := a.Write(m.bytes)
		return err
	}
	sum := sha256.New()
	if err := m.stream(io.MultiWriter(a, sum)); err != nil {
		return err
	}
	if a.streams == nil {
		a.streams = map[string][]byte{}
	}
	a.streams[m.name] = sum.Sum(nil)
	return nil
}

// finish writes the sums and the end of the archive.
func (a *archiveWriter) finish(img *store.Image, manifest []byte) error {
	sums := member{name: sumsName, stream: func(w io.Writer) error { return a.writeSums(w, img, manifest) }}
	if err := a.add(&sums); err != nil {
		return err
	}
	for range 2 {
		if _, err := a.Write(zeroBlock[:]); err != nil {
			return err
		}
	}
	return a.flush()
}

// writeSums writes a line for every member. For a writer that only counts, the
// sums themselves are not computed.
func (a *archiveWriter) writeSums(w io.Writer, img *store.Image, manifest []byte) error {
	_, counting := w.(*counter)
	var line []byte
	for m, err := range members(img, manifest) {
		if err != nil {
			return err
		}
		sum := a.streams[m.name]
		if sum == nil {
			var s [sha256.Size]byte
			if !counting {
				s = sha256.Sum256(m.bytes)
			}
			sum = s[:]
		}
		line = appendSum(line[:0], sum, m.name)
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// appendSum appends a line as sha256sum(1) writes it.
func appendSum(b, sum []byte, name string) []byte {
	b = hex.AppendEncode(b, sum)
	b = append(b, "  "...)
	b = append(b, name...)
	return append(b, '\n')
}

// blocks hands on what it gets in blocks of one size, whatever the sizes of the
// writes, so that the compressed bytes depend on the content alone.
type blocks struct {
	w   io.Writer
	buf bytes.Buffer
	n   int64 // bytes taken
}

const packBlock = 64 << 10

func (b *blocks) Write(p []byte) (int, error) {
	n := len(p)
	b.n += int64(n)
	for len(p) > 0 {
		part := p[:min(len(p), packBlock-b.buf.Len())]
		b.buf.Write(part)
		if p = p[len(part):]; b.buf.Len() == packBlock {
			if err := b.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (b *blocks) flush() error {
	_, err := b.w.Write(b.buf.Bytes())
	b.buf.Reset()
	return err
}

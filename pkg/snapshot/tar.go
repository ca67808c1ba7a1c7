package snapshot

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The tar of an archive is the subset of POSIX.1-2017 (pax) that regular files
// with fixed metadata need. A header is a function of name and size only, which
// lets the reader compare whole headers instead of judging their fields: links,
// devices, directories, owners, modes, times and foreign PAX records all fail
// the one comparison.

const (
	blockSize = 512
	shortName = 100       // bytes of a name that fit a header
	maxName   = 512       // bytes of a member's name
	maxSize   = 1<<33 - 1 // bytes of a member: eleven octal digits
	paxName   = "././@PaxHeader"
)

var zeroBlock [blockSize]byte

// appendHeader appends the header of a regular member: one block, or three for
// a name that needs a PAX record.
func appendHeader(b []byte, name string, size int64) []byte {
	if len(name) <= shortName {
		return appendBlock(b, name, size, '0')
	}
	record := paxRecord(name)
	b = appendBlock(b, paxName, int64(len(record)), 'x')
	b = append(b, record...)
	b = append(b, zeroBlock[:padding(int64(len(record)))]...)
	return appendBlock(b, name[:shortName], size, '0')
}

// appendBlock appends one ustar header block.
func appendBlock(b []byte, name string, size int64, flag byte) []byte {
	b = append(b, zeroBlock[:]...)
	h := b[len(b)-blockSize:]
	copy(h[0:100], name)
	copy(h[100:], "0000600\x00") // mode
	copy(h[108:], "0000000\x00") // uid
	copy(h[116:], "0000000\x00") // gid
	copy(h[124:], fmt.Sprintf("%011o\x00", size))
	copy(h[136:], "00000000000\x00") // mtime
	copy(h[148:], "        ")        // the checksum is taken over blanks
	h[156] = flag
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "0000000\x00") // devmajor
	copy(h[337:], "0000000\x00") // devminor
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// paxRecord is "<length> path=<name>\n", the length counting its own digits.
func paxRecord(name string) string {
	rest := " path=" + name + "\n"
	n := len(rest)
	for len(rest)+len(strconv.Itoa(n)) != n {
		n = len(rest) + len(strconv.Itoa(n))
	}
	return strconv.Itoa(n) + rest
}

// padding is how many zero bytes follow size bytes to the end of the block.
func padding(size int64) int64 { return -size & (blockSize - 1) }

// tarReader reads what appendHeader and the writer make. Its errors stay.
type tarReader struct {
	r    io.Reader
	left int64 // of the current member, not read yet
	pad  int64 // after the current member
	err  error
	head []byte // scratch: the header as read
	want []byte // scratch: the header as it must be
}

// next goes to the next member; io.EOF after the end of the archive, when the
// stream ends there too.
func (t *tarReader) next() (name string, size int64, err error) {
	if t.err == nil {
		name, size, t.err = t.header()
		t.left, t.pad = size, padding(size)
	}
	return name, size, t.err
}

func (t *tarReader) header() (string, int64, error) {
	t.head = t.head[:0]
	if err := t.block(); err != nil {
		return "", 0, err
	}
	if [blockSize]byte(t.head) == zeroBlock {
		return "", 0, t.end()
	}
	name := cString(t.head[:shortName])
	if t.head[156] == 'x' {
		record, err := t.pax()
		if err != nil {
			return "", 0, err
		}
		name = record
	}
	h := t.head[len(t.head)-blockSize:]
	switch flag := h[156]; flag {
	case '0':
	case '1', '2':
		return "", 0, damaged("member %q is a link", name)
	case '3', '4', '6':
		return "", 0, damaged("member %q is a device", name)
	case '5':
		return "", 0, damaged("member %q is a directory", name)
	default:
		return "", 0, damaged("member %q is of tar type %q", name, flag)
	}
	size, err := strconv.ParseInt(cString(h[124:136]), 8, 64)
	if err != nil || size < 0 || size > maxSize {
		return "", 0, damaged("member %q has no size", name)
	}
	if t.want = appendHeader(t.want[:0], name, size); string(t.want) != string(t.head) {
		return "", 0, damaged("the tar header of member %q is not as cpctl writes it", name)
	}
	return name, size, nil
}

// pax reads the record that follows an extended header, and the header after
// it. It checks no more than it needs to: the comparison of the headers does.
func (t *tarReader) pax() (string, error) {
	size, err := strconv.ParseInt(cString(t.head[124:136]), 8, 64)
	if err != nil || size < 1 || size > maxName+16 {
		return "", damaged("a PAX header is not as cpctl writes it")
	}
	for range (size + padding(size)) / blockSize {
		if err := t.block(); err != nil {
			return "", err
		}
	}
	record := string(t.head[blockSize : blockSize+size])
	_, name, ok := strings.Cut(record, " path=")
	name, ended := strings.CutSuffix(name, "\n")
	if !ok || !ended || len(name) <= shortName || len(name) > maxName || paxRecord(name) != record {
		return "", damaged("PAX record %q is not as cpctl writes it", record)
	}
	return name, t.block()
}

// block reads one more block of the header.
func (t *tarReader) block() error {
	n := len(t.head)
	t.head = append(t.head, zeroBlock[:]...)
	_, err := io.ReadFull(t.r, t.head[n:])
	return whole(err)
}

// end reads the second zero block and makes sure that nothing follows.
func (t *tarReader) end() error {
	t.head = t.head[:0]
	if err := t.block(); err != nil {
		return err
	}
	if [blockSize]byte(t.head) != zeroBlock {
		return damaged("the archive goes on after its end")
	}
	switch n, err := io.ReadFull(t.r, t.head[:1]); {
	case n > 0:
		return damaged("the archive goes on after its end")
	case err != io.EOF:
		return err
	}
	return io.EOF
}

// Read reads the current member.
func (t *tarReader) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	if t.left == 0 {
		return 0, t.close()
	}
	n, err := t.r.Read(p[:min(int64(len(p)), t.left)])
	if t.left -= int64(n); err == io.EOF && t.left+t.pad == 0 {
		err = nil // the gzip stream may end with the archive's last byte only; next finds out
	}
	if t.err = whole(err); t.err != nil {
		return n, t.err
	}
	return n, nil
}

// close reads the padding of the current member, once; io.EOF if it is right.
func (t *tarReader) close() error {
	t.head = append(t.head[:0], zeroBlock[:t.pad]...)
	t.pad = 0
	if _, err := io.ReadFull(t.r, t.head); err != nil {
		t.err = whole(err)
		return t.err
	}
	for _, c := range t.head {
		if c != 0 {
			t.err = damaged("the padding after a member is not zero")
			return t.err
		}
	}
	return io.EOF
}

// whole turns an end of the stream that came too early into what it is.
func whole(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// cString is the text up to the first zero byte.
func cString(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

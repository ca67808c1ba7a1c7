package audit

import (
	"bytes"
	"io"

	"golang.org/x/sys/unix"
)

// tail is the end of a file.
type tail struct {
	last *Line // the last good line, nil if there is none
	end  int64 // behind it
}

// tailBytes are looked at first: what 100 ms leave unsynced, at a usual rate.
const tailBytes = 64 << 10

// readTail finds the last line up to which a file is good, as far as its end can
// tell: from the first good line in a window, the longest run of which each bears
// the hash of the one before. Without one the window grows.
func readTail(fd int, size int64) (tail, error) {
	for window := int64(tailBytes); ; window *= 2 {
		start := max(size-window, 0)
		b := make([]byte, size-start)
		if err := readAt(fd, b, start); err != nil {
			return tail{}, err
		}
		at := start
		if start > 0 { // in the middle of a line
			skip := bytes.IndexByte(b, '\n') + 1
			b, at = b[skip:], at+int64(skip)
			if skip == 0 {
				b = nil
			}
		}
		if t := run(b, at); t.last != nil || start == 0 {
			return t, nil
		}
	}
}

// run follows the chain from the beginning of b, which stands at an offset.
func run(b []byte, at int64) tail {
	t := tail{end: at}
	for {
		n := bytes.IndexByte(b, '\n')
		if n < 0 {
			return t
		}
		line, err := readLine(b[:n])
		if err != nil || t.last != nil && (line.Seq != t.last.Seq+1 || line.Prev != t.last.Hash) {
			return t
		}
		t.last, t.end = line, t.end+int64(n)+1
		b = b[n+1:]
	}
}

// firstOf is the seq of the first line of a file, or the one given if that line
// cannot be read.
func firstOf(fd int, otherwise uint64) uint64 {
	b := make([]byte, tailBytes)
	n, err := unix.Pread(fd, b, 0)
	if err != nil || n <= 0 {
		return otherwise
	}
	line, _, _ := bytes.Cut(b[:n], []byte("\n"))
	if l, err := readLine(line); err == nil {
		return l.Seq
	}
	return otherwise
}

// readAt fills b from an offset.
func readAt(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pread(fd, b, at)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			b, at = b[n:], at+int64(n)
		}
	}
	return nil
}

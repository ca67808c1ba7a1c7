package audit

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Cursor is where a reader has come to. The zero value is the beginning; File
// and Offset only spare the way to the line behind Seq.
type Cursor struct {
	Seq    uint64 `json:"seq"`    // of the last line that was read
	File   uint64 `json:"file"`   // first line of its file
	Offset int64  `json:"offset"` // behind it
}

// Page is some lines as they stand in the files, the oldest first.
type Page struct {
	Lines   []string `json:"lines"`
	Next    Cursor   `json:"next"`
	More    bool     `json:"more"`    // there are more by now
	Damaged int      `json:"damaged"` // lines that were left out since they are none
}

// Read returns the lines behind a cursor that are not older than a time, up to
// so many bytes and one line.
func (l *Log) Read(c Cursor, since time.Time, most int) (*Page, error) {
	p := &Page{Lines: []string{}, Next: c}
	for size := 0; ; {
		part, err := l.part(p.Next)
		if err != nil || part == nil {
			return p, err
		}
		full, err := p.fill(part, since, most, &size)
		part.f.Close()
		switch {
		case err != nil:
			return p, err
		case full:
			p.More = true
			return p, nil
		case part.last:
			return p, nil
		}
		p.Next = Cursor{Seq: max(p.Next.Seq, part.until), File: part.until + 1}
	}
}

// End is the cursor behind the last line.
func (l *Log) End() Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Cursor{Seq: l.seq, File: l.first, Offset: l.size}
}

// part is a file to be read.
type part struct {
	f     *os.File
	first uint64
	until uint64 // seq of its last line, of a finished one
	size  int64
	last  bool // it is the newest
}

// part opens the file with the line behind a cursor, or the next one that is
// still there; nil if no line is.
func (l *Log) part(c Cursor) (*part, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range l.old {
		next := l.first
		if i+1 < len(l.old) {
			next = l.old[i+1].first
		}
		if next == 0 { // the newest has no line yet
			next = l.seq + 1
		}
		if next <= c.Seq+1 {
			continue
		}
		return l.openPart(oldName(f.first), &part{first: f.first, until: next - 1, size: f.size})
	}
	if l.first == 0 || c.Seq >= l.seq {
		return nil, nil
	}
	return l.openPart(current, &part{first: l.first, size: l.size, last: true})
}

func (l *Log) openPart(name string, p *part) (*part, error) {
	var err error
	if p.f, err = os.Open(filepath.Join(l.opts.Dir, name)); err != nil {
		return nil, err
	}
	return p, nil
}

// fill adds the lines of a file to a page and reports whether it is full.
func (p *Page) fill(from *part, since time.Time, most int, size *int) (full bool, err error) {
	if st, err := from.f.Stat(); err == nil && !from.last && st.ModTime().Before(since) {
		return false, nil // it was finished before
	}
	at, hint := int64(0), p.Next.File == from.first && p.Next.Offset > 0 && p.Next.Offset <= from.size
	if hint {
		at = p.Next.Offset
	}
	r := bufio.NewReaderSize(io.NewSectionReader(from.f, at, from.size-at), maxLine)
	for {
		b, err := r.ReadSlice('\n')
		at += int64(len(b))
		if errors.Is(err, bufio.ErrBufferFull) { // longer than any line
			p.Damaged++
			for errors.Is(err, bufio.ErrBufferFull) {
				b, err = r.ReadSlice('\n')
				at += int64(len(b))
			}
			b = nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if b == nil {
			continue
		}
		line, err := readLine(b[:len(b)-1])
		if hint && (err != nil || line.Seq != p.Next.Seq+1) { // the cursor was made up
			p.Next.Offset = 0
			return p.fill(from, since, most, size)
		}
		hint = false
		if err != nil {
			p.Damaged++
			continue
		}
		if line.Seq <= p.Next.Seq {
			continue
		}
		if line.Time.Before(since) {
			p.Next = Cursor{line.Seq, from.first, at}
			continue
		}
		if *size >= most {
			return true, nil
		}
		p.Lines = append(p.Lines, string(b[:len(b)-1]))
		p.Next = Cursor{line.Seq, from.first, at}
		*size += len(b)
	}
}

package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// Report is what Verify found.
type Report struct {
	Files     int       `json:"files"`
	Lines     uint64    `json:"lines"`
	First     uint64    `json:"first"` // seq of the first line that is kept
	Last      uint64    `json:"last"`
	From      time.Time `json:"from,omitzero"`
	To        time.Time `json:"to,omitzero"`
	Hash      string    `json:"hash"`      // of the last line: it stands for all before it
	Recovered int       `json:"recovered"` // times that the end was cut off after a crash
	Lost      int       `json:"lost"`      // times that lines could not be written
	Torn      int64     `json:"torn"`      // bytes of a last line that a crash has left; the next start cuts them off
	Fault     *Fault    `json:"fault"`     // the first one, null if the chain is whole
}

// Fault is where a chain breaks.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // in the file, from 1
	Problem string `json:"problem"`
}

// Verify follows the chain of the files below a directory from the first line
// that is kept to the last one. It finds a line that was changed, taken out, put
// in or moved. It cannot find that lines are missing at the end, or the oldest
// files, nor that somebody who may write here has made the whole chain anew:
// against that help the lines that were sent elsewhere meanwhile, and their hashes.
func Verify(dir string) (*Report, error) {
	old, err := listOld(dir)
	if err != nil {
		return nil, err
	}
	var parts []*part
	defer func() {
		for _, p := range parts {
			p.f.Close()
		}
	}()
	names := make([]string, 0, len(old)+1)
	for _, f := range old {
		names = append(names, oldName(f.first))
	}
	for i, name := range append(names, current) {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && i == len(old) && i > 0 { // a crash between finishing one and beginning the next
			continue
		}
		if err != nil {
			return nil, err
		}
		p := &part{f: f, last: i == len(old)}
		parts = append(parts, p)
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if p.size = st.Size(); !p.last {
			p.first = old[i].first
		}
	}
	return verify(parts)
}

// Verify does so for an open log, up to the line that is the last one now.
func (l *Log) Verify() (*Report, error) {
	parts, err := l.parts()
	defer func() {
		for _, p := range parts {
			p.f.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	return verify(parts)
}

// parts opens all files, so that none is deleted on the way.
func (l *Log) parts() (parts []*part, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return nil, store.Errorf(store.CodeUnavailable, "the audit log %s is not open: %v", l.Path(), l.failure)
	}
	for _, f := range l.old {
		p, err := l.openPart(oldName(f.first), &part{first: f.first, size: f.size})
		if err != nil {
			return parts, err
		}
		parts = append(parts, p)
	}
	p, err := l.openPart(current, &part{first: l.first, size: l.size, last: true})
	if err != nil {
		return parts, err
	}
	return append(parts, p), nil
}

func verify(parts []*part) (*Report, error) {
	r := new(Report)
	for _, p := range parts {
		r.Files++
		if err := r.follow(p); err != nil || r.Fault != nil {
			return r, err
		}
	}
	return r, nil
}

// follow goes on with one file.
func (r *Report) follow(p *part) error {
	in := bufio.NewReaderSize(io.NewSectionReader(p.f, 0, p.size), maxLine)
	name := filepath.Base(p.f.Name())
	for n := 1; ; n++ {
		fault := func(format string, args ...any) error {
			r.Fault = &Fault{File: name, Line: n, Problem: fmt.Sprintf(format, args...)}
			return nil
		}
		b, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return fault("%v", errNoLine)
		case errors.Is(err, io.EOF) && len(b) == 0:
			if n == 1 && !p.last {
				return fault("the file is empty")
			}
			return nil
		case errors.Is(err, io.EOF) && p.last:
			r.Torn = int64(len(b))
			return nil
		case errors.Is(err, io.EOF):
			return fault("the line has no end")
		case err != nil:
			return err
		}
		line, err := readLine(b[:len(b)-1])
		switch {
		case err != nil:
			return fault("%v", err)
		case n == 1 && p.first != 0 && line.Seq != p.first:
			return fault("the file should begin with line %d and begins with %d", p.first, line.Seq)
		case r.Lines == 0 && line.Seq == 1 && line.Prev != "":
			return fault("the first line of all follows another one")
		case r.Lines > 0 && line.Seq != r.Last+1:
			return fault("line %d follows line %d", line.Seq, r.Last)
		case r.Lines > 0 && line.Prev != r.Hash:
			return fault("line %d does not follow from line %d: one of them was replaced", line.Seq, r.Last)
		}
		if r.Lines++; r.Lines == 1 {
			r.First, r.From = line.Seq, line.Time
		}
		r.Last, r.To, r.Hash = line.Seq, line.Time, line.Hash
		switch line.Type {
		case TypeRecovered:
			r.Recovered++
		case TypeLost:
			r.Lost++
		}
	}
}

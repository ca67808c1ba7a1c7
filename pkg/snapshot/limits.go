package snapshot

import (
	"io"

	"github.com/cpctl/cpctl/pkg/mutation"
)

// Limits bound what reading an archive may cost. The zero value is the defaults.
type Limits struct {
	Total    int64  // unpacked bytes of the whole archive; 16 GiB if zero
	Member   int64  // bytes of one member; 4 GiB if zero (documents have bounds of their own)
	Members  int    // how many members; 2,000,000 if zero
	Ratio    int64  // unpacked bytes for each packed one, beyond the first 64 MiB; 1,000 if zero
	MaxLevel uint32 // newest level of rules that the caller can read; mutation.Level if zero

	floor int64 // unpacked bytes before their ratio counts; 64 MiB if zero
}

// Bounds of single things inside an archive, in bytes. They cannot be reached by
// what the rules let into a state, except the first: a record may quote a
// refusal that lists many names.
const (
	maxLine      = 4 << 20  // a line of the request table
	maxSystemDoc = 64 << 20 // a document below system/
	maxOwnMember = 1 << 20  // manifest.json, system/counters.json
)

// withDefaults fills in what is zero. A ratio of 1,000 is below the 1,032 that a
// DEFLATE stream of equal bytes comes to, and above what a state can: each of
// its documents (at most 64 KiB, a keyset 128) has a tar header, a unique name,
// identifiers and times of its own.
func (l Limits) withDefaults() Limits {
	if l.Total == 0 {
		l.Total = 16 << 30
	}
	if l.Member == 0 {
		l.Member = 4 << 30
	}
	if l.Members == 0 {
		l.Members = 2_000_000
	}
	if l.Ratio == 0 {
		l.Ratio = 1000
	}
	if l.floor == 0 {
		l.floor = 64 << 20
	}
	if l.MaxLevel == 0 {
		l.MaxLevel = mutation.Level
	}
	return l
}

// source counts and hashes the archive's own bytes, and keeps an error of the
// reader below apart from damage.
type source struct {
	r   io.Reader
	sum io.Writer
	n   int64
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	s.sum.Write(p[:n])
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// unpacked counts what comes out of gzip and ends it at a limit.
type unpacked struct {
	r   io.Reader
	src *source
	lim Limits
	n   int64
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	u.n += int64(n)
	if u.n > u.lim.Total {
		return n, damaged("the archive unpacks to more than %d bytes", u.lim.Total)
	}
	if u.n > u.lim.floor && u.n/u.src.n > u.lim.Ratio {
		return n, damaged("the archive unpacks to more than %d times its size", u.lim.Ratio)
	}
	return n, err
}

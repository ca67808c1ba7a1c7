package store

import (
	"encoding/hex"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/tidwall/btree"
)

// How long, in command time, and how many requests are remembered at most. A
// retry within both gets the first answer. What is older than RequestMemory is
// refused unless it is remembered; records are kept longer than that, since the
// age of a retry is told by its caller's clock and the next leader's clock may
// be ahead of the last one's.
const (
	RequestMemory = Time(10 * time.Minute / time.Microsecond)
	MaxRequests   = 500_000

	recordsKept   = 2 * RequestMemory
	horizonMargin = Time(10 * time.Second / time.Microsecond) // the way of a retry to the leader
)

// maxRecordNames bounds what a record keeps of the names a command changed.
const maxRecordNames = 16

// Record remembers one command by its request id: what was asked, and a short
// form of the answer.
type Record struct {
	Sequence uint64        `json:"sequence"`
	ID       string        `json:"id"`
	Digest   RequestDigest `json:"digest"` // of the request as the caller sent it
	Time     Time          `json:"time"`   // of the command
	Op       string        `json:"op"`     // what was asked for, such as client.create
	Index    uint64        `json:"index"`
	Revision uint64        `json:"revision"`
	Names    []string      `json:"names,omitempty"` // client/acme/web ..., the first few
	Total    int           `json:"total,omitempty"` // how many there were, if more than Names; of a restore, which has no Names
	Refusal  *Error        `json:"refusal,omitempty"`

	sum Digest
}

// RequestDigest is a keyed SHA-256 of a request; its JSON is hex.
type RequestDigest [32]byte

func (d RequestDigest) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, d[:]), nil
}

func (d *RequestDigest) UnmarshalText(b []byte) error {
	if len(b) != 2*len(d) {
		return fmt.Errorf("request digest of %d digits", len(b))
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// wordless returns the record with nothing of a refusal but its class: a later
// build may say the same in other words, and states that are equal must have
// equal digests.
func (r *Record) wordless() *Record {
	if r.Refusal == nil {
		return r
	}
	c := *r
	c.Refusal = &Error{Code: r.Refusal.Code}
	return &c
}

// term is what the record adds to the digest of the state, by the line of its
// wordless form.
func (r *Record) term(line []byte) Digest { return term("system/requests/"+r.ID, line) }

// markless reports whether encoding/json writes a string as it is.
func markless(s string) bool { return plainText(s) && !strings.ContainsAny(s, "<>&") }

// requestTable is the records in the order of their commands, and by id.
type requestTable struct {
	byID  btree.Map[string, *Record]
	bySeq btree.Map[uint64, *Record]
}

func (t *requestTable) fork() requestTable {
	return requestTable{byID: *t.byID.Copy(), bySeq: *t.bySeq.Copy()}
}

// Request returns what is remembered of a request id, nil if nothing is.
func (s *state) Request(id string) *Record {
	r, _ := s.requests.byID.Get(id)
	return r
}

// Requests yields all records in the order of their commands.
func (s *state) Requests() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		s.requests.bySeq.Scan(func(_ uint64, r *Record) bool { return yield(r) })
	}
}

// Remember adds a record, moves the time of the state up to the record's, and
// forgets what is older or more than the table may hold.
func (t *Tx) Remember(r Record) {
	if t.trial {
		return
	}
	r.Sequence = t.counters.Sequence
	t.counters.Sequence++
	if len(r.Names) > maxRecordNames {
		r.Total, r.Names = len(r.Names), r.Names[:maxRecordNames]
	}
	if r.Refusal != nil {
		short := *r.Refusal
		short.Fields = nil
		r.Refusal = &short
	}
	t.counters.Time = max(t.counters.Time, r.Time)
	r.sum = r.term(r.wordless().Line())
	t.LoadRecord(&r)
	for {
		_, oldest, ok := t.requests.bySeq.Min()
		if !ok || (oldest.Time+recordsKept >= t.counters.Time && t.requests.bySeq.Len() <= MaxRequests) {
			return
		}
		t.requests.bySeq.Delete(oldest.Sequence)
		t.requests.byID.Delete(oldest.ID)
		t.all.sub(oldest.sum)
		t.counters.Horizon = max(t.counters.Horizon, oldest.Time+horizonMargin)
	}
}

// LoadRecord adds a record as it was read from an archive. It forgets none.
func (t *Tx) LoadRecord(r *Record) {
	t.requests.bySeq.Set(r.Sequence, r)
	t.requests.byID.Set(r.ID, r)
	t.all.add(r.sum)
}

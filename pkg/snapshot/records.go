package snapshot

import (
	"bytes"
	"fmt"
	"io"

	"github.com/cpctl/cpctl/pkg/store"
)

// pendingRecord is a line of the request table on its way to the state.
type pendingRecord struct {
	number int
	line   []byte
	record *store.Record
	err    error
}

func (p *pendingRecord) judge() { p.record, p.err = store.ReadRecord(p.line) }

// takeRequests takes the request table. Its records are in the order of their
// sequence, which ends below the next one of the counters.
func (rd *reader) takeRequests(body io.Reader) error {
	count := 0
	for line, err := range lines(body) {
		if err != nil {
			return err
		}
		if count == store.MaxRequests {
			return fmt.Errorf("more than %d records", store.MaxRequests)
		}
		if err := rd.records.take(&pendingRecord{number: count, line: bytes.Clone(line)}, len(line)); err != nil {
			return err
		}
		count++
	}
	return rd.records.finish()
}

func (rd *reader) loadRecord(p *pendingRecord) error {
	if p.err != nil {
		return fmt.Errorf("record %d: %w", p.number, p.err)
	}
	c := rd.tx.Counters()
	switch r := p.record; {
	case r.Sequence < rd.recorded || r.Sequence >= c.Sequence:
		return fmt.Errorf("record %q has sequence %d out of order", r.ID, r.Sequence)
	case rd.tx.Request(r.ID) != nil:
		return fmt.Errorf("request %q is there twice", r.ID)
	case store.CheckRequestID(r.ID) != nil:
		return fmt.Errorf("request id %q is not valid", r.ID)
	case r.Time > c.Time:
		return fmt.Errorf("request %q is later than the last command", r.ID)
	}
	rd.tx.LoadRecord(p.record)
	rd.recorded = p.record.Sequence + 1
	return nil
}

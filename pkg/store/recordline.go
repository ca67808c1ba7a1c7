package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"
)

// Line returns the record as one line of JSON, its form in archives.
func (r *Record) Line() []byte {
	if b := r.plainLine(); b != nil {
		return b
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // plain strings and numbers
	}
	return append(b, '\n')
}

// ReadRecord reads what Line wrote, and refuses everything else. It keeps nothing
// of the line.
func ReadRecord(line []byte) (*Record, error) {
	if r, ok := readPlainLine(line); ok && bytes.Equal(r.plainLine(), line) {
		r.sum = r.term(line)
		return r, nil
	}
	r := new(Record)
	if err := unmarshal(line, r); err != nil {
		return nil, err
	}
	if !bytes.Equal(r.Line(), append(bytes.TrimSuffix(line, []byte("\n")), '\n')) {
		return nil, fmt.Errorf("request record %q is not in canonical form", r.ID)
	}
	r.sum = r.term(r.wordless().Line())
	return r, nil
}

// plainLine is Line of a record with nothing to escape, as nearly all are; nil for
// others. Every node makes one for every command, in the bytes of encoding/json.
func (r *Record) plainLine() []byte {
	if r.Refusal != nil || !markless(r.ID) || !markless(r.Op) || slices.ContainsFunc(r.Names, func(s string) bool { return !markless(s) }) {
		return nil
	}
	b := append(make([]byte, 0, 320), `{"sequence":`...)
	b = strconv.AppendUint(b, r.Sequence, 10)
	b = append(append(append(b, `,"id":"`...), r.ID...), `","digest":"`...)
	b = append(hex.AppendEncode(b, r.Digest[:]), `","time":`...)
	if r.Time == 0 {
		b = append(b, "null"...)
	} else {
		b = append(r.Time.Std().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
	}
	b = append(append(append(b, `,"op":"`...), r.Op...), `","index":`...)
	b = append(strconv.AppendUint(b, r.Index, 10), `,"revision":`...)
	b = strconv.AppendUint(b, r.Revision, 10)
	for i, name := range r.Names {
		if i == 0 {
			b = append(b, `,"names":["`...)
		} else {
			b = append(b, `","`...)
		}
		b = append(b, name...)
	}
	if len(r.Names) > 0 {
		b = append(b, `"]`...)
	}
	if r.Total != 0 {
		b = strconv.AppendInt(append(b, `,"total":`...), int64(r.Total), 10)
	}
	return append(b, "}\n"...)
}

// readPlainLine is the inverse of plainLine. It reports false for what it does not know at once. What it accepts may still be
// another line than plainLine makes of it: that is for the caller to see.
func readPlainLine(line []byte) (*Record, bool) {
	c := cutter{rest: line, ok: true}
	r := new(Record)
	r.Sequence = c.number(`{"sequence":`, `,"id":"`)
	r.ID = string(c.until(`","digest":"`))
	c.ok = c.ok && r.Digest.UnmarshalText(c.until(`","time":`)) == nil
	c.ok = c.ok && r.Time.UnmarshalJSON(c.until(`,"op":"`)) == nil
	r.Op = unique.Make(string(c.until(`","index":`))).Value() // one of few
	r.Index = c.number(``, `,"revision":`)
	tail := `}` + "\n"
	total := bytes.Contains(c.rest, []byte(`,"total":`))
	if total {
		tail = `,"total":`
	}
	if names := []byte(`,"names":["`); bytes.Contains(c.rest, names) {
		r.Revision = c.number(``, string(names))
		r.Names = strings.Split(string(c.until(`"]`+tail)), `","`)
	} else {
		r.Revision = c.number(``, tail)
	}
	if total {
		r.Total = int(c.number(``, `}`+"\n"))
	}
	return r, c.ok && len(c.rest) == 0
}

// cutter takes the parts of a line one after another, as long as it is ok.
type cutter struct {
	rest []byte
	ok   bool
}

// until takes what comes before a mark, and the mark.
func (c *cutter) until(mark string) []byte {
	part, rest, found := bytes.Cut(c.rest, []byte(mark))
	if c.ok = c.ok && found; !c.ok {
		return nil
	}
	c.rest = rest
	return part
}

// number takes the number between two marks.
func (c *cutter) number(before, mark string) uint64 {
	rest, found := bytes.CutPrefix(c.rest, []byte(before))
	c.rest, c.ok = rest, c.ok && found
	n, err := strconv.ParseUint(string(c.until(mark)), 10, 64)
	c.ok = c.ok && err == nil
	return n
}

package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// remembered are the ids of the table, in their order.
func remembered(tx *Tx) (ids []string) {
	for r := range tx.Requests() {
		ids = append(ids, r.ID)
	}
	return ids
}

// kept is how long a record outlives its command: twice as long as a retry may
// come late.
const kept = 2 * RequestMemory

func TestRequestsAreForgottenAfterTwentyMinutesOfCommandTime(t *testing.T) {
	const second = Time(1_000_000)
	for _, c := range []struct {
		fact    string
		later   Time // of the last command, after the first at 1000
		want    []string
		horizon Time
	}{
		{"keeps both at once", 0, []string{"a", "b", "last"}, 0},
		{"keeps one beyond the time in which it may be asked for", RequestMemory + 1, []string{"a", "b", "last"}, 0},
		{"keeps one for the whole twenty minutes", kept, []string{"a", "b", "last"}, 0},
		{"forgets it a microsecond later", kept + 1, []string{"b", "last"}, 1000 + 10*second},
		{"forgets all that are older", kept + 501, []string{"last"}, 1500 + 10*second},
	} {
		tx := NewImage().Begin()
		empty := tx.all
		for _, r := range []Record{{ID: "a", Time: 1000}, {ID: "b", Time: 1500}, {ID: "last", Time: 1000 + c.later}} {
			tx.Remember(r)
		}
		if got := remembered(tx); !slices.Equal(got, c.want) {
			t.Errorf("%s: remembered %v, want %v", c.fact, got, c.want)
		}
		for _, id := range []string{"a", "b", "last"} {
			if got := tx.Request(id) != nil; got != slices.Contains(c.want, id) {
				t.Errorf("%s: Request(%q) found = %v", c.fact, id, got)
			}
		}
		if got := tx.Counters(); got.Horizon != c.horizon || got.Sequence != 3 || got.Time != max(1500, 1000+c.later) {
			t.Errorf("%s: counters %+v, want horizon %d, sequence 3", c.fact, got, c.horizon)
		}
		var sum Digest
		for r := range tx.Requests() {
			sum.add(r.sum)
		}
		if tx.all.sub(empty); tx.all != sum {
			t.Errorf("%s: the state digest has %s for the table, want %s", c.fact, tx.all, sum)
		}
	}
}

// full is a table of the most requests, all of one moment. Only those at its
// ends are there by their id: 500,000 whole records would take seconds.
func full(at Time) *Tx {
	tx := NewImage().Begin()
	records := make([]Record, MaxRequests)
	for i := range records {
		records[i].Sequence, records[i].Time = uint64(i), at
		tx.requests.bySeq.Load(uint64(i), &records[i])
	}
	for _, i := range []int{0, 1, 2, MaxRequests - 1} {
		records[i].ID = fmt.Sprintf("r%d", i)
		tx.requests.byID.Set(records[i].ID, &records[i])
	}
	tx.SetCounters(Counters{Time: at, Sequence: MaxRequests})
	return tx
}

func TestNoMoreThanTheLastHalfMillionRequestsAreRemembered(t *testing.T) {
	const at = Time(1 << 50)
	tx := full(at)
	tx.Remember(Record{ID: "new", Time: at + 1})
	if n := tx.requests.bySeq.Len(); n != MaxRequests {
		t.Errorf("%d requests are remembered, want %d", n, MaxRequests)
	}
	if tx.Request("r0") != nil || tx.Request("r1") == nil || tx.Request("new") == nil || tx.Request(fmt.Sprintf("r%d", MaxRequests-1)) == nil {
		t.Error("not the oldest one was forgotten, and it alone")
	}
	if got := tx.Counters(); got.Horizon <= at || got.Sequence != MaxRequests+1 {
		t.Errorf("counters %+v, want the horizon above %d: the table no longer reaches back to that", got, at)
	}
	tx.Remember(Record{ID: "late", Time: at + kept + 1}) // and all of them by their age
	if got := remembered(tx); !slices.Equal(got, []string{"new", "late"}) {
		t.Errorf("remembered %d requests, want new and late", len(got))
	}
}

// TestALineIsThatOfTheLibrary: nodes of two builds must write the same bytes.
func TestALineIsThatOfTheLibrary(t *testing.T) {
	full := Record{Sequence: 1<<64 - 1, ID: "r1", Digest: RequestDigest{1, 0xfe}, Time: sampleMeta().CreatedAt, Op: "client.create", Index: 9, Revision: 4,
		Names: []string{"client/acme/web", "scope/acme/read:all"}, Total: -20}
	lines := []Record{{}, full}
	for _, mark := range []string{`"`, `\`, "<", ">", "&", "\n", "\x7f", "\u2028", "ä", "\xff"} {
		for _, put := range []func(*Record){
			func(r *Record) { r.ID += mark }, func(r *Record) { r.Op += mark }, func(r *Record) { r.Names = []string{"a", mark} },
		} {
			r := full
			put(&r)
			lines = append(lines, r)
		}
	}
	full.Time, full.Refusal = -1, Errorf(CodeExists, "no")
	for _, r := range append(lines, full) {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Line(); string(got) != string(b)+"\n" {
			t.Errorf("%s\nwant %s", got, b)
		}
	}
}

func TestARecordIsShort(t *testing.T) {
	refusal := &Error{Code: CodeInvalid, Message: "client is not valid", Hint: "see", Fields: []Field{{"a", "b"}}}
	names := make([]string, 10_001)
	for i := range names {
		names[i] = fmt.Sprintf("client/acme/c%d", i)
	}
	tx := NewImage().Begin()
	tx.Remember(Record{ID: "r", Time: 5, Names: names, Refusal: refusal})
	r := tx.Request("r")
	if len(r.Names) != maxRecordNames || r.Total != len(names) || r.Names[0] != names[0] || r.Refusal.Fields != nil || r.Refusal.Message != refusal.Message || r.Refusal.Hint != "see" {
		t.Errorf("the record is %s", r.Line())
	}
	if len(refusal.Fields) != 1 || len(names) != 10_001 {
		t.Error("the caller's refusal was changed")
	}
}

// TestTheWordsOfARefusalAreInNoDigest: another build may say the same in other
// words, and both hold the same state.
func TestTheWordsOfARefusalAreInNoDigest(t *testing.T) {
	digest := func(r Record) string {
		tx := NewImage().Begin()
		tx.Remember(r)
		return tx.StateDigest()
	}
	first := Record{ID: "r", Time: 5, Op: "client.create", Index: 7, Refusal: Errorf(CodeExists, "client exists")}
	words, code, index := first, first, first
	words.Refusal = Errorf(CodeExists, "there is such a client").WithHint("see")
	code.Refusal = Errorf(CodeConflict, "client exists")
	index.Index++
	if digest(words) != digest(first) {
		t.Error("the text of a refusal is in the state digest")
	}
	if digest(code) == digest(first) || digest(index) == digest(first) {
		t.Error("what else a record says is not in the state digest")
	}
	if words.Refusal.Message == "" || words.Refusal.Hint == "" {
		t.Error("the refusal lost its words")
	}
}

func TestRecordsReadBackFromTheirLine(t *testing.T) {
	tx := NewImage().Begin()
	var d RequestDigest
	copy(d[:], bytes.Repeat([]byte{0xA7}, 32))
	tx.Remember(Record{ID: "plain", Time: 5})
	tx.Remember(Record{ID: "whole", Digest: d, Time: 6, Op: "client.create", Index: 7, Revision: 8, Names: []string{"client/acme/<web>"}})
	tx.Remember(Record{ID: "many", Time: 6, Op: "client.delete", Names: []string{"client/acme/a", "client/acme/b"}, Total: 3})
	tx.Remember(Record{ID: "restored", Time: 6, Total: 100})
	tx.Remember(Record{ID: "refused", Time: 7, Refusal: Errorf(CodeExists, "tenant %q\nexists", "ä").WithHint("see")})
	again := NewImage().Begin()
	for r := range tx.Requests() {
		if read, ok := readPlainLine(r.Line()); ok != (r.Refusal == nil) || ok && read.Time != r.Time {
			t.Errorf("%s: read at once = %v", r.Line(), ok)
		}
		read, err := ReadRecord(r.Line())
		if err != nil {
			t.Fatalf("%s: %v", r.Line(), err)
		}
		again.LoadRecord(read)
	}
	again.SetCounters(tx.Counters())
	if got, want := dump(&again.state), dump(&tx.state); got != want {
		t.Errorf("read back:\n%s\nwant\n%s", got, want)
	}
}

func TestALineThatIsNotCanonicalIsRefused(t *testing.T) {
	line := string((&Record{ID: "r", Time: 5, Op: "x"}).Line())
	for fact, bad := range map[string]string{
		"space":             strings.Replace(line, ":", ": ", 1),
		"unknown member":    strings.Replace(line, "{", `{"zz":1,`, 1),
		"no digest":         `{"sequence":0,"id":"r"}` + "\n",
		"short digest":      strings.Replace(line, "00", "", 1),
		"upper-case digest": strings.Replace(line, strings.Repeat("00", 32), strings.Repeat("AA", 32), 1),
		"digest not hex":    strings.Replace(line, "00", "zz", 1),
		"no JSON":           "{\n",
		"a number with 0":   strings.Replace(line, `"index":0`, `"index":00`, 1),
		"another time":      strings.Replace(line, ".000005Z", ".000005000Z", 1),
		"two records":       strings.TrimSuffix(line, "\n") + line,
	} {
		if _, err := ReadRecord([]byte(bad)); err == nil {
			t.Errorf("%s: %q was taken", fact, bad)
		}
	}
}

func TestRequestDigestsAreHex(t *testing.T) {
	var d, again RequestDigest
	for i := range d {
		d[i] = byte(i * 7)
	}
	b, err := json.Marshal(d)
	if err := errors.Join(err, json.Unmarshal(b, &again)); err != nil || again != d || len(b) != 66 {
		t.Errorf("%s reads back as %x, %v", b, again, err)
	}
}

package node

import (
	"testing"
	"time"
)

// What a leader has not seen itself, or not without a break, does not count.
func TestOnlyWhatALeaderHasSeenCounts(t *testing.T) {
	all := []Member{{ID: "a"}, {ID: "b"}}
	begun := time.Now()
	at := func(ms int) time.Time { return begun.Add(time.Duration(ms) * time.Millisecond) }
	first, second := new(leadership), new(leadership)
	both, alone := map[string]bool{"a": true, "b": true}, map[string]bool{"a": true}
	type want struct{ well, silent time.Duration } // of b
	var s spells
	for _, tt := range []struct {
		what           string
		of             *leadership
		at             int
		answered, well map[string]bool
		want           want
		watching       time.Duration
	}{
		{"the first look", first, 0, both, both, want{}, 0},
		{"it keeps up", first, 500, both, both, want{well: 500 * time.Millisecond}, 500 * time.Millisecond},
		{"it falls behind", first, 1000, both, alone, want{}, time.Second},
		{"it keeps up again", first, 1500, both, both, want{}, 1500 * time.Millisecond},
		{"it does not answer", first, 2000, alone, alone, want{}, 2 * time.Second},
		{"nor later", first, 6900, alone, alone, want{silent: 4900 * time.Millisecond}, 6900 * time.Millisecond},
		{"the leader was not running", first, 60_000, alone, alone, want{}, 0},
		{"nor does it answer then", first, 61_000, alone, alone, want{silent: time.Second}, time.Second},
		{"another time of leading", second, 61_500, alone, alone, want{}, 0},
		{"it answers", second, 62_000, both, alone, want{}, 500 * time.Millisecond},
		{"it is gone again", second, 62_500, alone, alone, want{}, time.Second},
	} {
		s.round(tt.of, at(tt.at), all, tt.answered, tt.well)
		if got := (want{s.well(tt.of, "b"), s.silent(tt.of, "b")}); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.what, got, tt.want)
		}
		if got := s.watching(tt.of); got != tt.watching {
			t.Errorf("%s: watching for %s, want %s", tt.what, got, tt.watching)
		}
	}
	if s.silent(first, "b") != 0 || s.silent(nil, "b") != 0 || s.silent(second, "nobody") != 0 {
		t.Error("it knows of what it has not seen")
	}
}

func TestTheArithmeticIsInTheMessage(t *testing.T) {
	for _, tt := range []struct {
		q     quorum
		says  string
		holds bool
		lose  int
	}{
		{quorum{without: "n3", now: 3, answer: []string{"n1"}, silent: []string{"n2"}},
			`there are 3 voters; without node "n3" there would be 2, of which 1 answers (n1) and 1 does not (n2), and 2 are needed to decide`, false, 0},
		{quorum{without: "n2", now: 2, answer: []string{"n1"}},
			`there are 2 voters; without node "n2" there would be 1, of which 1 answers (n1), and 1 is needed to decide`, true, 0},
		{quorum{without: "n4", now: 4, answer: []string{"n1", "n2", "n3"}},
			`there are 4 voters; without node "n4" there would be 3, of which 3 answer (n1, n2, n3), and 2 are needed to decide`, true, 1},
		{quorum{without: "n1", now: 5, silent: []string{"n2", "n3", "n4", "n5"}},
			`there are 5 voters; without node "n1" there would be 4, of which 0 answer and 4 do not (n2, n3, n4, n5), and 3 are needed to decide`, false, 0},
	} {
		if tt.q.String() != tt.says || tt.q.holds() != tt.holds || tt.q.canLose() != tt.lose {
			t.Errorf("%q, holds %v, can lose %d; want %q, %v, %d", tt.q.String(), tt.q.holds(), tt.q.canLose(), tt.says, tt.holds, tt.lose)
		}
	}
}

package store

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string // shown form; "!" when refused
	}{
		{"", ""}, {"0", ""}, {"0s", ""}, {"15m", "15m"}, {"15m0s", "15m"}, {"90m", "1h30m"}, {"1h", "1h"}, {"60m", "1h"},
		{"2160h", "2160h"}, {"90d", "2160h"}, {"1w", "168h"}, {"1w1d1h", "193h"}, {"1h1s", "1h0m1s"}, {"10s", "10s"}, {"100s", "1m40s"},
		{"1m30s", "1m30s"}, {"1.5h", "1h30m"}, {"20ms", "20ms"}, {"3600", "1h"}, {"7", "7s"}, {"5226w", "877968h"}, {"36600d", "878400h"},
		{"3162240000", "878400h"}, {"3162240001", "!"}, {"878401h", "!"}, {"36601d", "!"}, {"99999999999999999999", "!"},
		{"800000h800000h", "!"}, {"2562047h2562047h2562047h2562047h", "!"}, {"9999999999999w", "!"}, {"9223372036854775807w", "!"},
		{"-1h", "!"}, {"-1", "!"}, {"+1h", "!"}, {"1h-30m", "!"}, {"h", "!"}, {"1", "1s"}, {"1x", "!"}, {"1 h", "!"}, {" 1h", "!"}, {"1h ", "!"},
		{"1.5d", "!"}, {"1dd", "!"}, {"d", "!"}, {"1h30", "!"}, {"1e3s", "!"}, {"NaN", "!"}, {"1y", "!"}, {"1H", "!"}, {"..h", "!"},
	} {
		got, err := ParseDuration(c.in)
		if c.want == "!" {
			if err == nil || got != 0 {
				t.Errorf("ParseDuration(%q) = %q, %v, want a refusal", c.in, got, err)
			}
			continue
		}
		if err != nil || got.String() != c.want {
			t.Errorf("ParseDuration(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestDurationsReadWhatTheyShow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, unit := range []time.Duration{time.Nanosecond, time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		for range 300 {
			want := Duration(unit) * Duration(r.Int64N(int64(maxDuration)/int64(unit)))
			if got, err := ParseDuration(want.String()); got != want || err != nil {
				t.Fatalf("ParseDuration(%q) = %d, %v, want %d", want, got, err, want)
			}
		}
	}
}

func TestDurationsInJSON(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string // written again; "!" when refused
	}{
		{`"15m"`, `"15m"`}, {`900`, `"15m"`}, {`0`, `""`}, {`""`, `""`}, {`"1w"`, `"168h"`}, {`3162240000`, `"878400h"`},
		{`-1`, `"!"`}, {`1.5`, `"!"`}, {`3162240001`, `"!"`}, {`1e3`, `"!"`}, {`true`, `"!"`}, {`{}`, `"!"`}, {`[]`, `"!"`}, {`"x"`, `"!"`},
	} {
		var d Duration
		err := json.Unmarshal([]byte(c.in), &d)
		if c.want == `"!"` {
			if err == nil || d != 0 {
				t.Errorf("%s is taken for %q, %v, want a refusal", c.in, d, err)
			}
			continue
		}
		if b, _ := json.Marshal(d); err != nil || string(b) != c.want {
			t.Errorf("%s is written again as %s, %v, want %s", c.in, b, err, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string // written again; "!" when refused
	}{
		{`null`, `null`}, {`"2026-01-05T10:00:00Z"`, `"2026-01-05T10:00:00Z"`},
		{`"2026-01-05T10:00:00.123456Z"`, `"2026-01-05T10:00:00.123456Z"`},
		{`"2026-01-05T10:00:00.120000Z"`, `"2026-01-05T10:00:00.12Z"`},
		{`"2026-01-05T10:00:00.123456999Z"`, `"2026-01-05T10:00:00.123456Z"`}, // rounded down
		{`"1969-12-31T23:59:59.9999999Z"`, `"1969-12-31T23:59:59.999999Z"`},   // also before the epoch
		{`"2026-01-05T12:30:00+02:30"`, `"2026-01-05T10:00:00Z"`},
		{`"1970-01-01T00:00:00Z"`, `null`}, // the epoch itself is "none"
		{`"2026-01-05"`, `"!"`}, {`"2026-01-05 10:00:00Z"`, `"!"`}, {`"2026-13-05T10:00:00Z"`, `"!"`}, {`1767607200`, `"!"`}, {`""`, `"!"`}, {`{}`, `"!"`},
	} {
		tm := Time(7)
		err := json.Unmarshal([]byte(c.in), &tm)
		if c.want == `"!"` {
			if err == nil || tm != 7 {
				t.Errorf("%s is taken for %q, %v, want a refusal", c.in, tm, err)
			}
			continue
		}
		if b, _ := json.Marshal(tm); err != nil || string(b) != c.want {
			t.Errorf("%s is written again as %s, %v, want %s", c.in, b, err, c.want)
		}
	}
}

func TestTimesDoNotDependOnTheZone(t *testing.T) {
	east := time.FixedZone("east", 13*3600)
	at := time.Date(2026, 1, 5, 10, 0, 0, 123456789, time.UTC)
	if got, want := TimeOf(at.In(east)), TimeOf(at); got != want || got.String() != "2026-01-05T10:00:00.123456Z" {
		t.Errorf("TimeOf in another zone = %d (%s), want %d", got, got, want)
	}
	if back := TimeOf(at).Std(); back.Location() != time.UTC || !back.Equal(at.Truncate(time.Microsecond)) {
		t.Errorf("Std = %v, want %v in UTC", back, at)
	}
	if got := Time(0).String(); got != "" {
		t.Errorf("no time is shown as %q, want nothing", got)
	}
}

func TestAddingADurationToATime(t *testing.T) {
	at := TimeOf(time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC))
	for _, c := range []struct {
		add  Duration
		want string
	}{
		{0, "2026-01-05T10:00:00Z"}, {25 * hour, "2026-01-06T11:00:00Z"}, {Duration(1500 * time.Nanosecond), "2026-01-05T10:00:00.000001Z"},
		{-hour, "2026-01-05T09:00:00Z"}, {maxDuration, "2126-03-22T10:00:00Z"},
	} {
		if got := at.Add(c.add).String(); got != c.want {
			t.Errorf("%s and %s are %s, want %s", at, c.add, got, c.want)
		}
	}
}

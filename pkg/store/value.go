package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FormatVersion is the version of the documents that this build writes.
const FormatVersion = "1.0"

// Time is a moment in microseconds since the Unix epoch. Zero means "none" and
// is null in JSON; otherwise it is RFC 3339 in UTC, to the microsecond.
type Time int64

// TimeOf rounds a wall-clock time down to the microsecond.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// Std returns the time as the standard library has it, in UTC.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Add returns the time d later.
func (t Time) Add(d Duration) Time { return t + Time(time.Duration(d).Microseconds()) }

func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return t.Std().Format(time.RFC3339Nano)
}

func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return strconv.AppendQuote(nil, t.String()), nil
}

func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	var s string
	if err := readText(b, &s); err != nil {
		return errors.New("must be a time such as 2026-01-05T10:00:00Z")
	}
	p, err := time.Parse(time.RFC3339Nano, s)
	if year := p.UTC().Year(); err != nil || year < 1 || year > 9999 { // in UTC it may be a year that RFC 3339 cannot write
		return fmt.Errorf("cannot read %q as a time", s)
	}
	*t = TimeOf(p)
	return nil
}

// Duration is a span of time that reads and writes itself as documents do:
// input in Go's syntax, also with d and w, or in integer seconds; output in
// Go's form without zero units ("15m", "2160h"). Zero is the empty string.
type Duration time.Duration

const maxDuration = Duration(100 * 366 * 24 * time.Hour)

func (d Duration) String() string {
	if d == 0 {
		return ""
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func (d Duration) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, d.String()), nil }

func (d *Duration) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '"' {
		n, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			return errors.New("must be a duration such as 15m, or whole seconds")
		}
		if n > int64(time.Duration(maxDuration)/time.Second) || n < 0 {
			return errors.New("is out of range")
		}
		*d = Duration(time.Duration(n) * time.Second)
		return nil
	}
	var s string
	if err := readText(b, &s); err != nil {
		return err
	}
	v, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// ParseDuration reads Go's syntax, also with the units d (24h) and w (7d); the
// empty string is zero.
func ParseDuration(s string) (Duration, error) {
	if s == "" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil { // whole seconds
		if n < 0 || n > int64(time.Duration(maxDuration)/time.Second) {
			return 0, fmt.Errorf("duration %q is out of range", s)
		}
		return Duration(time.Duration(n) * time.Second), nil
	}
	total, rest := time.Duration(0), s
	for rest != "" {
		i := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if i <= 0 {
			return 0, fmt.Errorf("cannot read %q as a duration", s)
		}
		j := i + strings.IndexFunc(rest[i:]+"0", func(r rune) bool { return r >= '0' && r <= '9' || r == '.' })
		number, unit := rest[:i], rest[i:j]
		rest = rest[j:]
		var part time.Duration
		var err error
		if days, ok := map[string]int64{"d": 1, "w": 7}[unit]; ok {
			var n int64
			if n, err = strconv.ParseInt(number, 10, 64); err == nil && n > int64(time.Duration(maxDuration)/(24*time.Hour))/days {
				return 0, fmt.Errorf("duration %q is out of range", s)
			}
			part = time.Duration(n*days) * 24 * time.Hour
		} else {
			part, err = time.ParseDuration(number + unit)
		}
		if err != nil {
			return 0, fmt.Errorf("cannot read %q as a duration", s)
		}
		if total += part; Duration(total) > maxDuration || total < 0 {
			return 0, fmt.Errorf("duration %q is out of range", s)
		}
	}
	return Duration(total), nil
}

package cmd

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSpans(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 999 * time.Millisecond, "59s": 59 * time.Second, "1m": time.Minute, "59m": time.Hour - 1, "1h": time.Hour,
		"23h": 24*time.Hour - 1, "1d": 24 * time.Hour, "729d": 729 * 24 * time.Hour, "2y": 730 * 24 * time.Hour,
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for want, n := range map[string]int64{"0 B": 0, "999 B": 999, "1.0 kB": 1000, "1.2 MB": 1_234_567, "1.0 GB": 999_999_999, "2.5 TB": 2_500_000_000_000} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestShellWords(t *testing.T) {
	for in, want := range map[string]string{"web": "web", "a b": "'a b'", "": "''", "it's": `'it'\''s'`, "$x": "'$x'", "orders:read": "orders:read"} {
		if got := shellWord(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestJSONIsSeenWithoutParsing(t *testing.T) {
	for args, want := range map[string]bool{
		"-o json": true, "-ojson": true, "-o=json": true, "--output json": true, "--output=json": true, "-o yaml": false,
		"-- -o json": false, "-o json -o name": false, "": false, "-o": false,
	} {
		if got := (&Env{args: strings.Fields(args)}).wantsJSON(); got != want {
			t.Errorf("%q: %v, want %v", args, got, want)
		}
	}
}

// lines is a terminal that many write to.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestProgress(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var out lines
		asked := make(chan struct{}, 100)
		p := (&Env{Err: &out, ErrTerminal: terminal}).progress(func() string { asked <- struct{}{}; return "half" })
		if terminal {
			<-asked
		}
		p.stop()
		got := out.b.String()
		if terminal && (!strings.HasPrefix(got, eraseLine+"half") || !strings.HasSuffix(got, eraseLine)) || !terminal && got != "" {
			t.Errorf("terminal %v: %q", terminal, got)
		}
	}
	var out lines
	(&Env{Err: &out, ErrTerminal: true}).progress(func() string { return "short" }).stop()
	if out.b.Len() != 0 {
		t.Errorf("short work shows %q", out.b.String())
	}
}

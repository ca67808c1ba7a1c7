package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func event(i int) Event {
	return Event{Actor: "operator/ana@acme", Serial: "0a", Source: "10.0.0.7:4242", RequestID: fmt.Sprint("r-", i), Type: "client.create",
		Target: fmt.Sprint("client/acme/web-", i), Index: uint64(i), Revision: uint64(i), Result: OK}
}

// written is a log of n lines, closed, and its directory.
func written(t *testing.T, n int, o Options) string {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "audit")
	}
	o.Node = "n1"
	l := Open(o)
	for i := range n {
		l.Record(event(i + 1))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return o.Dir
}

func content(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func verified(t *testing.T, dir string) *Report {
	t.Helper()
	r, err := Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func whole(t *testing.T, dir string) *Report {
	t.Helper()
	r := verified(t, dir)
	if r.Fault != nil || r.Torn > 0 {
		t.Fatalf("the chain is broken: %+v, %d bytes torn", r.Fault, r.Torn)
	}
	return r
}

// lines are all lines of a directory, the oldest first.
func lines(t *testing.T, dir string) (out []*Line) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "audit*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(names, func(a, b string) int { // the newest has no number
		return strings.Compare(strings.Replace(a, current, "~", 1), strings.Replace(b, current, "~", 1))
	})
	for _, name := range names {
		for _, b := range bytes.Split(bytes.TrimSuffix(content(t, dir, filepath.Base(name)), []byte("\n")), []byte("\n")) {
			if len(b) == 0 {
				continue
			}
			l, err := readLine(b)
			if err != nil {
				t.Fatalf("%s: %q: %v", name, b, err)
			}
			out = append(out, l)
		}
	}
	return out
}

// of are the lines that are not the log's own.
func of(all []*Line, types ...string) (out []*Line) {
	for _, l := range all {
		if slices.Contains(types, l.Type) {
			out = append(out, l)
		}
	}
	return out
}

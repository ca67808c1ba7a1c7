package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

func TestConcurrentLinesAreOneChainInTheOrderOfTheCalls(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := Open(Options{Dir: dir, Node: "n1", fileBytes: 20_000})
	const callers, each = 16, 50
	var called sync.WaitGroup
	for c := range callers {
		called.Go(func() {
			for i := range each {
				l.Record(Event{Actor: fmt.Sprint("operator/", c), Type: "client.create", Index: uint64(i + 1), Result: OK})
			}
		})
	}
	called.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r := whole(t, dir); r.Lines != callers*each || r.First != 1 || r.Files < 3 {
		t.Errorf("%d lines from %d in %d files, want %d from 1 in several", r.Lines, r.First, r.Files, callers*each)
	}
	last := map[string]uint64{}
	for i, line := range lines(t, dir) {
		if line.Seq != uint64(i+1) || line.Node != "n1" {
			t.Errorf("line %d has the number %d and the node %q", i+1, line.Seq, line.Node)
		}
		if line.Index != last[line.Actor]+1 {
			t.Errorf("%s: call %d stands behind call %d", line.Actor, line.Index, last[line.Actor])
		}
		last[line.Actor] = line.Index
	}
}

// What a collector may rely on: the members, their order, and how the hash comes
// about, with no code of this package.
func TestALineIsAsTheManualSays(t *testing.T) {
	at := time.Date(2026, 11, 25, 10, 4, 0, 1000, time.FixedZone("", 3600))
	dir := written(t, 2, Options{Now: func() time.Time { return at }})
	all := bytes.Split(content(t, dir, current), []byte("\n"))
	want := `{"seq":2,"time":"2026-11-25T09:04:00.000001Z","node":"n1","actor":"operator/ana@acme","serial":"0a","source":"10.0.0.7:4242",` +
		`"request_id":"r-2","type":"client.create","target":"client/acme/web-2","index":2,"revision":2,"result":"ok","message":"","prev":"`
	if !bytes.HasPrefix(all[1], []byte(want)) {
		t.Errorf("got  %s\nwant %s...", all[1], want)
	}
	hash := regexp.MustCompile(`,"hash":"([0-9a-f]{64})"}$`)
	before := ""
	for _, line := range all[:2] {
		got := string(hash.FindSubmatch(line)[1])
		sum := sha256.Sum256(hash.ReplaceAll(line, []byte("}")))
		if got != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: its hash is not that of the rest", line)
		}
		if !bytes.Contains(line, []byte(`"prev":"`+before+`"`)) {
			t.Errorf("%s: it does not follow %s", line, before)
		}
		before = got
	}
	for name, want := range map[string]os.FileMode{"": 0o700, current: 0o600} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%q: mode %v, %v, want %v", name, st.Mode(), err, want)
		}
	}
}

func TestAFullFileIsFinishedAndTheOldestAreForgotten(t *testing.T) {
	o := Options{fileBytes: 2000, totalBytes: 10_000}
	dir := written(t, 100, o)
	r := whole(t, dir)
	if r.Last != 100 || r.First == 1 || r.Files < 4 {
		t.Errorf("lines %d to %d in %d files, want some of the newest up to 100", r.First, r.Last, r.Files)
	}
	size := int64(0)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if size += st.Size(); st.Size() > 2000+1000 {
			t.Errorf("%s has %d bytes", e.Name(), st.Size())
		}
	}
	if size > 10_000 {
		t.Errorf("%d bytes in all, want at most 10000", size)
	}
	o.Dir = dir
	written(t, 1, o) // goes on behind what is there
	if r := whole(t, dir); r.Last != 101 {
		t.Errorf("after another start the last line is %d, want 101", r.Last)
	}
}

func TestASmallDiskKeepsLessOfTheRecord(t *testing.T) {
	o := Options{fileBytes: 2000, totalBytes: 1 << 40, Space: func() (bool, uint64) { return true, 100_000 }}
	dir := written(t, 100, o)
	if r := whole(t, dir); r.First == 1 || r.Last != 100 || r.Files < fewest+1 {
		t.Errorf("lines %d to %d in %d files; a tenth of the disk is not all of them", r.First, r.Last, r.Files)
	}
	o.Dir, o.Space = "", func() (bool, uint64) { return true, 10 }
	if r := whole(t, written(t, 100, o)); r.Files != fewest+1 {
		t.Errorf("%d files on a tiny disk, want %d", r.Files, fewest+1)
	}
}

func TestTheLimitsFitTheDisk(t *testing.T) {
	o := Options{}.withDefaults()
	for _, c := range []struct {
		disk     uint64
		one, all int64
	}{{0, 16 << 20, 512 << 20}, {1 << 40, 16 << 20, 512 << 20}, {1 << 30, 13421772, 107374180}, {20 << 20, 262143, 2097150}, {1 << 20, 64 << 10, 104850}} {
		if one, all := o.limits(c.disk); one/10 != c.one/10 || all/100 != c.all/100 {
			t.Errorf("on a disk of %d bytes: %d and %d, want %d and %d", c.disk, one, all, c.one, c.all)
		}
	}
}

func TestPagesShowEveryLineOnceAcrossFiles(t *testing.T) {
	dir := written(t, 100, Options{fileBytes: 3000})
	l := Open(Options{Dir: dir, Node: "n1", fileBytes: 3000})
	defer l.Close()
	for _, most := range []int{1, 1000, 7000, 1 << 20} {
		var c Cursor
		next := uint64(1)
		for more := true; more; {
			p, err := l.Read(c, time.Time{}, most)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range p.Lines {
				line, err := readLine([]byte(text))
				if err != nil || line.Seq != next {
					t.Fatalf("pages of %d: got %v, %v, want line %d", most, line, err, next)
				}
				next++
			}
			c, more = p.Next, p.More
			c.File *= uint64(most) & 1 // without the hint it takes longer, no more
		}
		if next != 101 {
			t.Errorf("pages of %d: %d lines, want 100", most, next-1)
		}
	}
	p, err := l.Read(Cursor{Seq: 98, File: l.first, Offset: 17}, time.Time{}, 1<<20) // made up
	if err != nil || len(p.Lines) != 2 {
		t.Errorf("behind a cursor that was made up: %d lines, %v, want 2", len(p.Lines), err)
	}
	if p, err = l.Read(l.End(), time.Time{}, 1<<20); err != nil || len(p.Lines) != 0 || p.More {
		t.Errorf("behind the end: %+v, %v", p, err)
	}
}

func TestOlderLinesAreLeftOut(t *testing.T) {
	at := time.Now().Add(-time.Hour)
	tick := func() time.Time { at = at.Add(time.Second); return at }
	dir := filepath.Join(t.TempDir(), "audit")
	l := Open(Options{Dir: dir, Node: "n1", Now: tick, fileBytes: 2000})
	defer l.Close()
	for i := range 50 {
		l.Record(event(i))
	}
	all := lines(t, dir)
	p, err := l.Read(Cursor{}, all[42].Time, 1<<20)
	if err != nil || len(p.Lines) != 8 {
		t.Errorf("%d lines since the 43rd, %v, want 8", len(p.Lines), err)
	}
}

func TestWhoWaitsIsWokenByTheNextLine(t *testing.T) {
	l := Open(Options{Dir: t.TempDir(), Node: "n1"})
	l.Record(event(1))
	l.Wait(context.Background(), 0) // it is there already
	woken := make(chan struct{})
	go func() { l.Wait(context.Background(), 1); close(woken) }()
	until(t, "somebody waits", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.more != nil })
	l.Record(event(2))
	select {
	case <-woken:
	case <-time.After(patience):
		t.Fatal("the second line woke nobody")
	}
	ended := make(chan struct{})
	go func() { l.Wait(context.Background(), 2); close(ended) }()
	until(t, "somebody waits", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.more != nil })
	l.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("who waits is not woken by the end of the log")
	}
}

func BenchmarkRecord(b *testing.B) {
	l := Open(Options{Dir: b.TempDir(), Node: "n1"})
	defer l.Close()
	e := event(1)
	for b.Loop() {
		l.Record(e)
	}
}

func BenchmarkAsk64(b *testing.B) {
	l := Open(Options{Dir: b.TempDir(), Node: "n1", Required: true})
	defer l.Close()
	b.SetParallelism(32) // callers for each of two processors
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Ask(context.Background(), event(1)); err != nil {
				b.Error(err)
			}
		}
	})
}

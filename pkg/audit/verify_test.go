package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Each change of a file is found, with the place; but two, for which the chain is
// no help.
func TestWhatHandsDoToTheChainIsFound(t *testing.T) {
	const n = 50
	other := written(t, n, Options{fileBytes: 4000}) // another log, as good in itself
	for _, c := range []struct {
		fact string
		edit func(all [][]byte) [][]byte // the lines of a file
		line int                         // where it is found, 0: not at all
	}{
		{"a name was changed", func(a [][]byte) [][]byte { a[4] = bytes.Replace(a[4], []byte("ana"), []byte("eve"), 1); return a }, 5},
		{"a result was changed", func(a [][]byte) [][]byte { a[4] = bytes.Replace(a[4], []byte(`"ok"`), []byte(`"OK"`), 1); return a }, 5},
		{"a line was changed with its hash", func(a [][]byte) [][]byte { a[4] = forged(a[4]); return a }, 6},
		{"a line was removed", func(a [][]byte) [][]byte { return slices.Delete(a, 4, 5) }, 5},
		{"the first line was removed", func(a [][]byte) [][]byte { return a[1:] }, 1},
		{"two lines were swapped", func(a [][]byte) [][]byte { a[4], a[5] = a[5], a[4]; return a }, 5},
		{"a line stands twice", func(a [][]byte) [][]byte { return slices.Insert(a, 4, a[4]) }, 6},
		{"a line is empty", func(a [][]byte) [][]byte { a[4] = []byte("\n"); return a }, 5},
		{"a line is no line", func(a [][]byte) [][]byte { a[4] = []byte("{}\n"); return a }, 5},
		{"a line is endless", func(a [][]byte) [][]byte { a[4] = append(bytes.Repeat([]byte("x"), 2*maxLine), '\n'); return a }, 5},
		{"the file is empty", func([][]byte) [][]byte { return nil }, 1},
		{"the end is missing", func(a [][]byte) [][]byte { return a[:len(a)-1] }, 1}, // of the next file
		{"nothing was changed", func(a [][]byte) [][]byte { return a }, 0},
	} {
		for _, which := range []int{0, 1} { // the oldest file and one in the middle
			dir := written(t, n, Options{fileBytes: 4000})
			old, err := listOld(dir)
			if err != nil || len(old) < 3 {
				t.Fatalf("%d files, %v", len(old), err)
			}
			name := oldName(old[which].first)
			all := bytes.SplitAfter(content(t, dir, name), []byte("\n"))
			write(t, dir, name, bytes.Join(c.edit(all[:len(all)-1]), nil))
			r := verified(t, dir)
			found := name
			if c.fact == "the end is missing" {
				found = oldName(old[which+1].first)
			}
			switch {
			case c.line == 0 && r.Fault != nil:
				t.Errorf("%s: %+v", c.fact, r.Fault)
			case c.line > 0 && (r.Fault == nil || r.Fault.Line != c.line || r.Fault.File != found):
				t.Errorf("%s: got %+v, want line %d of %s", c.fact, r.Fault, c.line, found)
			}
		}
	}
	dir := written(t, n, Options{fileBytes: 4000})
	old, err := listOld(dir)
	if err != nil {
		t.Fatal(err)
	}
	for fact, hands := range map[string]func() error{
		"a file in the middle is gone": func() error { return os.Remove(filepath.Join(dir, oldName(old[1].first))) },
		"a file is another log's": func() error {
			return os.WriteFile(filepath.Join(dir, oldName(old[1].first)), content(t, other, oldName(old[1].first)), 0o600)
		},
	} {
		if err := hands(); err != nil {
			t.Fatal(err)
		}
		if r := verified(t, dir); r.Fault == nil || r.Fault.Line != 1 {
			t.Errorf("%s: %+v", fact, r.Fault)
		}
	}
}

// forged changes a line and gives it the hash that it then has.
func forged(b []byte) []byte {
	l, err := readLine(b[:len(b)-1])
	if err != nil {
		panic(err)
	}
	e := Event{"operator/eve", l.Serial, l.Source, l.RequestID, l.Type, l.Target, l.Index, l.Revision, l.Result, l.Message}
	out, _ := appendLine(nil, l.Seq, l.Time, l.Node, e, l.Prev)
	return out
}

// The chain alone does not tell that its end is missing, nor its beginning. The
// manual says so; what stands elsewhere does: the number and hash of a line.
func TestAMissingEndIsNotFoundButItsHashIsKnownElsewhere(t *testing.T) {
	dir := written(t, 10, Options{})
	before := whole(t, dir)
	all := bytes.SplitAfter(content(t, dir, current), []byte("\n"))
	write(t, dir, current, bytes.Join(all[:8], nil))
	if after := whole(t, dir); after.Last >= before.Last || after.Hash == before.Hash {
		t.Errorf("lines up to %d and hash %s, before up to %d and %s", after.Last, after.Hash, before.Last, before.Hash)
	}
}

func TestEveryChangedByteOfALineIsFound(t *testing.T) {
	dir := written(t, 3, Options{})
	all := content(t, dir, current)
	start := bytes.IndexByte(all, '\n') + 1
	end := start + bytes.IndexByte(all[start:], '\n')
	for at := start; at < end; at++ {
		bad := bytes.Clone(all)
		bad[at] ^= 1
		write(t, dir, current, bad)
		if r := verified(t, dir); r.Fault == nil || r.Fault.Line < 2 {
			t.Fatalf("byte %d, %q for %q: %+v", at-start, bad[at], all[at], r.Fault)
		}
	}
}

func TestAnOpenLogIsVerifiedWhileItIsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := Open(Options{Dir: dir, Node: "n1", fileBytes: 2000, totalBytes: 8000})
	defer l.Close()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
				l.Record(event(i))
			}
		}
	}()
	for range 50 {
		if r, err := l.Verify(); err != nil || r.Fault != nil || r.Torn > 0 {
			t.Errorf("got %+v, %v", r, err)
			break
		}
	}
	close(quit)
	<-done
}

func TestWhatCommandsATerminalIsEscapedAndLongNamesAreCut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := Open(Options{Dir: dir, Node: "n1"})
	names := []string{"\x1b[2Jgone", "a\nb", "\x00", "\u009b31m", "\u202eevil", "\u2028", "\xff\xfe", "𝔘\U000e0001", "<b>&", `"\`, "ü…", strings.Repeat("ü", 300), "x" + strings.Repeat("ü", 300)}
	for _, s := range names {
		l.Record(Event{Actor: s, Serial: s, Source: s, RequestID: s, Type: s, Target: s, Result: s, Message: s})
	}
	l.Close()
	whole(t, dir)
	raw := content(t, dir, current)
	if bytes.Count(raw, []byte("\n")) != len(names) {
		t.Errorf("%d lines, want %d", bytes.Count(raw, []byte("\n")), len(names))
	}
	for i, line := range lines(t, dir) {
		if len(line.RequestID) > maxShort || len(line.Target) > maxTarget || len(line.Message) > maxMessage || len(line.Actor) > maxActor {
			t.Errorf("%q: %d, %d, %d bytes", names[i], len(line.RequestID), len(line.Target), len(line.Message))
		}
		want := strings.ReplaceAll(strings.ToValidUTF8(names[i], "\uFFFD"), "\U000e0001", "\uFFFD")
		if names[i] == "\xff\xfe" {
			want = "\uFFFD\uFFFD"
		}
		if len(want) <= maxShort && line.RequestID != want {
			t.Errorf("got %q, want %q", line.RequestID, want)
		}
		if len(want) > maxShort && !strings.HasSuffix(line.RequestID, "ü"+ellipsis) {
			t.Errorf("%q is not cut between two characters", line.RequestID)
		}
	}
	if at := bytes.IndexFunc(raw, func(r rune) bool {
		return r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x2028)
	}); at >= 0 {
		t.Errorf("%q commands a terminal", raw[at:min(at+9, len(raw))])
	}
}

func FuzzLine(f *testing.F) {
	f.Add("operator/ana", "client/acme/web", []byte(`{"seq":1}`))
	f.Fuzz(func(t *testing.T, actor, target string, b []byte) {
		if l, err := readLine(b); err == nil && l == nil {
			t.Error("neither a line nor an error")
		}
		line, hash := appendLine(nil, 7, time.Unix(0, 0), actor, Event{Actor: actor, Target: target, Message: target}, "")
		l, err := readLine(line[:len(line)-1])
		if err != nil || l.Hash != hash || len(line) > maxLine || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%q: %v", line, err)
		}
		if utf8.ValidString(actor) && len(actor) < maxActor && !strings.ContainsFunc(actor, func(r rune) bool { return r > 0xffff }) && l.Actor != actor {
			t.Errorf("got %q, want %q", l.Actor, actor)
		}
	})
}

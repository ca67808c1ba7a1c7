package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/test/faultdisk"
)

func TestATornLastLineIsCutOffWhereverItEnds(t *testing.T) {
	from := written(t, 3, Options{})
	all := content(t, from, current)
	last := bytes.LastIndexByte(all[:len(all)-1], '\n') + 1
	for end := last; end <= len(all); end++ {
		dir := t.TempDir()
		write(t, dir, current, all[:end])
		written(t, 1, Options{Dir: dir})
		r, got := whole(t, dir), lines(t, dir)
		torn := end > last && end < len(all)
		if cut := of(got, TypeRecovered); torn != (len(cut) == 1) {
			t.Fatalf("%d bytes of the last line: %d lines say that something was cut off", end-last, len(cut))
		}
		want := uint64(3) // two lines and the new one
		if end > last {
			want = 4 // and the third, or the one in its place
		}
		if r.Lines != want || got[len(got)-1].RequestID != "r-1" {
			t.Fatalf("%d bytes of the last line: %d lines, want %d", end-last, r.Lines, want)
		}
		if left, _ := filepath.Glob(dir + "/cut-*"); len(left) > 0 {
			t.Fatalf("the beginning of a line was kept: %v", left)
		}
	}
}

// After a power cut there may be anything where the last lines were. Lines that
// are whole but do not fit are kept for people to look at.
func TestWhatDoesNotFitAtTheEndIsKeptElsewhere(t *testing.T) {
	from := written(t, 400, Options{})
	all := content(t, from, current)
	split := bytes.SplitAfter(all, []byte("\n"))
	for name, end := range map[string][]byte{
		"zeros":                bytes.Repeat([]byte{0}, 3000),
		"zeros and a line":     append(bytes.Repeat([]byte{0}, 300), split[399]...),
		"a line twice":         split[397],
		"a line too many":      split[399],
		"more than the window": bytes.Repeat([]byte("x\n"), tailBytes),
	} {
		dir := t.TempDir()
		good := bytes.Join(split[:398], nil)
		write(t, dir, current, append(bytes.Clone(good), end...))
		written(t, 1, Options{Dir: dir})
		if r, got := whole(t, dir), lines(t, dir); r.Lines != 400 || got[398].Type != TypeRecovered {
			t.Errorf("%s: %d lines, the one behind the good ones is %s", name, r.Lines, got[398].Type)
		}
		kept, _ := filepath.Glob(dir + "/cut-*")
		if !bytes.Contains(end, []byte("\n")) {
			if len(kept) > 0 {
				t.Errorf("%s: %v is kept", name, kept)
			}
			continue
		}
		if len(kept) != 1 || !bytes.Equal(content(t, dir, filepath.Base(kept[0])), end) {
			t.Errorf("%s: %v does not hold what was cut off", name, kept)
		}
	}
}

// Whatever the call at which a node is killed: the chain is whole after the next
// start, and every line that Record has returned from is there.
func TestAKillAtEveryCallLosesNoLineThatWasWritten(t *testing.T) {
	for n, killed := 1, true; killed; n++ {
		dir := filepath.Join(t.TempDir(), "audit")
		var f faultdisk.Disk
		was := f.KillAfter(n)
		l := Open(Options{Dir: dir, Node: "n1", Disk: &f, fileBytes: 1500, totalBytes: 5000})
		var done []uint64
		for i := range 20 {
			l.Record(event(i + 1))
			if !was() && l.Failing() == "" {
				done = append(done, uint64(i+1))
			}
		}
		killed = was()
		l.Close()
		f.Set(nil)
		written(t, 1, Options{Dir: dir, fileBytes: 1500, totalBytes: 5000})
		whole(t, dir)
		var got []uint64
		for _, line := range of(lines(t, dir), "client.create") {
			got = append(got, line.Index)
		}
		for _, i := range done {
			if i >= got[0] && !slices.Contains(got[:len(got)-1], i) { // the oldest are forgotten, the newest is of the second start
				t.Fatalf("killed after call %d: %v are there, %v were written", n, got, done)
			}
		}
	}
}

// A disk that fails once costs lines at most, each of them counted, never the chain.
func TestEveryCallMayFailOnce(t *testing.T) {
	for n, failed := 1, true; failed; n++ {
		dir := filepath.Join(t.TempDir(), "audit")
		var f faultdisk.Disk
		was := f.FailOnce(n, unix.EIO)
		l := Open(Options{Dir: dir, Node: "n1", Disk: &f, fileBytes: 5000})
		l.mu.Lock()
		l.tried = l.tried.Add(-againAfter) // as if a second had gone by
		l.mu.Unlock()
		for i := range 20 {
			e := event(i)
			if i%2 == 0 { // half of it is longer than the lines that come in its place
				e.Target = strings.Repeat("\x01", maxTarget)
			}
			l.Record(e)
			l.mu.Lock()
			l.tried = l.tried.Add(-againAfter)
			l.mu.Unlock()
		}
		l.Close()
		failed = was()
		whole(t, dir)
		got, lost := len(of(lines(t, dir), "client.create")), 0
		for _, line := range of(lines(t, dir), TypeLost) {
			if !strings.HasPrefix(line.Message, "lines that could not be written: 1;") {
				t.Errorf("call %d failed: %q", n, line.Message)
			}
			lost++
		}
		if got+lost != 20 || lost > 1 {
			t.Errorf("call %d failed: %d lines are there and %d are said to be lost, of 20", n, got, lost)
		}
	}
}

func TestADirectoryThatIsGoneBeginsAnew(t *testing.T) {
	dir := written(t, 3, Options{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	written(t, 1, Options{Dir: dir})
	if r := whole(t, dir); r.First != 1 || r.Last != 1 {
		t.Errorf("lines %d to %d, want 1", r.First, r.Last)
	}
}

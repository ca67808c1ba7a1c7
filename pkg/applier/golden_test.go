package applier

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
)

var update = flag.Bool("update", false, "write the golden log of the newest level if it is missing")

const (
	goldenLog   = "testdata/level1.log.gz" // entries, each behind its length
	goldenState = "testdata/level1.state"  // what each entry leads to, one a line
)

// TestTheRulesOfALevelNeverChange applies a log of the first release, refusals
// and retries included, and compares the digest after every entry. Nodes of two
// versions apply the same log side by side: a change of a rule makes them differ
// and needs a new level. The words of a refusal may change.
func TestTheRulesOfALevelNeverChange(t *testing.T) {
	if _, err := os.Stat(goldenLog); *update && os.IsNotExist(err) {
		writeGolden(t)
	}
	want, err := os.ReadFile(goldenState)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	lines := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
	entries := golden(t)
	if len(entries) != len(lines) || len(entries) < 50 {
		t.Fatalf("%d entries lead to %d states", len(entries), len(lines))
	}
	for i, entry := range entries {
		if got := w.entry(entry); got != lines[i] {
			t.Fatalf("entry %d leads to\n%s\nin the first release it led to\n%s", i+1, got, lines[i])
		}
	}
	if wrong := inconsistent(w.image()); wrong != "" {
		t.Error(wrong)
	}
}

// golden reads the entries of the log.
func golden(t *testing.T) (entries [][]byte) {
	t.Helper()
	f, err := os.ReadFile(goldenLog)
	if err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		entries = append(entries, b[n:n+int(size)])
		b = b[n+int(size):]
	}
	return entries
}

// entry applies one entry and shows what it leads to.
func (w *world) entry(entry []byte) string {
	w.t.Helper()
	commands, err := mutation.DecodeEntry(entry)
	w.fatal(err)
	w.index++
	var results strings.Builder
	for i := range commands {
		switch res := Apply(w.tx, w.index, &commands[i]); {
		case res.Stale:
			results.WriteString(" stale")
		case res.Refusal != nil:
			results.WriteString(" " + string(res.Refusal.Code))
		case res.Replayed != nil:
			results.WriteString(" replayed")
		default:
			results.WriteString(" ok")
		}
	}
	img := w.image()
	return fmt.Sprintf("%d %.16s %.16s%s", img.Revision(), img.DataDigest(), img.StateDigest(), results.String())
}

// writeGolden makes the log: commands at random, in entries of one to four.
func writeGolden(t *testing.T) {
	t.Helper()
	ahead := newWorld(t) // the state that the commands are made for
	c := newChaos(ahead, 1)
	c.past = append(c.past, c.command(ahead.system(mutation.SysFound, mutation.Found{ClusterID: cluster, Generation: 1, Level: 1})))
	ahead.apply(c.past[0])
	var parts [][]byte
	var log bytes.Buffer
	flush := func() {
		entry := mutation.EncodeEntry(parts)
		log.Write(binary.AppendUvarint(nil, uint64(len(entry))))
		log.Write(entry)
		parts = nil
	}
	parts = append(parts, mutation.AppendCommand(nil, c.past[0]))
	flush()
	for len(c.past) < 300 {
		cmd := c.next()
		ahead.apply(cmd)
		parts = append(parts, mutation.AppendCommand(nil, cmd))
		if c.one(2) || len(parts) == 4 {
			flush()
		}
	}
	if len(parts) > 0 {
		flush()
	}
	var packed bytes.Buffer
	zw, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zw.Write(log.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenLog, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	var states strings.Builder
	for _, entry := range golden(t) {
		states.WriteString(w.entry(entry) + "\n")
	}
	if err := os.WriteFile(goldenState, []byte(states.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

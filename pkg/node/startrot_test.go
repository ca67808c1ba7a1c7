package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// refuses wants a directory on which no node starts, because of damage to the
// file that is named, and with words about what to do.
func refuses(t *testing.T, dir, file, hint string) {
	t.Helper()
	stopped := 0
	n, err := Open(context.Background(), Config{Dir: dir, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Stop: func(error) { stopped++ }})
	if err == nil {
		n.Close()
		t.Fatalf("a node starts on damage to %s", file)
	}
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeIntegrity || ExitCode(err) != 11 || !strings.Contains(e.Message, filepath.Join(dir, file)) {
		t.Errorf("err = %v, want one of %s that names %s", err, store.CodeIntegrity, file)
	} else if !strings.Contains(e.Hint, hint) {
		t.Errorf("hint %q, want one with %q", e.Hint, hint)
	}
	if stopped > 0 {
		t.Errorf("Stop was called %d times by a node that did not start", stopped)
	}
}

const (
	rejoinHint = "cpctl cluster remove n1"
	aloneHint  = "there is no other member to copy from"
)

// aloneNode is the directory of a cluster of one that has a snapshot, a log
// that goes on behind it, and another that was cut off before it.
func aloneNode(t *testing.T) (dir string, shown *store.Image) {
	t.Helper()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	n := c.leader()
	if err := n.raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if err := n.logs.DeleteRange(1, 2); err != nil { // as raft does when the log has become long
		t.Fatal(err)
	}
	c.must(tenantNamed("globex"))
	shown = n.Image()
	c.close("n1")
	return c.dirs["n1"], shown
}

// copyDir gives each case a directory of its own.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "n1")
	copyTo(t, to, dir)
	return to
}

// copyTo copies a data directory with its modes, which count.
func copyTo(t *testing.T, to, dir string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", dir, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestAStartNamesWhatIsMissingOrDamaged(t *testing.T) {
	t.Parallel()
	whole, _ := aloneNode(t)
	remove := func(name string) func(string) error {
		return func(d string) error { return os.RemoveAll(filepath.Join(d, name)) }
	}
	cut := func(name string, size int64) func(string) error {
		return func(d string) error { return os.Truncate(filepath.Join(d, name), size) }
	}
	write := func(name, text string) func(string) error {
		return func(d string) error { return os.WriteFile(filepath.Join(d, name), []byte(text), 0o600) }
	}
	for _, c := range []struct {
		fact       string
		damage     func(dir string) error
		file, hint string
	}{
		{"no log", remove("raft/raft.db"), "raft/raft.db", "empty its data directory"},
		{"an empty log file", cut("raft/raft.db", 0), "raft/raft.db", "empty its data directory"},
		{"a log cut in half", cut("raft/raft.db", 16<<10), "raft/raft.db", "empty its data directory"},
		{"another file in its place", write("raft/raft.db", "hello"), "raft/raft.db", "empty its data directory"},
		{"no snapshot, and a log that begins behind it", remove("raft/snapshots"), "raft/raft.db", "empty its data directory"},
		{"neither record of what was shown", write("raft/committed", strings.Repeat("x", 1024)), "raft/committed", "empty its data directory"},
		{"neither record of where the log ends", write("raft/tail", strings.Repeat("x", 1024)), "raft/tail", "empty its data directory"},
		{"no node.json", remove("node.json"), "node.json", "empty its data directory"},
		{"an empty node.json", cut("node.json", 0), "node.json", "empty its data directory"},
		{"no cluster key", remove("cluster.key"), "cluster.key", "empty its data directory"},
		{"no private key", remove("tls/node.key"), "tls/node.key", "empty its data directory"},
		{"an empty certificate", cut("tls/node.crt", 0), "tls/node.crt", "empty its data directory"},
		{"no authority", remove("tls/ca.crt"), "tls/ca.crt", "empty its data directory"},
		{"the authority without its last newline", cut("tls/ca.crt", 100), "tls/ca.crt", "empty its data directory"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			dir := copyDir(t, whole)
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			refuses(t, dir, c.file, c.hint)
			refuses(t, dir, c.file, c.hint) // the attempt has changed nothing for the better
		})
	}
}

// What a node can do without, or make again, it does.
func TestAStartGoesOnWithoutWhatTheRestReplaces(t *testing.T) {
	t.Parallel()
	whole, shown := aloneNode(t)
	for _, c := range []struct {
		fact   string
		damage func(dir string) error
	}{
		{"nothing", func(string) error { return nil }},
		{"no data/", func(d string) error { return os.RemoveAll(filepath.Join(d, "data")) }},
		{"no raft/committed", func(d string) error { return os.Remove(filepath.Join(d, "raft/committed")) }},
		{"no raft/tail", func(d string) error { return os.Remove(filepath.Join(d, "raft/tail")) }},
	} {
		t.Run(c.fact, func(t *testing.T) {
			dir := copyDir(t, whole)
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			wantSettled(t, dir, shown)
		})
	}
}

// wantSettled starts the only node of a cluster and wants what it had shown.
func wantSettled(t *testing.T, dir string, shown *store.Image) {
	t.Helper()
	c := trioIn(t, dir)
	n := c.open("n1", false)
	defer c.close("n1")
	if n.Readable() == nil && n.Image().Index < shown.Index {
		t.Errorf("it shows index %d, and has shown %d", n.Image().Index, shown.Index)
	}
	c.until("it can be read", n.Readable)
	if img := n.Image(); img.Index < shown.Index || img.DataDigest() != shown.DataDigest() {
		t.Errorf("index %d, digest %.8s; it has shown %d, %.8s", img.Index, img.DataDigest(), shown.Index, shown.DataDigest())
	}
	c.agree()
}

// One record of two that is damaged may have been the newer one: nothing older
// is shown in its place, by no answer and no file. What goes as far as the log
// is as new as can be, whichever record it was.
func TestADamagedRecordOfWhatWasShownNeverStepsBack(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	c.must(tenantNamed("globex"))
	c.agree()
	shown := c.leader().Image()
	for name := range c.dirs {
		c.close(name)
	}
	dir := c.dirs["n2"]
	path := filepath.Join(dir, "raft", "committed")
	whole := readFile(t, path)
	before := tree(t, dir)
	hidden := 0
	for _, at := range []int{3, 12, 40, 300, 511, 512 + 3, 512 + 12, 512 + 40, 512 + 300, 512 + 511} {
		flip(t, path, 8*at+1)
		n := c.open("n2", false)
		switch err, ready := n.Readable(), n.files.Status().Ready; {
		case err == nil && n.Image().Index < shown.Index:
			t.Errorf("byte %d: it can be read at index %d; it has shown %d", at, n.Image().Index, shown.Index)
		case err != nil && ready:
			t.Errorf("byte %d: its files count, and it cannot be read: %v", at, err)
		case err != nil:
			hidden++
		}
		c.close("n2")
		if after := tree(t, dir); after != before {
			t.Fatalf("byte %d: its files are\n%s\nand were\n%s", at, after, before)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if hidden == 0 {
		t.Error("no flip left it unreadable, want those of the newer record to")
	}
	flip(t, path, 8*600)
	for name := range c.dirs {
		c.open(name, false)
	}
	c.until("it can be read again", c.nodes["n2"].Readable)
	c.must(tenantNamed("initech"))
	c.agree()
	c.close("n2")
	n := c.open("n2", false)
	if err := n.Readable(); err != nil {
		t.Errorf("the record was not written anew: %v", err)
	}
}

func TestAFlippedBitInWhatANodeIsIsRefused(t *testing.T) {
	t.Parallel()
	whole, _ := aloneNode(t)
	d := &dataDir{path: whole, disk: disk.Real{}}
	self, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node.json", "cluster.key", "tls/node.key", "tls/node.crt", "tls/ca.crt"} {
		path := d.file(name)
		b := readFile(t, path)
		for i := range b {
			for bit := range 8 {
				if name != "node.json" && (bit != i%8 || i%2 > 0) {
					continue // signatures take their time
				}
				bad := bytes.Clone(b)
				bad[i] ^= 1 << bit
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err = d.load(); err == nil {
					_, _, err = d.loadSecrets(self)
				}
				if !errors.Is(err, store.ErrIntegrity) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s, byte %d, bit %d: err = %v", name, i, bit, err)
				}
			}
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// founding.json is what the first entry of a cluster will say.
func TestAFlippedBitInAFoundingIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "n1")
	d := &dataDir{path: dir, disk: disk.Real{}}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.found("n1", defaultCertTTL, time.Now()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "founding.json")
	size := len(readFile(t, path))
	for bit := 0; bit < 8*size; bit += 7 {
		restore := flip(t, path, bit)
		if _, err := d.loadRecord("founding.json", new(founding)); !errors.Is(err, store.ErrIntegrity) {
			t.Fatalf("bit %d: err = %v", bit, err)
		}
		restore()
	}
	flip(t, path, 999)
	refuses(t, dir, "founding.json", "as a new cluster in an empty one")
}

func TestTheKeyOfAnotherClusterIsRefused(t *testing.T) {
	t.Parallel()
	one, _ := aloneNode(t)
	other, _ := aloneNode(t)
	dir := copyDir(t, one)
	if err := os.WriteFile(filepath.Join(dir, "cluster.key"), readFile(t, filepath.Join(other, "cluster.key")), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "cluster.key", aloneHint)
}

// A member of a cluster with others is told how to come back.
func TestAMemberIsToldHowToRejoin(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2")
	c.must(tenantNamed("acme"))
	c.agree()
	c.close("n1")
	dir := c.dirs["n1"]
	log := filepath.Join(dir, "raft", "raft.db")
	whole := readFile(t, log)
	if err := os.Truncate(log, 8192); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "raft/raft.db", rejoinHint)
	// A hole in the log, whose structure and entries are whole.
	if err := os.WriteFile(log, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := testLog(t, log)
	if err := errors.Join(s.db.DeleteRange(3, 3), s.Close()); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "raft/raft.db", rejoinHint)
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "raft/raft.db", rejoinHint)
}

// A bit of the log that changes while the node runs ends it at once.
func TestDamageUnderARunningNodeStopsIt(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	n := c.leader()
	if err := os.Truncate(filepath.Join(c.dirs["n1"], "raft", "raft.db"), 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lost := tenantNamed("globex")
	lost.ID, lost.Seed = "lost", make([]byte, 32)
	if _, err := n.Write(ctx, lost, access.Local("0")); err == nil {
		t.Error("a write without a log was acknowledged")
	}
	c.until("the end of the node", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.stops["n1"]) == 0 {
			return fmt.Errorf("it goes on")
		}
		return nil
	})
	err := c.stops["n1"][0]
	var e *store.Error
	if ExitCode(err) != 11 || !errors.As(err, &e) || !strings.Contains(e.Message, "raft.db") || !strings.Contains(e.Hint, aloneHint) {
		t.Errorf("stopped with %v (hint %q), want exit 11, raft.db and a hint", err, e.Hint)
	}
}

// With the log go the votes: also when the snapshot holds all that was shown.
func TestALogIsNotBegunAnewBehindASnapshot(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	if err := c.leader().raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	c.close("n1")
	dir := c.dirs["n1"]
	if err := errors.Join(os.Remove(filepath.Join(dir, "raft/raft.db")), os.Remove(filepath.Join(dir, "raft/tail"))); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "raft/raft.db", "empty its data directory")
}

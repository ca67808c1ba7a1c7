package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// survey reads a directory for a test.
func survey(t *testing.T, dir string) *Survivor {
	t.Helper()
	s, err := Survey(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// everything is all that is in a directory: names, modes, times of change, bytes.
func everything(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			fmt.Fprintf(&b, "%x %v\n", content, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// lostTrio is a cluster of three that has stopped, and what it had shown.
func lostTrio(t *testing.T) (*trio, *store.Image) {
	t.Helper()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	if err := c.leader().raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	c.must(clientNamed("acme", "web"))
	c.agree()
	shown := c.leader().Image()
	for _, name := range []string{"n1", "n2", "n3"} {
		c.close(name)
	}
	return c, shown
}

// What is left of a cluster goes on as its next generation, with all that was
// acknowledged; the others stop when they meet it, and new members join.
func TestALostMajorityIsRecoveredFromOneMember(t *testing.T) {
	t.Parallel()
	c, shown := lostTrio(t)
	before := everything(t, c.dirs["n3"])
	s := survey(t, c.dirs["n3"])
	if !s.Whole() || s.Image.DataDigest() != shown.DataDigest() || s.Shown < shown.Index || s.Generation != 1 || len(s.Members) != 3 || len(s.Faults) > 0 {
		t.Fatalf("generation %d, digest %.8s, shown %d, members %+v, faults %q, sealed %q", s.Generation, s.Image.DataDigest(), s.Shown, s.Members, s.Faults, s.Sealed)
	}
	if again := everything(t, c.dirs["n3"]); again != before {
		t.Error("looking at the directory changed it")
	}
	r, err := s.Recover(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r.Generation != 2 || !slices.Equal(r.Behind, []string{"n1", "n2"}) || r.Revision != shown.Revision() {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(r.Aside, "raft.db")); err != nil {
		t.Errorf("the log of before was not kept: %v", err)
	}

	n := c.open("n3", false)
	if img := n.Image(); img.DataDigest() != shown.DataDigest() || img.Index < shown.Index || n.self.Generation != 2 {
		t.Errorf("it is at %d of generation %d, with digest %.8s; it had shown %d, %.8s", img.Index, n.self.Generation, img.DataDigest(), shown.Index, shown.DataDigest())
	}
	c.leader()
	c.must(clientNamed("acme", "after"))

	// One of before comes back, and its name is taken by another meanwhile.
	c.open("n2", false)
	var other *pki.OtherGeneration
	c.until("the node that was left behind stops", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.stops["n2"]) == 0 || !errors.As(c.stops["n2"][0], &other) {
			return fmt.Errorf("it was told %v", c.stops["n2"])
		}
		return nil
	})
	if said := other.Error(); !strings.Contains(said, "this cluster was recovered as generation 2 on 20") {
		t.Errorf("it says %q", said)
	}
	c.close("n2")
	c.dirs["n2"] = filepath.Join(t.TempDir(), "n2")
	c.open("n2", true)
	c.until("a vote for the next n2", func() error {
		if members := c.leader().Members(); len(members) != 2 || !members[0].Voter {
			return fmt.Errorf("%+v", members)
		}
		return nil
	})
	c.agree()
	if n2 := c.nodes["n2"].self; n2.Generation != 2 || n2.Recovery != r.Recovery {
		t.Errorf("the newcomer is of %+v", n2)
	}
	c.close("n3") // what it was recovered to is what it starts with
	c.open("n3", false)
	c.agree()
}

// Two directories that are recovered one after the other are two clusters: they
// share an id, and nothing of the one comes into the other.
func TestTwoRecoveriesOfOneClusterDoNotMeet(t *testing.T) {
	t.Parallel()
	c, _ := lostTrio(t)
	for _, name := range []string{"n2", "n3"} {
		s := survey(t, c.dirs[name])
		if _, err := s.Recover(time.Now()); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	if _, err := Judge([]*Survivor{survey(t, copyDir(t, c.dirs["n2"])), survey(t, copyDir(t, c.dirs["n3"]))}); !errors.Is(err, store.ErrInvalid) ||
		!strings.Contains(err.Error(), "were both recovered as generation 2, each by itself") {
		t.Errorf("looked at together: %v", err)
	}
	a, b := c.open("n2", false), c.open("n3", false)
	_, err := a.Dial(t.Context(), Member{ID: b.ID(), Address: b.Address()}, ProtocolRPC)
	var other *pki.OtherGeneration
	if !errors.As(err, &other) || other.Later() || !strings.Contains(err.Error(), "is of another recovery of this cluster as generation 2") {
		t.Errorf("the one dials the other: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.stops["n2"])+len(c.stops["n3"]) > 0 {
		t.Errorf("they stopped: %v", c.stops)
	}
}

// Of five, two are left whose logs end at different places.
func TestTheLatestLastEntryIsTheBest(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3", "n4", "n5")
	c.must(tenantNamed("acme"))
	c.agree()
	short := "n5"
	if c.leader().Name() == short {
		short = "n4"
	}
	c.close(short)
	c.must(clientNamed("acme", "web"))
	long := c.leader().Name()
	shown := c.leader().Image()
	for _, n := range c.running() {
		c.close(n.Name())
	}
	a, b := survey(t, c.dirs[short]), survey(t, c.dirs[long])
	for _, all := range [][]*Survivor{{a, b}, {b, a}} {
		o, err := Judge(all)
		if err != nil || o.Best != b || o.Majority || o.Voters != 5 || len(o.Missing) != 3 || len(o.Lost) > 0 || o.Costs() {
			t.Fatalf("%+v, %v", o, err)
		}
		if !strings.Contains(o.Why, "its last entry is the latest") {
			t.Errorf("because %s", o.Why)
		}
	}
	if b.Image.DataDigest() != shown.DataDigest() || a.LastIndex >= b.LastIndex {
		t.Errorf("%s ends at %d, %s at %d", short, a.LastIndex, long, b.LastIndex)
	}

	// Without a whole log the longer one is of no use, and it is known what it had shown.
	broken := copyDir(t, c.dirs[long])
	if err := flipIn(filepath.Join(broken, "raft", "raft.db"), "client.create"); err != nil {
		t.Fatal(err)
	}
	d := survey(t, broken)
	o, err := Judge([]*Survivor{a, d})
	if err != nil || o.Best != a || d.Whole() || !o.Costs() || len(o.Lost) != 1 || o.Lost[0].To != d.Shown || d.Shown < shown.Index || o.Lost[0].From != a.LastIndex+1 {
		t.Fatalf("%+v, %v, faults %v", o, err, d.Faults)
	}
	if _, err := d.Recover(time.Now()); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("recovered from a damaged log: %v", err)
	}
}

// flipIn changes a bit of the last place where a file has some words.
func flipIn(path, words string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(b, []byte(words)) {
		return fmt.Errorf("%s has no %q", path, words)
	}
	flipped := []byte(words)
	flipped[0] ^= 1
	return os.WriteFile(path, bytes.ReplaceAll(b, []byte(words), flipped), 0o600) // also in pages that are free by now
}

func TestDirectoriesThatCannotBeLookedAt(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	if _, err := Survey(c.dirs["n1"]); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), fmt.Sprintf("is in use by process %d", os.Getpid())) {
		t.Errorf("that of a running node: %v", err)
	}
	c.close("n1")
	other := newTrio(t, "n1")
	other.close("n1")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, says := range map[string]string{
		t.TempDir():                "is not the data directory of a node: it has no node.json",
		file:                       "is not a directory",
		filepath.Join(file, "not"): "not a directory",
		file + "-none":             "no such directory",
	} {
		if s, err := Survey(dir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v, want %q", dir, s, err, says)
		}
	}
	a, b := survey(t, c.dirs["n1"]), survey(t, other.dirs["n1"])
	if _, err := Judge([]*Survivor{a, b}); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), a.ClusterID) || !strings.Contains(err.Error(), b.ClusterID) || !strings.Contains(err.Error(), b.Dir) {
		t.Errorf("of two clusters: %v", err)
	}
	if o, err := Judge([]*Survivor{a}); err != nil || !o.Majority {
		t.Errorf("the only voter: %+v, %v", o, err)
	}
	a.Close()

	for _, tt := range []struct {
		fact   string
		damage func(dir string) error
		says   string // among the faults, or of the seal
	}{
		{"no log", func(d string) error { return os.Remove(filepath.Join(d, "raft", "raft.db")) }, "raft/raft.db: no such file"},
		{"no node.json", func(d string) error { return os.Remove(filepath.Join(d, "node.json")) }, "node.json is missing, but there is a log beside it"},
		{"a log cut short", func(d string) error { return os.Truncate(filepath.Join(d, "raft", "raft.db"), 8192) }, "raft log raft/raft.db is damaged"},
		{"a bit in the log", func(d string) error { return flipIn(filepath.Join(d, "raft", "raft.db"), "sys.found") }, "raft log raft/raft.db is damaged"},
		{"a bit in node.json", func(d string) error { return flipIn(filepath.Join(d, "node.json"), "n1") }, "node.json is damaged"},
		{"no cluster key", func(d string) error { return os.Remove(filepath.Join(d, "cluster.key")) }, "cluster.key is missing"},
		{"the key of another cluster", func(d string) error {
			b, err := os.ReadFile(filepath.Join(other.dirs["n1"], "cluster.key"))
			return errors.Join(err, os.WriteFile(filepath.Join(d, "cluster.key"), b, 0o600))
		}, "sealed under the cluster key"},
		{"a state that is not the majority's", func(d string) error {
			return (&dataDir{path: d, disk: disk.Real{}}).saveRecord(driftFile, Drift{Index: 7, Digest: "a", Right: "b"})
		}, "not to be that of the majority, at index 7"},
		{"a bit in the mark of one", func(d string) error {
			err := (&dataDir{path: d, disk: disk.Real{}}).saveRecord(driftFile, Drift{Index: 7})
			return errors.Join(err, flipIn(filepath.Join(d, driftFile), "index"))
		}, "drift.json is damaged"},
	} {
		dir := copyDir(t, c.dirs["n1"])
		if err := tt.damage(dir); err != nil {
			t.Fatal(err)
		}
		before := everything(t, dir)
		s := survey(t, dir)
		if s.Whole() || !strings.Contains(strings.Join(append(s.Faults, s.Sealed), "\n"), tt.says) {
			t.Errorf("%s: faults %q, sealed %q, want %q", tt.fact, s.Faults, s.Sealed, tt.says)
		}
		if o, err := Judge([]*Survivor{s}); err != nil || o.Best != nil {
			t.Errorf("%s: the best is %+v, %v", tt.fact, o, err)
		}
		if _, err := s.Recover(time.Now()); err == nil {
			t.Errorf("%s: it was recovered", tt.fact)
		}
		if everything(t, dir) != before {
			t.Errorf("%s: the directory was changed", tt.fact)
		}
	}
}

// An entry of a newer build stops a recovery as it stops a node.
func TestARecoveryDoesNotSkipWhatItCannotRead(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.close("n1")
	dir := c.dirs["n1"]
	logs, err := openLog(nil, filepath.Join(dir, "raft", "raft.db"), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	last, err := logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(logs.StoreLog(&raft.Log{Index: last + 1, Term: 9, Data: []byte{99, 1, 2, 3}}), logs.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Survey(dir); ExitCode(err) != 12 || !strings.Contains(err.Error(), fmt.Sprintf("log entry %d", last+1)) {
		t.Errorf("err = %v, exit %d, want 12", err, ExitCode(err))
	}
}

// A log that a deposed leader has written on behind the snapshot of another is not
// what goes on from it.
func TestEntriesThatDoNotFollowTheSnapshotDoNotCount(t *testing.T) {
	t.Parallel()
	dir, shown := aloneNode(t)
	whole, err := readRaft(filepath.Join(dir, "raft"), clusterIDIn(t, dir))
	if err != nil || whole.image.Index < shown.Index {
		t.Fatalf("%+v, %v", whole, err)
	}
	snaps := &snapStore{path: filepath.Join(dir, "raft", "snapshots"), log: slog.New(slog.DiscardHandler)}
	good, _, err := snaps.scan()
	if err != nil || len(good) == 0 {
		t.Fatal(err)
	}
	r := &rafted{image: store.NewImage()}
	r.snapshot = snapshotMark{"s", good[0].Meta.Index, good[0].Meta.Term + 1}
	logs, err := readLog(filepath.Join(dir, "raft", "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	first, last, err := logs.ends()
	if err != nil {
		t.Fatal(err)
	}
	if from, err := r.goesOn(logs, first, last); from != 0 || err != nil {
		t.Errorf("a log of an earlier term goes on at %d, %v", from, err)
	}
	r.snapshot.term--
	if from, err := r.goesOn(logs, first, last); from != r.snapshot.index+1 || err != nil {
		t.Errorf("the log goes on at %d, %v, want %d", from, err, r.snapshot.index+1)
	}
}

func clusterIDIn(t *testing.T, dir string) string {
	t.Helper()
	id, err := (&dataDir{path: dir}).load()
	if err != nil || id == nil {
		t.Fatal(err)
	}
	return id.ClusterID
}

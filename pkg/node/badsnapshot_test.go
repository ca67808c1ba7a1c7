package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// damageSnapshots flips a bit in a file of every snapshot that a node keeps.
func damageSnapshots(t *testing.T, dir, file string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "raft", "snapshots", "*", file))
	if err != nil || len(files) == 0 {
		t.Fatalf("no snapshots below %s: %v", dir, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADamagedSnapshotIsPutAsideAndTheLogServes(t *testing.T) {
	for _, file := range []string{stateFile, metaFile} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			putAside(t, file)
		})
	}
}

func putAside(t *testing.T, file string) {
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	if err := c.leader().raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	c.must(tenantNamed("globex"))
	shown := c.leader().Image()
	c.close("n1")
	damageSnapshots(t, c.dirs["n1"], file)
	n := c.open("n1", false)
	if img := n.Image(); img.Index < shown.Index || img.StateDigest() != shown.StateDigest() {
		t.Errorf("index %d, digest %s; it showed index %d, digest %s", img.Index, img.StateDigest(), shown.Index, shown.StateDigest())
	}
	aside, err := filepath.Glob(filepath.Join(c.dirs["n1"], "raft", "bad-*"))
	if err != nil || len(aside) != 1 {
		t.Errorf("put aside: %q, %v", aside, err)
	}
	c.must(tenantNamed("initech"))
	c.agree()
}

func TestADamagedSnapshotWithoutItsLogSaysHowToRejoin(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	n := c.leader()
	if err := n.raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if err := n.logs.DeleteRange(1, 2); err != nil { // as raft does when the log has become long
		t.Fatal(err)
	}
	c.close("n1")
	damageSnapshots(t, c.dirs["n1"], stateFile)
	_, err := Open(context.Background(), Config{Dir: c.dirs["n1"], Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Stop: func(error) {}})
	var refusal *store.Error
	if !errors.As(err, &refusal) || refusal.Code != store.CodeIntegrity || refusal.Hint == "" {
		t.Fatalf("err = %v, want one of %s that says what to do", err, store.CodeIntegrity)
	}
}

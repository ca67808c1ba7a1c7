package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// found is what a check says, without what only this test run knows.
func found(c *SelfCheck) (lines []string) {
	for _, f := range c.Faults {
		line := f.Path + ": " + f.Problem
		if f.Repaired {
			line += " (repaired)"
		}
		lines = append(lines, line)
	}
	return lines
}

// wantFound wants faults in order; each begins with the words given.
func wantFound(t *testing.T, c *SelfCheck, want ...string) {
	t.Helper()
	got := found(c)
	if c.Unchecked != "" || !slices.EqualFunc(got, want, func(g, w string) bool { return strings.Contains(g, w) }) {
		t.Errorf("unchecked %q, found\n  %s\nwant\n  %s", c.Unchecked, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestACheckFindsWhatHandsAndTimeHaveDone(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	c.must(clientNamed("acme", "web"))
	c.agree()
	n, dir := c.leader(), c.dirs["n1"]
	ctx := context.Background()
	wantFound(t, n.Check(ctx, false))
	wantFound(t, n.Check(ctx, true))

	web := filepath.Join(dir, "data/tenants/acme/clients/web.json")
	err := errors.Join(
		os.WriteFile(web, []byte(`{"client_id":"web"}`), 0o600),
		os.Remove(filepath.Join(dir, "data/tenants/acme/tenant.json")),
		os.WriteFile(filepath.Join(dir, "data/tenants/acme/clients/evil.json"), []byte("{}"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(dir, "raft/committed"), 8*700)
	flip(t, filepath.Join(dir, "raft/tail"), 8*100)
	flip(t, filepath.Join(dir, "data/.applied"), 8*100)
	want := []string{
		"data/.applied: changed",
		"data/tenants/acme/clients/evil.json: foreign",
		"data/tenants/acme/clients/web.json: changed",
		"data/tenants/acme/tenant.json: missing",
		"raft/committed: one of its two records is damaged",
		"raft/tail: one of its two records is damaged",
	}
	for range 2 {
		wantFound(t, n.Check(ctx, false), want...) // looking changes nothing
	}
	repaired := slices.Clone(want)
	for i := range repaired {
		repaired[i] += " (repaired)"
	}
	got := n.Check(ctx, true)
	wantFound(t, got, repaired...)
	if got.Hint != "" {
		t.Errorf("all is repaired, and the hint is %q", got.Hint)
	}
	wantFound(t, n.Check(ctx, false))
	c.agree()
	c.must(tenantNamed("globex"))
	c.agree()
	wantFound(t, n.Check(ctx, false))
}

// What the node cannot make again is named, and what to do.
func TestACheckNamesWhatCannotBeRepaired(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	n, dir := c.leader(), c.dirs["n1"]
	var e raft.Log
	if err := n.logs.db.GetLog(3, &e); err != nil {
		t.Fatal(err)
	}
	e.Data[len(e.Data)/2] ^= 1
	if err := errors.Join(n.logs.db.StoreLog(&e), os.Remove(filepath.Join(dir, "tls/ca.crt")), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(dir, "node.json"), 200)
	flip(t, filepath.Join(dir, "cluster.key"), 300)
	for _, repair := range []bool{false, true} {
		got := n.Check(context.Background(), repair)
		wantFound(t, got, "node.json: ", "cluster.key: changed", "tls/ca.crt: missing", "raft/raft.db: raft log "+filepath.Join(dir, "raft/raft.db")+" is damaged: entry 3 ")
		if !strings.Contains(got.Hint, aloneHint) {
			t.Errorf("hint %q", got.Hint)
		}
	}
	if len(c.stops["n1"]) > 0 {
		t.Errorf("the check stopped the node: %v", c.stops["n1"])
	}
}

// A damaged snapshot is replaced by a new one before it is put aside, also when
// raft sees no need for one; the node starts from it.
func TestACheckReplacesADamagedSnapshot(t *testing.T) {
	t.Parallel()
	for _, name := range []string{stateFile, metaFile} {
		t.Run(name, func(t *testing.T) {
			c := newTrio(t, "n1")
			c.must(tenantNamed("acme"))
			n := c.leader()
			if err := n.raft().Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
			if err := n.logs.DeleteRange(1, 2); err != nil { // as raft does when the log has become long
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(c.dirs["n1"], "raft/snapshots/*", name))
			if err != nil || len(files) != 1 {
				t.Fatalf("snapshots: %q, %v", files, err)
			}
			flip(t, files[0], 8*100)
			id := filepath.Base(filepath.Dir(files[0]))
			wantFound(t, n.Check(context.Background(), false), "raft/snapshots/"+id+": ")
			wantFound(t, n.Check(context.Background(), true), "(repaired)")
			wantFound(t, n.Check(context.Background(), false))
			shown := n.Image()
			c.close("n1")
			wantSettled(t, c.dirs["n1"], shown)
			wantMembers(t, c.open("n1", false), 1)
			if aside, err := filepath.Glob(filepath.Join(c.dirs["n1"], "raft/bad-*")); err != nil || len(aside) != 1 {
				t.Errorf("put aside: %q, %v", aside, err)
			}
		})
	}
}

// wantMembers checks that a node which starts from its newest snapshot knows of
// which index its members are, without which nobody could change them.
func wantMembers(t *testing.T, n *Node, voters int) {
	t.Helper()
	snaps, err := n.snapshots()
	if err != nil {
		t.Fatal(err)
	}
	metas, err := snaps.List()
	if err != nil || len(metas) == 0 {
		t.Fatalf("%d snapshots, %v", len(metas), err)
	}
	if m := metas[0]; m.ConfigurationIndex == 0 || m.ConfigurationIndex > m.Index || len(m.Configuration.Servers) != voters {
		t.Errorf("the snapshot of index %d has %d members of index %d", m.Index, len(m.Configuration.Servers), m.ConfigurationIndex)
	}
	if all, index, err := n.configuration(); err != nil || len(all) != voters || index == 0 {
		t.Errorf("%d members of index %d, %v", len(all), index, err)
	}
}

// A marker that was removed under the node is written to all the same, and gone.
func TestACheckFindsAMarkerThatWasRemoved(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	n, path := c.leader(), filepath.Join(c.dirs["n1"], "raft/committed")
	shown := n.Image()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wantFound(t, n.Check(context.Background(), true), "raft/committed: it was removed or replaced under the running node")
	c.close("n1")
	wantSettled(t, c.dirs["n1"], shown)
}

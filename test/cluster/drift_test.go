package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	files "github.com/cpctl/cpctl/pkg/reader"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// A node whose disk was changed so that nothing on it is damaged starts with
// another state than the others. It finds that out, sends everybody elsewhere,
// and comes back when it is repaired.
func TestANodeWithAnotherStateIsFoundOut(t *testing.T) {
	c := found(t, 3, "--snapshot-threshold", "8", "--snapshot-interval", "200ms")
	c.Must(c.Nodes[0].Server(), "tenant", "create", "acme", "--display-name", "Sunday")
	c.Flood(live.FewCallers, "acme", 0, 30)
	c.Settled()
	odd := c.Followers()[0]
	sound := c.Leader()
	live.Until(t, "the node has a snapshot with all voters", func() bool { return newestSnapshot(t, odd) > 20 })
	archive := filepath.Join(c.Dir, "a.tgz")
	c.Must(sound.Server(), "snapshot", "save", archive)
	odd.Stop()
	alter(t, odd, archive, "Sunday", "Monday")
	odd.Start()
	drifted := func() bool {
		for _, n := range c.StatusAt(sound).Nodes {
			if n.Name == odd.Name {
				return n.State == "degraded" && n.Reason == "drift"
			}
		}
		return false
	}
	live.Until(t, "the node has found out", drifted)
	c.silent(odd, sound)
	odd.Kill()
	odd.Start()
	live.Until(t, "the node is back", func() bool { return c.Cpctl(odd.Server(), nil, "cluster", "status").Exit == 0 })
	c.silent(odd, sound)

	r := c.Cpctl(sound.Server(), nil, "cluster", "check", "-o", "json")
	report := live.Decode[rpc.CheckReport](t, r)
	for _, n := range report.Nodes {
		if wrong := n.Name == odd.Name; (n.Drift != nil) != wrong || (len(n.Faults) > 0) != wrong {
			t.Errorf("check of %s: %+v, drift %+v", n.Name, n, n.Drift)
		}
	}
	if r.Exit != 11 || !strings.Contains(r.Stderr, "cpctl cluster check --repair") {
		t.Errorf("check: exit %d\n%s", r.Exit, r.Stderr)
	}
	r = c.Must(sound.Server(), "cluster", "check", "--repair")
	if !strings.Contains(string(r.Stdout), odd.Name+"     (state)   another state than the majority's") || !strings.Contains(string(r.Stdout), ", repaired") {
		t.Errorf("repair says\n%s", r.Stdout)
	}
	c.Await(odd)
	c.Must(odd.Server(), "tenant", "update", "acme", "--display-name", "Tuesday")
	c.Identical()
	if a, err := readerOf(t, odd).Tenant("acme"); err != nil || a.DisplayName != "Tuesday" {
		t.Errorf("a reader beside the repaired node: %+v, %v", a, err)
	}
	trail := string(c.Must(odd.Server(), "audit", "-o", "json").Stdout)
	for _, want := range []string{`"state.drift"`, `"state.give"`, `"state.repair"`, `"check.repair"`} {
		if !strings.Contains(trail, want) {
			t.Errorf("%s is not on record", want)
		}
	}
	odd.Kill() // what it was given is what it starts from
	odd.Start()
	c.Await(odd)
	c.Identical()
}

func readerOf(t *testing.T, n *live.Node) *files.Reader {
	t.Helper()
	r, err := files.Open(n.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// silent checks that nothing is answered from the state of a node.
func (c *cluster) silent(odd, sound *live.Node) {
	c.t.Helper()
	for _, args := range [][]string{{"tenant", "get", "acme"}, {"tenant", "get", "acme", "--stale"}, {"tenant", "create", "new"},
		{"client", "list", "-t", "acme"}, {"snapshot", "save", filepath.Join(c.Dir, "b.tgz")}, {"token", "list"}} {
		r := c.Cpctl(odd.Server(), nil, args...)
		if r.Exit != 11 || !strings.Contains(r.Stderr, `the state of node "`+odd.Name+`" is not that of the majority`) || !strings.Contains(r.Stderr, "cpctl cluster check --repair") {
			c.t.Errorf("cpctl %s: exit %d\n%s%s", strings.Join(args, " "), r.Exit, r.Stdout, r.Stderr)
		}
		if args[1] == "create" {
			continue
		}
		if r := c.Cpctl(odd.Server()+","+sound.Server(), nil, args...); r.Exit != 0 {
			c.t.Errorf("cpctl %s, with another server: exit %d\n%s%s", strings.Join(args, " "), r.Exit, r.Stdout, r.Stderr)
		}
	}
	if r := c.Cpctl(odd.Server(), nil, "cluster", "health"); r.Exit != 10 || !strings.Contains(r.Stderr, "is not that of the majority") {
		c.t.Errorf("health: exit %d\n%s", r.Exit, r.Stderr)
	}
	if a, err := readerOf(c.t, odd).Tenant("acme"); !errors.Is(err, files.ErrWithdrawn) || !errors.Is(err, files.ErrNotReady) {
		c.t.Errorf("a reader beside the node: %+v, %v", a, err)
	}
}

// alter gives a node that does not run a snapshot of its newest index, which
// holds one word in place of another. All its sums are right.
func alter(t *testing.T, n *live.Node, archive, was, now string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content, err := snapshot.Read(f, snapshot.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	tx, path := content.Image.Begin(), store.TenantPath("acme")
	if err := tx.Load(path, bytes.ReplaceAll(tx.Get(path).Bytes, []byte(was), []byte(now))); err != nil {
		t.Fatal(err)
	}
	img, _ := tx.Freeze(content.Image.Index, content.Image.Term)
	var state bytes.Buffer
	if err := snapshot.Write(&state, img, content.Manifest.ClusterID); err != nil {
		t.Fatal(err)
	}
	snaps := filepath.Join(n.Dir, "raft", "snapshots")
	old, err := filepath.Glob(filepath.Join(snaps, fmt.Sprintf("*-%d-*", newestSnapshot(t, n)), "meta.json"))
	if err != nil || len(old) == 0 {
		t.Fatalf("%d snapshots, %v", len(old), err)
	}
	var meta struct {
		Meta  raft.SnapshotMeta `json:"meta"`
		State string            `json:"state_sha256"`
		Sum   string            `json:"sum"`
	}
	b, err := os.ReadFile(old[0]) // for the members in it
	if err == nil {
		err = json.Unmarshal(b, &meta)
	}
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(state.Bytes())
	meta.Meta.ID = fmt.Sprintf("%d-%d-9999999999999", img.Term, img.Index)
	meta.Meta.Index, meta.Meta.Term, meta.Meta.Size = img.Index, img.Term, int64(state.Len())
	meta.State, meta.Sum = hex.EncodeToString(sum[:]), ""
	if b, err = json.Marshal(meta); err != nil {
		t.Fatal(err)
	}
	sum = sha256.Sum256(b)
	meta.Sum = hex.EncodeToString(sum[:])
	if b, err = json.MarshalIndent(meta, "", "  "); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(snaps, meta.Meta.ID)
	err = errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "meta.json"), append(b, '\n'), 0o600),
		os.WriteFile(filepath.Join(dir, "state.bin"), state.Bytes(), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

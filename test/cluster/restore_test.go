package cluster

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/dataset"
	"github.com/cpctl/cpctl/test/live"
)

// The whole data set goes through the binary, into an archive, out of the
// cluster and back.
func TestWhatIsRestoredIsTheSameByteForByte(t *testing.T) {
	size := dataset.Full
	if testing.Short() {
		size = dataset.Size{Tenants: 8, Clients: 100, Scopes: 60, Rotations: 2}
	}
	items := dataset.New(size)
	c := found(t, 3)
	acks := c.load(items, nil)
	before := c.Identical()
	wantAcknowledged(t, before, acks)
	archive := filepath.Join(c.Dir, "whole.tgz")
	info := c.save(archive)
	if info.Counts.Tenants != size.Tenants || info.Counts.Clients != size.Clients || info.Counts.Scopes != size.Scopes+6*size.Tenants {
		t.Errorf("the archive holds %+v, made of %+v", info.Counts, size)
	}

	// The same state gives the same bytes, whichever node is asked.
	first, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		again := filepath.Join(c.Dir, "again.tgz")
		c.Must(n.Server(), "snapshot", "save", again)
		if b, err := os.ReadFile(again); err != nil || !bytes.Equal(b, first) {
			t.Errorf("saved through node %s the archive has other bytes (%d, the first one %d): %v", n.Name, len(b), len(first), err)
		}
	}

	c.elsewhere(archive)
	c.deleteEverything(items)
	restored := live.Decode[rpc.RestoreReply](t, c.Must(c.Followers()[0].Server(), "restore", archive, "--yes", "-o", "json"))
	if !restored.Published || restored.Digest != info.Digest || restored.After != info.Counts || restored.Before.Tenants != 0 {
		t.Errorf("restored %+v", restored)
	}
	live.SameTree(t, "restored", c.Identical(), before)
	if st := c.Status(); st.Nodes[0].Digest != info.Digest || st.Nodes[0].Revision <= info.Revision {
		t.Errorf("digest %s at revision %d, the archive has %s at %d", st.Nodes[0].Digest, st.Nodes[0].Revision, info.Digest, info.Revision)
	}
	if again := c.save(filepath.Join(c.Dir, "restored.tgz")); again.Digest != info.Digest || again.Counts != info.Counts {
		t.Errorf("an archive of what was restored has digest %s and %+v; the first one %s and %+v", again.Digest, again.Counts, info.Digest, info.Counts)
	}
}

// save saves an archive and has it verified by a command that has no server.
func (c *cluster) save(file string) snapshot.Info {
	c.t.Helper()
	c.Must(c.Nodes[0].Server(), "snapshot", "save", file)
	r, err := live.Run(c.Dir, nil, "snapshot", "verify", file, "-o", "json")
	if err != nil || r.Exit != 0 {
		c.t.Fatalf("verify: exit %d, %v\n%s", r.Exit, err, r.Stderr)
	}
	info := live.Decode[snapshot.Info](c.t, r)
	if !info.Intact || info.ClusterID != c.Status().ClusterID {
		c.t.Errorf("%+v", info)
	}
	return info
}

// elsewhere tries to restore the archive in another cluster, whose key does not
// open what is sealed in it: exit 11, and nothing is changed there.
func (c *cluster) elsewhere(archive string) {
	c.t.Helper()
	other := found(c.t, 1)
	server := other.Nodes[0].Server()
	other.Must(server, "tenant", "create", "stays")
	other.Must(server, "key", "rotate", "-t", "stays")
	was, files := other.Settled(), live.Tree(c.t, other.Nodes[0].Data())
	for _, dry := range []string{"--dry-run", "--yes"} {
		r := other.Cpctl(server, nil, "restore", archive, dry, "-o", "json")
		var said struct {
			Error struct {
				Code string `json:"code"`
			} `json:"error"`
		}
		if err := json.Unmarshal([]byte(r.Stderr), &said); err != nil || r.Exit != 11 || said.Error.Code != "integrity" || len(r.Stdout) > 0 {
			c.t.Errorf("restore %s into another cluster: exit %d, %v\n%s%s", dry, r.Exit, err, r.Stdout, r.Stderr)
		}
	}
	is := other.Settled()
	if is.CommitIndex != was.CommitIndex || is.Nodes[0].StateDigest != was.Nodes[0].StateDigest {
		c.t.Errorf("the refused restore changed the state: %+v, it was %+v", is, was)
	}
	live.SameTree(c.t, "after the refused restore", live.Tree(c.t, other.Nodes[0].Data()), files)
	other.Nodes[0].Stop()
}

// deleteEverything deletes the tenants of the data set with one command line;
// the platform's own keys, which stay, are rotated.
func (c *cluster) deleteEverything(items []dataset.Item) {
	c.t.Helper()
	args := []string{"tenant", "delete", "--yes", "-o", "name"}
	tenants := 0
	for _, i := range items {
		if i.Ref.Kind == "tenant" {
			args = append(args, i.Ref.Tenant)
			tenants++
		}
	}
	r := c.Must(c.Nodes[1].Server(), args...)
	if got := bytes.Count(r.Stdout, []byte("\n")); got != tenants {
		c.t.Errorf("%d names of deleted tenants, want %d:\n%s", got, tenants, r.Stdout)
	}
	c.Must(c.Nodes[2].Server(), "key", "rotate", "--global")
	left := c.Identical()
	for _, path := range []string{store.KeysetPath(store.GlobalOwner), store.JWKSPath(store.GlobalOwner)} {
		if left[path] == nil {
			c.t.Errorf("%s is gone", path)
		}
		delete(left, path)
	}
	if len(left) > 0 {
		c.t.Errorf("left after everything was deleted: %d files", len(left))
	}
}

// A tenant with ten thousand clients is created, deleted by one command, and
// restored, with the leader killed in the middle. The clients are made over the socket of each node, 128 at a time:
// ten thousand processes would measure the kernel.
func TestATenantWithTenThousandClientsGoesAndComesBack(t *testing.T) {
	count := 10_000 // the default quota
	if testing.Short() {
		count = 500
	}
	c := found(t, 3)
	c.Must(c.Nodes[0].Server(), "tenant", "create", "huge", "--display-name", "Huge Retail")
	c.Must(c.Nodes[0].Server(), "key", "rotate", "-t", "huge")
	c.Flood(live.ManyCallers, "huge", 0, count)
	if !testing.Short() {
		r := c.Cpctl(c.Nodes[1].Server(), nil, "client", "create", "one-too-many", "-t", "huge", "--public", "--redirect-uri", "https://one.huge.example/cb")
		if r.Exit != 8 {
			t.Errorf("a client beyond the quota: exit %d\n%s", r.Exit, r.Stderr)
		}
	}
	before := c.Identical()
	if want := 1 + 6 + 2 + count; len(before) != want {
		t.Errorf("%d files, want %d", len(before), want)
	}
	archive := filepath.Join(c.Dir, "huge.tgz")
	info := c.save(archive)

	revision := c.Status().Nodes[0].Revision
	gone := live.Decode[struct {
		Deleted  []string `json:"deleted"`
		Revision uint64   `json:"revision"`
	}](t, c.Must(c.Nodes[2].Server(), "tenant", "delete", "huge", "--yes", "-o", "json"))
	if len(gone.Deleted) == 0 || gone.Deleted[0] != "tenant/huge" || gone.Revision != revision+1 {
		t.Errorf("deleted %d things at revision %d (the state was at %d), the first %.1q", len(gone.Deleted), gone.Revision, revision, gone.Deleted)
	}
	if left := c.Identical(); len(left) > 0 {
		t.Errorf("%d files are left of the tenant", len(left))
	}

	// The leader is lost on the way; the command sends the archive to the next.
	leader, through := c.Leader(), c.Followers()[0]
	done := make(chan *live.Result, 1)
	go func() {
		r, err := live.Run(c.Dir, nil, "restore", archive, "--yes", "-o", "json", "-s", through.Server(), "--timeout", (2 * live.Patience).String())
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	begun := c.Status().CommitIndex + 3
	live.Until(t, "the restore has begun", func() bool { return c.Status().CommitIndex >= begun })
	leader.Kill()
	c.Leader()
	leader.Start()
	r := <-done
	uploads := 0
	for _, n := range c.Nodes {
		log, err := os.ReadFile(n.Log)
		if err != nil {
			t.Fatal(err)
		}
		uploads += bytes.Count(log, []byte("restore begins"))
	}
	t.Logf("the archive was uploaded %d times", uploads)
	if r == nil || r.Exit != 0 {
		t.Fatalf("restore: %+v", r)
	}
	restored := live.Decode[rpc.RestoreReply](t, r)
	if restored.Replayed != (restored.Difference == nil) || !restored.Replayed && restored.After != info.Counts || restored.Revision != gone.Revision+1 {
		t.Errorf("restored %+v at revision %d, the archive has %+v; deleted at revision %d", restored.Difference, restored.Revision, info.Counts, gone.Revision)
	}
	c.Await(leader)
	live.SameTree(t, "restored", c.Identical(), before)
	if st := c.Status(); st.Nodes[0].Digest != info.Digest || st.Nodes[0].Revision != restored.Revision {
		t.Errorf("revision %d, digest %s; restored at %d, the archive has %s", st.Nodes[0].Revision, st.Nodes[0].Digest, restored.Revision, info.Digest)
	}
}

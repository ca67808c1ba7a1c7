package cluster

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

// A node that was away comes back when the others have no longer the entries
// that it lacks: it is given a snapshot of the whole state.
func TestANodeThatIsFarBehindIsGivenASnapshot(t *testing.T) {
	c := found(t, 3, "--snapshot-threshold", "64", "--snapshot-interval", "300ms", "--trailing-logs", "1024")
	c.Must(c.Nodes[0].Server(), "tenant", "create", "acme")
	c.Must(c.Nodes[0].Server(), "key", "rotate", "-t", "acme")
	c.Flood(live.ManyCallers, "acme", 0, 50)
	c.Settled()
	away := c.Followers()[0]
	was := live.Tree(t, away.Data())
	had := c.StatusAt(away)
	missing := had.CommitIndex + 1
	away.Kill()

	// What follows changes, adds and takes away.
	leader := c.Leader()
	c.Must(leader.Server(), "tenant", "update", "acme", "--display-name", "Acme Corp")
	c.Must(leader.Server(), "tenant", "create", "later")
	c.Must(leader.Server(), "client", "delete", "app-00007", "-t", "acme", "--yes")
	made := 50
	live.Until(t, "the others have dropped what the node lacks", func() bool {
		c.Flood(live.FewCallers, "acme", made, made+200)
		made += 200
		for _, n := range c.Nodes {
			// Raft keeps 1,024 entries before the end of the log, not of the snapshot.
			if n.Running() && newestSnapshot(t, n) < missing+1024+100 {
				return false
			}
		}
		return true
	})
	c.Must(leader.Server(), "key", "rotate", "-t", "acme")

	away.Start()
	c.Await(away)
	is := c.Identical()
	if want := len(was) + made - 50 - 1 + 7; len(is) != want { // one deleted; a tenant and its scopes
		t.Errorf("%d files, want %d", len(is), want)
	}
	if log, err := os.ReadFile(away.Log); err != nil || !strings.Contains(string(log), "Installed remote snapshot") { // raft's words
		t.Errorf("nobody gave the node a snapshot, or it does not say so (%v)\n%s", err, away.LogTail())
	}

	// Once more, so that what was given is what it starts from.
	away.Kill()
	away.Start()
	c.Await(away)
	c.Flood(live.ManyCallers, "acme", made, made+10)
	c.Identical()
}

// newestSnapshot is the log index of the newest of raft's snapshots on a node,
// whose names are TERM-INDEX-TIME; 0 if there is none.
func newestSnapshot(t *testing.T, n *live.Node) (newest uint64) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(n.Dir, "raft", "snapshots"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		part := strings.Split(e.Name(), "-")
		if len(part) != 3 || strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		index, err := strconv.ParseUint(part[1], 10, 64)
		if err != nil {
			t.Fatalf("snapshot %s: %v", e.Name(), err)
		}
		newest = max(newest, index)
	}
	return newest
}

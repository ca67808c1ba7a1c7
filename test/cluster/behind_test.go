package cluster

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A node that was away comes back when the others have no longer the entries
// that it lacks: it is given a snapshot of the whole state.
func TestANodeThatIsFarBehindIsGivenASnapshot(t *testing.T) {
	c := found(t, 3, "--snapshot-threshold", "64", "--snapshot-interval", "300ms", "--trailing-logs", "1024")
	c.must(c.nodes[0].server(), "tenant", "create", "acme")
	c.must(c.nodes[0].server(), "key", "rotate", "-t", "acme")
	c.flood(manyCallers, "acme", 0, 50)
	c.settled()
	away := c.followers()[0]
	was := tree(t, away.data())
	had := c.statusAt(away)
	missing := had.CommitIndex + 1
	away.kill()

	// What follows changes, adds and takes away.
	leader := c.leader()
	c.must(leader.server(), "tenant", "update", "acme", "--display-name", "Acme Corp")
	c.must(leader.server(), "tenant", "create", "later")
	c.must(leader.server(), "client", "delete", "app-00007", "-t", "acme", "--yes")
	made := 50
	until(t, "the others have dropped what the node lacks", func() bool {
		c.flood(fewCallers, "acme", made, made+200)
		made += 200
		for _, n := range c.nodes {
			// Raft keeps 1,024 entries before the end of the log, not of the snapshot.
			if n.running() && newestSnapshot(t, n) < missing+1024+100 {
				return false
			}
		}
		return true
	})
	c.must(leader.server(), "key", "rotate", "-t", "acme")

	away.start()
	c.await(away)
	is := c.identical()
	if want := len(was) + made - 50 - 1 + 7; len(is) != want { // one deleted; a tenant and its scopes
		t.Errorf("%d files, want %d", len(is), want)
	}
	if log, err := os.ReadFile(away.logFile()); err != nil || !strings.Contains(string(log), "Installed remote snapshot") { // raft's words
		t.Errorf("nobody gave the node a snapshot, or it does not say so (%v)\n%s", err, away.logTail())
	}

	// Once more, so that what was given is what it starts from.
	away.kill()
	away.start()
	c.await(away)
	c.flood(manyCallers, "acme", made, made+10)
	c.identical()
}

// newestSnapshot is the log index of the newest of raft's snapshots on a node,
// whose names are TERM-INDEX-TIME; 0 if there is none.
func newestSnapshot(t *testing.T, n *node) (newest uint64) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(n.dir, "raft", "snapshots"))
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

package node

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestANodeShowsNothingThatWasNotCommitted: the end of a log may hold entries
// that a leader wrote and never committed. They may be replaced yet, so a start
// replays no further than this node has shown.
func TestANodeShowsNothingThatWasNotCommitted(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2")
	c.must(tenantNamed("acme"))
	c.agree()
	shown := c.nodes["n2"].Image()
	deletion := mutation.Command{ID: "never-committed", Op: "tenant.delete", Actor: "test", Time: shown.Counters().Time + 1, Level: 1,
		Mutations: []mutation.Mutation{{Kind: mutation.TenantDelete, Tenant: "acme"}}}
	c.close("n1")
	c.close("n2")

	stop := func(err error) { t.Errorf("the log stopped: %v", err) }
	log, err := openLog(nil, filepath.Join(c.dirs["n2"], "raft", "raft.db"), stop)
	if err != nil {
		t.Fatal(err)
	}
	last, err := log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var end raft.Log
	if err := log.GetLog(last, &end); err != nil {
		t.Fatal(err)
	}
	tail := &raft.Log{Index: last + 1, Term: end.Term, Type: raft.LogCommand, Data: mutation.EncodeEntry([][]byte{mutation.AppendCommand(nil, &deletion)})}
	if err := log.StoreLog(tail); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}

	alone := c.open("n2", false)
	if img := alone.Image(); img.Index > last || img.Request("never-committed") != nil || img.Get(store.TenantPath("acme")) == nil {
		t.Errorf("without a quorum it shows index %d, and the log ends at %d with one entry that was not committed", img.Index, last+1)
	}
}

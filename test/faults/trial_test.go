package faults

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// trial is a cluster under load, watched, to be taken down.
type trial struct {
	*live.Cluster
	t       *testing.T
	seed    uint64
	rng     *rand.Rand // of what the trial itself decides
	found   *findings
	book    *book
	history *history
	load    *load
	readers []*reader

	archive  []byte         // of the last check
	archived map[string]doc // what is in it
	saved    uint64         // its revision
	done     string         // what is counted: "kills"
	count    int            // how many were done
}

// Snapshots are taken often, so that logs are cut and starts begin with one.
var flags = []string{"--snapshot-threshold", "128", "--snapshot-interval", "2s", "--trailing-logs", "1024"}

// begin puts a cluster of voters under load. done is what will be counted, and
// boot returns the id of the boot that a node sees.
func begin(t *testing.T, c *live.Cluster, done string, boot func(*live.Node) string) *trial {
	t.Helper()
	seed := thisSeed()
	tr := &trial{Cluster: c, t: t, seed: seed, done: done, rng: rand.New(rand.NewPCG(seed, 0)), found: new(findings), book: newBook()}
	lib := &library{known: map[store.Digest]*decoded{}}
	tr.history = newHistory(tr.found)
	ctx, cancel := context.WithCancel(context.Background())
	tr.load = &load{t: t, book: tr.book, nodes: c.Nodes, ctx: ctx}
	for i, n := range c.Nodes {
		for j, byHandle := range []bool{false, true} {
			name := "beside " + n.Name
			if byHandle {
				name += ", through a handle"
			}
			tr.readers = append(tr.readers, &reader{name: name, node: n, book: tr.book, found: tr.found, library: lib, byHandle: byHandle,
				rng: rand.New(rand.NewPCG(seed, uint64(100+2*i+j))), boot: boot(n), memory: newMemory()})
		}
	}
	t.Cleanup(func() {
		cancel()
		tr.load.busy.Wait()
		acknowledged, _ := tr.book.total()
		t.Logf("%s %d, acknowledged %d, %s (seed %d)", tr.done, tr.count, acknowledged, tr.found, seed)
		if t.Failed() {
			t.Logf("what was found with seed %d:\n%s", seed, tr.found.details())
		}
	})
	conn := tr.load.conn(0)
	defer conn.Close()
	tr.history.revision = c.Settled().Nodes[0].Revision
	for _, slug := range slugs {
		tr.load.do(conn, &mutation.Request{Op: mutation.OpTenantCreate, Tenant: slug, Name: slug})
		tr.load.do(conn, &mutation.Request{Op: mutation.OpKeyRotate, Tenant: slug, Alg: "EdDSA"})
	}
	tr.found.after("nothing yet")
	for w := range writers {
		tr.load.busy.Go(func() { tr.load.run(w, rand.New(rand.NewPCG(seed, uint64(1+w)))) })
	}
	tr.check()
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	for _, r := range tr.readers {
		tr.load.busy.Go(func() { r.run(everyPath(), stop) })
	}
	return tr
}

// await waits until so many more writes were acknowledged.
func (tr *trial) await(writes int) {
	tr.t.Helper()
	begun, _ := tr.book.total()
	patience, tick := time.After(live.Patience), time.NewTicker(200*time.Millisecond)
	defer tick.Stop()
	for {
		count, more := tr.book.total()
		if count >= begun+writes {
			return
		}
		select {
		case <-more:
		case <-tick.C:
			for _, n := range tr.Nodes {
				if n.Deserted() {
					tr.found.add(lost, "node %s ended by itself with exit %d, with all that it held", n.Name, n.ExitCode())
					tr.t.FailNow() // and its log is shown
				}
			}
		case <-patience:
			tr.t.Fatalf("after %s: only %d of %d more writes were acknowledged within %s\n%s", tr.found.now(), count-begun, writes, live.Patience, tr.Nodes[0].LogTail())
		}
	}
}

// check lets the writers rest, and compares what every node holds and shows with
// what was acknowledged.
func (tr *trial) check() {
	tr.t.Helper()
	tr.await(1) // or say which node has ended by itself
	tr.Await(tr.Nodes...)
	tr.load.rest.Lock()
	defer tr.load.rest.Unlock()
	st := tr.Settled()
	tr.history.play(tr.book.take(), st.Nodes[0].Revision)
	for i, n := range tr.Nodes {
		files := whole(tr.found, n.Name, live.Tree(tr.t, n.Data()), st.Nodes[i].Digest)
		tr.history.wantShown(n.Name, files)
		tr.history.learn(files)
	}
	for _, r := range tr.readers {
		r.recovered()
	}
	tr.Identical()
	if tr.found.any() || tr.t.Failed() {
		tr.t.FailNow() // what follows would only repeat it
	}
	var archive bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	conn := tr.load.conn(0)
	defer conn.Close()
	if _, err := conn.Snapshot(ctx, &archive); err != nil {
		tr.t.Fatalf("save an archive: %v", err)
	}
	tr.archive, tr.archived, tr.saved = archive.Bytes(), maps.Clone(tr.history.docs), tr.history.revision
}

// end checks for the last time, and sums up.
func (tr *trial) end() {
	tr.t.Helper()
	tr.check()
	for _, r := range tr.readers {
		r.mu.Lock()
		said := fmt.Sprintf("the reader %s looked %d times, saw %d changes, and compared %d keysets with their public sets", r.name, r.looks, r.moved, r.signed)
		if tr.t.Log(said); r.looks < 50 || r.moved < 10 || r.signed < 20 {
			tr.t.Error("too few to say anything")
		}
		r.mu.Unlock()
	}
}

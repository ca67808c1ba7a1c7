package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
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
	tr.history = newHistory(tr.found)
	ctx, cancel := context.WithCancel(context.Background())
	tr.load = &load{t: t, book: tr.book, nodes: c.Nodes, ctx: ctx}
	for i, n := range c.Nodes {
		for j, byHandle := range []bool{false, true} {
			name := "beside " + n.Name
			if byHandle {
				name += ", through a handle"
			}
			tr.readers = append(tr.readers, &reader{name: name, node: n, book: tr.book, found: tr.found, byHandle: byHandle,
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
					tr.t.Fatalf("after %s: node %s ended by itself with exit %d\n%s", tr.found.now(), n.Name, n.ExitCode(), n.LogTail())
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

// restore goes back to the archive of the last check, beside the writers.
func (tr *trial) restore() {
	r := tr.book.asksRestore(tr.archived, tr.saved)
	archive := bytes.NewReader(tr.archive)
	id := fmt.Sprintf("restore-%d-%d", tr.seed, r.number)
	tr.load.busy.Go(func() {
		tr.load.rest.RLock()
		defer tr.load.rest.RUnlock()
		conn := tr.load.conn(r.number)
		defer conn.Close()
		for {
			sent := tr.book.now()
			ctx, cancel := context.WithTimeout(tr.load.ctx, 2*live.Patience)
			archive.Seek(0, 0)
			a, err := conn.Restore(ctx, archive, rpc.RestoreArgs{RequestID: id})
			cancel()
			if tr.load.ctx.Err() != nil {
				return
			}
			if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUnavailable) {
				continue // another one is under way, or the leader was lost before anything was done
			}
			if err != nil {
				tr.t.Errorf("restore: %v", err)
				return
			}
			revision := a.Revision
			if a.Added+a.Changed+a.Removed == 0 {
				revision = 0
			}
			if tr.book.settlesRestore(sent, r, revision) {
				return
			}
		}
	})
}

// peek asks a node that has just been started, and may have no peers, for what
// a reader beside it has been shown before.
func (tr *trial) peek(n *live.Node) {
	tr.t.Helper()
	var r *reader
	for _, r = range tr.readers {
		if r.node == n {
			break
		}
	}
	r.mu.Lock()
	was := &memory{index: r.memory.index, docs: maps.Clone(r.memory.docs)}
	r.mu.Unlock()
	conn := rpc.NewClient(rpc.Options{Servers: []string{n.Server()}})
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	for path, s := range was.docs {
		ref, err := store.ParsePath(path)
		if err != nil {
			tr.t.Fatal(err)
		}
		name := ref.Name
		if ref.Kind == "tenant" {
			name = ref.Tenant
		}
		reply, err := conn.Get(ctx, rpc.GetArgs{Kind: ref.Kind, Tenant: ref.Tenant, Name: name, Read: rpc.ReadOptions{Stale: true}})
		switch {
		case errors.Is(err, store.ErrNotFound):
			if fault := was.absent(tr.book, path); fault != "" {
				tr.found.add(backward, "node %s, just started: %s", n.Name, fault)
			}
		case err != nil:
			tr.t.Errorf("node %s, just started, asked for %s: %v", n.Name, path, err)
		default:
			if reply.Index < was.index {
				tr.found.add(backward, "node %s, just started, is at index %d; its files were at %d", n.Name, reply.Index, was.index)
			}
			s.sum = store.Digest{} // of the file; what is shown to people has other bytes
			was.docs[path] = s
			if k, fault := was.there(tr.book, path, shown(reply.Document).revision, store.Digest{}); fault != "" {
				tr.found.add(k, "node %s, just started: %s", n.Name, fault)
			}
		}
	}
}

// end checks for the last time, and sums up.
func (tr *trial) end() {
	tr.t.Helper()
	tr.check()
	for _, r := range tr.readers {
		r.mu.Lock()
		said := fmt.Sprintf("the reader %s looked %d times, saw %d changes, and compared %d keysets with their public sets", r.name, r.looks, r.moved, r.signed)
		if tr.t.Log(said); r.looks < 100 || r.moved < 10 || r.signed < 20 {
			tr.t.Error("too few to say anything")
		}
		r.mu.Unlock()
	}
}

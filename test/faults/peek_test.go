package faults

import (
	"context"
	"errors"
	"maps"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

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

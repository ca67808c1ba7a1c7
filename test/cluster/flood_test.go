package cluster

import (
	"context"
	"sync"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
)

// manyCallers make much in little time: commands that arrive together share a
// log entry. With fewCallers there are about as many entries as commands.
const (
	manyCallers = 128
	fewCallers  = 4
)

// flood makes the clients from to to-1 of a tenant, with so many calls under
// way, over the sockets of the nodes that run.
func (c *cluster) flood(callers int, tenant string, from, to int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	var conns []*rpc.Client
	for _, n := range c.nodes {
		if n.running() {
			conn := rpc.NewClient(rpc.Options{Servers: []string{n.server()}})
			defer conn.Close()
			conns = append(conns, conn)
		}
	}
	work := make(chan int)
	var failed sync.Once
	var busy sync.WaitGroup
	for w := range callers {
		busy.Go(func() {
			for n := range work {
				id, patch := flooded(tenant, n)
				req := &mutation.Request{Op: mutation.OpClientCreate, Tenant: tenant, Name: id, Patch: patch}
				if _, err := conns[w%len(conns)].Write(ctx, req); err != nil {
					failed.Do(func() { c.t.Errorf("create client %s: %v", id, err) })
				}
			}
		})
	}
	for n := from; n < to; n++ {
		work <- n
	}
	close(work)
	busy.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

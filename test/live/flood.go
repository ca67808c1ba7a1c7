package live

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
)

// ManyCallers make much in little time: commands that arrive together share a
// log entry. With FewCallers there are about as many entries as commands.
const (
	ManyCallers = 128
	FewCallers  = 4
)

// Flood makes the clients from to to-1 of a tenant, with so many calls under
// way, over the sockets of the nodes that run.
func (c *Cluster) Flood(callers int, tenant string, from, to int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*Patience)
	defer cancel()
	var conns []*rpc.Client
	for _, n := range c.Nodes {
		if n.Running() {
			conn := rpc.NewClient(rpc.Options{Servers: []string{n.Server()}})
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
				id, patch := Flooded(tenant, n)
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

// Flooded is the client that Flood makes as the nth of a tenant.
func Flooded(tenant string, n int) (id string, patch json.RawMessage) {
	id = fmt.Sprintf("app-%05d", n)
	return id, json.RawMessage(fmt.Sprintf(`{"token_endpoint_auth_method":"none","client_name":"Application %d",`+
		`"redirect_uris":["https://%s.%s.example/callback"],"grant_types":["authorization_code","refresh_token"],"labels":{"shard":"%d"}}`, n, id, tenant, n%64))
}

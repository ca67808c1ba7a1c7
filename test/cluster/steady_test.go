package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

// A leader that has all to do that it can is still the leader. At length:
// go run ./test/bench/failover -steady 10m.
func TestLoadCallsNoElection(t *testing.T) {
	const callers, calls = 32, 150
	timeout := (patient * 500 * time.Millisecond).String()
	c := found(t, 3, "--heartbeat-timeout", timeout, "--election-timeout", timeout)
	c.Must(c.Servers(0), "tenant", "create", "acme")
	before := c.Settled()
	var busy sync.WaitGroup
	var done atomic.Int64
	began := time.Now()
	for i := range callers {
		cl := rpc.NewClient(rpc.Options{Servers: []string{c.Nodes[i%len(c.Nodes)].Server()}})
		t.Cleanup(func() { cl.Close() })
		busy.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*live.Patience)
			defer cancel()
			for k := range calls {
				_, err := cl.Write(ctx, &mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: fmt.Sprintf("c%d-%d", i, k),
					Patch: json.RawMessage(`{"token_endpoint_auth_method":"none","redirect_uris":["https://app.example/cb"]}`)})
				if err == nil {
					_, err = cl.Get(ctx, rpc.GetArgs{Kind: "tenant", Name: "acme"})
				}
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
					return
				}
				done.Add(1)
			}
		})
	}
	busy.Wait()
	after := c.Settled()
	t.Logf("%d writes and as many reads in %s", done.Load(), time.Since(began).Round(time.Millisecond))
	if after.Term != before.Term || after.Leader != before.Leader {
		t.Errorf("%s leads in term %d; before the load %s did, in term %d", after.Leader, after.Term, before.Leader, before.Term)
	}
}

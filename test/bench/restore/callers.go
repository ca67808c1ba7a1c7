package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

// callers go on with their work while the cluster restores.
type callers struct {
	begun       time.Time
	write, read calls
	stop        context.CancelFunc
	busy        sync.WaitGroup
}

// callEvery leaves the machine to the restore.
const callEvery = 20 * time.Millisecond

// calls is what became of somebody's calls.
type calls struct {
	count, failed int
	longest       time.Duration
}

// callers begins a writer and a reader, of different nodes.
func (c cluster) callers() *callers {
	ctx, stop := context.WithCancel(context.Background())
	all := &callers{begun: time.Now(), stop: stop}
	goOn := func(n *nodes.Node, of *calls, call func(context.Context, *rpc.Client, int) error) {
		all.busy.Go(func() {
			client := nodes.Client(n)
			defer client.Close()
			turn := time.NewTicker(callEvery)
			defer turn.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				select {
				case <-turn.C:
				case <-ctx.Done():
					return
				}
				each, cancel := context.WithTimeout(ctx, patience)
				begun := time.Now()
				err := call(each, client, i)
				cancel()
				if ctx.Err() != nil {
					return
				}
				of.count++
				of.longest = max(of.longest, time.Since(begun))
				if err != nil {
					of.failed++
				}
			}
		})
	}
	goOn(c.Nodes[1], &all.write, func(ctx context.Context, client *rpc.Client, i int) error {
		_, err := client.Write(ctx, &mutation.Request{Op: mutation.OpTenantUpdate, Name: "busy", Patch: json.RawMessage(fmt.Sprintf(`{"labels":{"turn":"%d"}}`, i))})
		return err
	})
	goOn(c.Nodes[2], &all.read, func(ctx context.Context, client *rpc.Client, _ int) error {
		_, err := client.Get(ctx, rpc.GetArgs{Kind: "tenant", Name: "busy"})
		return err
	})
	return all
}

func (c *callers) end() {
	c.stop()
	c.busy.Wait()
}

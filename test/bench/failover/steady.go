package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

// steady loads the cluster with writers and readers at every node, and fails if
// another leader was elected meanwhile.
func (c cluster) steady(d time.Duration, callers int) error {
	ctx, cancel := context.WithTimeout(context.Background(), d+nodes.Patience)
	defer cancel()
	if err := c.Whole(ctx); err != nil {
		return err
	}
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d writers and %d readers for %s; node %s leads, term %d\n", callers, callers, d, before.Leader, before.Term)
	var writes, reads atomic.Int64
	var worst atomic.Int64 // the longest call
	failed := make(chan error, 2*callers)
	end := time.Now().Add(d)
	var busy sync.WaitGroup
	load := func(i int, count *atomic.Int64, call func(cl *rpc.Client, k int) error) {
		busy.Go(func() {
			cl := nodes.Client(c.Nodes[i%len(c.Nodes)])
			defer cl.Close()
			for k := 0; time.Now().Before(end); k++ {
				began := time.Now()
				if err := call(cl, k); err != nil {
					failed <- err
					return
				}
				count.Add(1)
				for took := int64(time.Since(began)); ; {
					if was := worst.Load(); took <= was || worst.CompareAndSwap(was, took) {
						break
					}
				}
			}
		})
	}
	for i := range callers {
		name := fmt.Sprintf("writer-%d", i)
		load(i, &writes, func(cl *rpc.Client, k int) error {
			req := &mutation.Request{Op: mutation.OpClientUpdate, Tenant: "acme", Name: name, Patch: json.RawMessage(fmt.Sprintf(`{"description":"change %d"}`, k))}
			if k == 0 {
				req = &mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: name, IfNotExists: true,
					Patch: json.RawMessage(`{"token_endpoint_auth_method":"none","redirect_uris":["https://app.example/cb"]}`)}
			}
			_, err := cl.Write(ctx, req)
			return err
		})
		load(i, &reads, func(cl *rpc.Client, _ int) error {
			_, err := cl.Get(ctx, rpc.GetArgs{Kind: "tenant", Name: "acme"})
			return err
		})
	}
	busy.Wait()
	after, err := c.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d writes, %d reads, the longest call took %s; node %s leads, term %d\n", writes.Load(), reads.Load(), nodes.MS(time.Duration(worst.Load())), after.Leader, after.Term)
	close(failed)
	for f := range failed {
		err = errors.Join(err, f)
	}
	if elections := after.Term - before.Term; elections > 0 {
		err = errors.Join(err, fmt.Errorf("%d terms began under load", elections))
	}
	return err
}

package main

import (
	"context"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

// begin makes the tenants, each with a key, and the first clients.
func (b *bench) begin() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all := nodes.Client(b.Nodes...)
	defer all.Close()
	if err := nodes.MakeTenants(ctx, all); err != nil {
		return err
	}
	for i := range nodes.Tenants {
		if _, err := all.Write(ctx, &mutation.Request{Op: mutation.OpKeyRotate, Tenant: nodes.Tenant(i)}); err != nil {
			return err
		}
	}
	_, err := b.create(1, callers, seeds)
	return err
}

// create makes the next clients, so many, at the leader: by callers who share connections.
func (b *bench) create(connections, callers, count int) (nodes.Load, error) {
	l, err := b.write(connections, callers, nodes.Numbers(b.made, count), nodes.Create)
	if err == nil {
		b.made += count
	}
	return l, err
}

// write lets callers of the leader write, until there is no next.
func (b *bench) write(connections, callers int, next func() (int, bool), request func(i int) *mutation.Request) (nodes.Load, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	leader, _, err := b.Leader(ctx)
	if err != nil {
		return nodes.Load{}, err
	}
	var all []*rpc.Client
	for range connections { // they are made before the work begins
		c := nodes.Client(leader)
		defer c.Close()
		if _, err := c.Get(ctx, rpc.GetArgs{Kind: "tenant", Name: nodes.Tenant(0)}); err != nil {
			return nodes.Load{}, err
		}
		all = append(all, c)
	}
	return nodes.Callers(callers, next, func(caller, i int) error {
		_, err := all[caller%connections].Write(ctx, request(i))
		return err
	})
}

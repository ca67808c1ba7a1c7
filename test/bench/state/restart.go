package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

const tail = 500 // changes before each restart, so that there is something to replay

// restarts stops a follower in both ways, by turns, with a verify of the state in
// between. test/bench/restart shows where the time goes.
func (b *bench) restarts() error {
	leader, others, err := b.leader()
	if err != nil {
		return err
	}
	file := filepath.Join(b.Base, "restart.tgz")
	if _, err := nodes.Save(b.Binary, leader.Server(), file); err != nil {
		return err
	}
	var verified []time.Duration
	kinds := []struct {
		what           string
		sig            os.Signal
		most           float64
		ready, answers []time.Duration
	}{{what: "clean stop", sig: os.Interrupt, most: 1.5}, {what: "kill -9", sig: os.Kill, most: 3}}
	for range pairs {
		d, err := nodes.Verify(b.Binary, file)
		if err != nil {
			return err
		}
		verified = append(verified, d)
		for i := range kinds {
			k := &kinds[i]
			if _, err := b.write(1, callers, nodes.Numbers(0, tail), b.update); err != nil {
				return err
			}
			ready, answers, err := b.restart(others[0], k.sig)
			if err != nil {
				return err
			}
			k.ready, k.answers = append(k.ready, ready), append(k.answers, answers)
		}
	}
	beside := "verify: " + long(verified)
	for _, k := range kinds {
		b.results.compared("restart", k.what+", until the line that says ready", long(k.ready), beside, nodes.Ratio(k.ready, verified), atMost(k.most))
		b.results.compared("restart", k.what+", until a read is answered", long(k.answers), beside, nodes.Ratio(k.answers, verified), atMost(k.most))
	}
	return nil
}

// restart ends a node and starts it again, and tells how long until it says that it
// is ready, and until it has answered a linearizable read.
func (b *bench) restart(n *nodes.Node, sig os.Signal) (ready, answers time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Stop(sig); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := b.Start(n); err != nil {
		return 0, 0, err
	}
	ready = time.Since(began)
	c := nodes.Client(n)
	defer c.Close()
	if _, err := c.Get(ctx, rpc.GetArgs{Kind: "client", Tenant: nodes.Tenant(0), Name: nodes.ClientID(0)}); err != nil {
		return 0, 0, err
	}
	answers = time.Since(began)
	return ready, answers, b.Whole(ctx)
}

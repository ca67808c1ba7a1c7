package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

// unpublishedTag builds a node that publishes no files and says that it does.
const unpublishedTag = "unpublished"

// cpctl is three nodes of the one.
type cpctl struct {
	*nodes.Cluster
	called string
	stored []byte // a document as it is stored; nil if none is published
}

// foundCpctl builds it with tags; called is its name in the table.
func foundCpctl(base, called string, tags ...string) (*cpctl, error) {
	if err := os.Mkdir(base, 0o700); err != nil {
		return nil, err
	}
	cluster, err := nodes.Build(base, "", tags...)
	if err != nil {
		return nil, err
	}
	c := &cpctl{Cluster: cluster, called: called}
	if err := c.begin(); err != nil {
		c.End()
		return nil, err
	}
	if slices.Contains(tags, unpublishedTag) != (c.stored == nil) {
		c.End()
		return nil, fmt.Errorf("built with the tags %q, and files are published: %t", tags, c.stored != nil)
	}
	return c, nil
}

func (c *cpctl) begin() error {
	if err := c.Found(3); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), nodes.Patience)
	defer cancel()
	all := nodes.Client(c.Nodes...)
	defer all.Close()
	if err := nodes.MakeTenants(ctx, all); err != nil {
		return err
	}
	sample := oneOfCpctl{all}
	if err := sample.write(ctx, 0); err != nil {
		return err
	}
	var err error
	c.stored, err = os.ReadFile(filepath.Join(c.Nodes[0].Dir, "data", "tenants", nodes.Tenant(0), "clients", nodes.ClientID(0)+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // foundCpctl knows whether it has to be there
	}
	return err
}

func (c *cpctl) name() string { return c.called }

func (c *cpctl) end() { c.End() }

// callers are count callers of the leader, or of all nodes in turn.
func (c *cpctl) callers(ctx context.Context, count int, spread bool) ([]caller, error) {
	leader, _, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	var all []caller
	for i := range count {
		at := leader
		if spread {
			at = c.Nodes[i%len(c.Nodes)]
		}
		all = append(all, oneOfCpctl{nodes.Client(at)})
	}
	return all, nil
}

func (c *cpctl) cpu() (time.Duration, error) {
	var all []*nodes.Process
	for _, n := range c.Nodes {
		all = append(all, n.Process)
	}
	return nodes.CPU(all...)
}

// profile writes profiles of all nodes over so long, with names that begin so.
func (c *cpctl) profile(d time.Duration, prefix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), d+nodes.Patience)
	defer cancel()
	leader, _, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	failed := make(chan error, len(c.Nodes))
	for _, n := range c.Nodes {
		role := "follower"
		if n == leader {
			role = "leader"
		}
		go func() { failed <- n.Profile(ctx, d, prefix+"-"+n.Name+"-"+role) }()
	}
	var errs []error
	for range c.Nodes {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

type oneOfCpctl struct{ *rpc.Client }

func (c oneOfCpctl) write(ctx context.Context, i int) error {
	_, err := c.Write(ctx, nodes.Create(i))
	return err
}

func (c oneOfCpctl) read(ctx context.Context, i int) error {
	r, err := c.Get(ctx, rpc.GetArgs{Kind: "client", Tenant: nodes.Tenant(i), Name: nodes.ClientID(i)})
	if err == nil && len(r.Document) == 0 {
		err = fmt.Errorf("client %d is empty", i)
	}
	return err
}

func (c oneOfCpctl) close() { c.Close() }

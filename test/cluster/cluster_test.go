package cluster

import (
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

// cluster is a few nodes on this machine, and what the tests here do with them.
type cluster struct {
	*live.Cluster
	t *testing.T
}

// found makes a cluster of n voters with these flags on each node.
func found(t *testing.T, n int, flags ...string) *cluster {
	t.Helper()
	return &cluster{live.Found(t, n, flags...), t}
}

// as is the cluster for a subtest.
func (c *cluster) as(t *testing.T) *cluster { return &cluster{c.As(t), t} }

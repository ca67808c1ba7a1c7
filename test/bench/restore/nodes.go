package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

// patience is how long a restore may take before the measurement gives up.
const patience = time.Hour

// cluster is the three that are measured.
type cluster struct{ *nodes.Cluster }

// found makes a cluster of three voters.
func found(work string, timeout time.Duration) (cluster, error) {
	c, err := nodes.Build(work, "")
	if err != nil {
		return cluster{}, err
	}
	c.Args = []string{"--heartbeat-timeout", timeout.String(), "--election-timeout", timeout.String()}
	if err := c.Found(3); err != nil {
		c.End()
		return cluster{}, err
	}
	return cluster{c}, nil
}

// settled waits until every node's files show its state.
func (c *cluster) settled() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.Until(ctx, "files that show the archive", func(st *rpc.ClusterStatus) bool {
		for _, n := range st.Nodes {
			if n.PublishedIndex+50 < st.CommitIndex || n.State != "alive" { // a writer goes on
				return false
			}
		}
		return true
	})
}

// cut waits until every node has cut its log behind a large restore.
func (c *cluster) cut() error {
	for late := time.After(2 * time.Minute); ; {
		missing := ""
		for _, n := range c.Nodes {
			log, err := os.ReadFile(filepath.Join(c.Logs, n.Name+".log"))
			if err != nil {
				return err
			}
			if !strings.Contains(string(log), "the log was cut") {
				missing = n.Name
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-late:
			return errors.New("the log was not cut by " + missing)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

// join admits a fourth node, until it has all that the others have, in its files
// too. Unpacking the same state with tar comes before and after it. Then it goes:
// with four nodes a write is another.
func (b *bench) join() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	leader, _, err := b.leader()
	if err != nil {
		return err
	}
	file := filepath.Join(b.Base, "join.tgz")
	if _, err := nodes.Save(b.Binary, leader.Server(), file); err != nil {
		return err
	}
	before, err := b.untar(file, "before")
	if err != nil {
		return err
	}
	began := time.Now()
	n, err := b.Join()
	if err != nil {
		return err
	}
	if err := b.Until(ctx, n.Name+" has all and shows it", func(st *rpc.ClusterStatus) bool { return shown(st, n.Name) }); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := b.untar(file, "after")
	if err != nil {
		return err
	}
	tar := (before + after) / 2
	b.results.compared("join", "a fourth node, until its files are all there", nodes.MS(took), fmt.Sprintf("tar xzf: %s (before %s, after %s)", nodes.MS(tar), nodes.MS(before), nodes.MS(after)),
		float64(took)/float64(tar), atMost(1.5))
	return b.Part(ctx, n)
}

// shown tells whether the node has what the leader has, and its files show it.
func shown(st *rpc.ClusterStatus, name string) bool {
	var it, leader *rpc.NodeStatus
	for i := range st.Nodes {
		switch n := &st.Nodes[i]; n.Name {
		case name:
			it = n
		case st.Leader:
			leader = n
		}
	}
	return it != nil && leader != nil && it.State == "alive" && it.StateDigest == leader.StateDigest && it.PublishedIndex >= leader.PublishedIndex
}

// untar unpacks an archive into a directory that was never there before.
func (b *bench) untar(file, name string) (time.Duration, error) {
	to := filepath.Join(b.Base, "untar-"+name)
	if err := os.Mkdir(to, 0o700); err != nil {
		return 0, err
	}
	return nodes.Timed(exec.Command("tar", "-C", to, "-xzf", file))
}

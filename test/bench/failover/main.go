// Command failover measures how long nobody can change anything when a leader of
// three goes: killed with kill -9, asked to hand leadership over, or restarted
// with SIGTERM. With -steady it loads the three instead, and counts elections that
// nothing called for. It runs on directories of its own, and everything it needs is
// in this module:
//
//	go run ./test/bench/failover -rounds 30
//	go run ./test/bench/failover -steady 10m
//
// The nodes are processes with the default timeouts. A kill is measured to the end
// of a command that was typed at another node at that moment; the others by a
// writer that never rests, as the longest time between two of its answers.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

func main() {
	rounds := flag.Int("rounds", 30, "how often each is measured")
	steady := flag.Duration("steady", 0, "instead, load the cluster for so long and count elections")
	callers := flag.Int("callers", 64, "writers at once, and as many readers, of -steady")
	only := flag.String("only", "", "measure one of kill, transfer, restart alone")
	dir := flag.String("dir", "", "where to make the data directories (default the system's directory for temporary files)")
	logs := flag.String("logs", "", "where to keep the logs of the nodes (default they go with the directories)")
	flag.Parse()
	err := run(*dir, *logs, func(c cluster) error {
		if *steady > 0 {
			return c.steady(*steady, *callers)
		}
		return measure(c, *rounds, *only)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

// cluster is the three that are measured.
type cluster struct{ *nodes.Cluster }

func run(dir, logs string, work func(cluster) error) error {
	base, err := os.MkdirTemp(dir, "cpctl-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	c, err := nodes.Build(base, logs)
	if err != nil {
		return err
	}
	defer c.End()
	if err := c.Found(3); err != nil {
		return err
	}
	all := nodes.Client(c.Nodes...)
	defer all.Close()
	ctx, cancel := context.WithTimeout(context.Background(), nodes.Patience)
	defer cancel()
	if _, err := all.Write(ctx, &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}); err != nil {
		return err
	}
	return work(cluster{c})
}

func measure(c cluster, rounds int, only string) error {
	kinds := []struct {
		name, what string
		once       func() (time.Duration, error)
	}{
		{"kill", "kill -9 of the leader, to the end of a command", c.kill},
		{"transfer", "cluster transfer", c.transfer},
		{"restart", "SIGTERM of the leader", c.restart},
	}
	took := make([][]time.Duration, len(kinds))
	for i := range rounds { // by turns: a machine whose speed drifts is fair to all
		for k, kind := range kinds {
			if only != "" && only != kind.name {
				continue
			}
			d, err := kind.once()
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", i+1, kind.what, err)
			}
			took[k] = append(took[k], d)
		}
	}
	t := nodes.NewTable(0)
	t.Line("NOTHING IS CHANGED FOR", "ROUNDS", "MEDIAN", "WORST", "LEAST")
	for k, kind := range kinds {
		if all := took[k]; len(all) > 0 {
			t.Line(kind.what, len(all), nodes.MS(nodes.Median(all)), nodes.MS(slices.Max(all)), nodes.MS(slices.Min(all)))
		}
	}
	return t.Print(os.Stdout)
}

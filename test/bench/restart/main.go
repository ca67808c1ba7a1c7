// Command restart measures how long a node with many clients takes to come back,
// after a clean stop and after kill -9, and where the time goes. It runs on a
// directory of its own, and everything it needs is in this module:
//
//	go run ./test/bench/restart -clients 100000
//
// The two kinds of restart take turns, so that a machine whose speed drifts is
// fair to both. Beside them stands "cpctl snapshot verify" of the same state: what
// reading that much costs at least.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

func main() {
	clients := flag.Int("clients", 100_000, "how many OAuth clients the node has")
	tenants := flag.Int("tenants", 20, "over how many tenants they are spread")
	rounds := flag.Int("rounds", 5, "restarts of each kind")
	tail := flag.Int("tail", 500, "changes after the newest snapshot, which a restart replays")
	dir := flag.String("dir", "", "where to make the data directory (default the system's directory for temporary files)")
	flag.Parse()
	if err := run(*dir, *tenants, *clients, *rounds, *tail); err != nil {
		fmt.Fprintln(os.Stderr, "restart:", err)
		os.Exit(1)
	}
}

func run(dir string, tenants, clients, rounds, tail int) (err error) {
	work, err := os.MkdirTemp(dir, "cpctl-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	n, err := build(work)
	if err != nil {
		return err
	}
	defer n.end()
	if _, err := n.start(); err != nil {
		return err
	}
	fmt.Printf("making %d clients of %d tenants\n", clients, tenants)
	if err := n.fill(tenants, clients); err != nil {
		return err
	}
	verify, err := n.verify(filepath.Join(work, "state.tgz"), rounds)
	if err != nil {
		return err
	}
	var clean, killed []restart
	for i := range rounds {
		if err := n.change(i*tail, tail); err != nil {
			return err
		}
		r, err := n.restart(os.Interrupt)
		if err != nil {
			return err
		}
		clean = append(clean, r)
		if err := n.change(i*tail, tail); err != nil {
			return err
		}
		if r, err = n.restart(os.Kill); err != nil {
			return err
		}
		killed = append(killed, r)
	}
	return report(verify, clean, killed)
}

// report prints the median of every figure, and the least and the most.
func report(verify []time.Duration, clean, killed []restart) error {
	t := nodes.NewTable(0)
	t.Line("WHAT", "MEDIAN", "LEAST", "MOST", "OF VERIFY")
	whole := nodes.Median(verify)
	line := func(what string, took []time.Duration) {
		m := nodes.Median(took)
		t.Line(what, nodes.MS(m), nodes.MS(slices.Min(took)), nodes.MS(slices.Max(took)), fmt.Sprintf("%.2f", float64(m)/float64(whole)))
	}
	line("snapshot verify", verify)
	for _, kind := range []struct {
		name string
		runs []restart
	}{{"clean stop", clean}, {"kill -9", killed}} {
		line(kind.name+": until it answers", each(kind.runs, func(r restart) time.Duration { return r.answers }))
		line(kind.name+": until a write succeeds", each(kind.runs, func(r restart) time.Duration { return r.writes }))
		for _, phase := range kind.runs[0].phases {
			line("    "+phase.name, each(kind.runs, func(r restart) time.Duration { return r.phase(phase.name) }))
		}
		line(kind.name+": until every file was compared", each(kind.runs, func(r restart) time.Duration { return r.compared }))
	}
	return t.Print(os.Stdout)
}

func each(runs []restart, of func(restart) time.Duration) (out []time.Duration) {
	for _, r := range runs {
		out = append(out, of(r))
	}
	return out
}

// Command state measures what a state of many OAuth clients costs: to make it, to
// go on under it, to save, to read again, to hand to a new node, and to hold in
// memory. Three nodes with all defaults run on this machine, and everything it
// needs is in this module:
//
//	go run ./test/bench/state -clients 100000
//
// Each figure stands beside another that was measured in the same run, by turns
// where that can be, and the goal is a ratio of the two: seconds of another machine
// say nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// parts are what can be measured, in the order of the table.
var parts = append(slices.Clip(usual), "updates")

// usual are those that are measured if nobody says which. The others take an hour.
var usual = []string{"bulk", "grow", "snapshot", "save", "restart", "join", "memory"}

const (
	seeds        = 1000 // clients that are there when the state is called small
	fewest       = 2 * seeds
	pairs        = 5 // turns of each of two that are compared
	patience     = time.Hour
	collectAtEnd = 130 * time.Second // Go collects garbage after two minutes at the latest
)

func main() {
	b := &bench{}
	flag.IntVar(&b.clients, "clients", 100_000, "how many OAuth clients there will be, at least 2000")
	flag.DurationVar(&b.quiet, "quiet", collectAtEnd, "how long nodes have nothing to do before their memory is read")
	only := flag.String("only", strings.Join(usual, ","), "what is measured, of "+strings.Join(parts, ","))
	flag.DurationVar(&b.updating, "for", time.Hour, "how long clients are updated, once the table of requests is full")
	dir := flag.String("dir", "", "where to make the data directories (default the system's directory for temporary files)")
	flag.Parse()
	err := b.read(*only)
	if err == nil {
		err = b.run(*dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "state:", err)
		os.Exit(1)
	}
}

// bench is a run.
type bench struct {
	*nodes.Cluster
	clients  int // that there will be
	made     int // clients 0 to made-1 are there
	quiet    time.Duration
	updating time.Duration
	only     []string
	results  results
}

func (b *bench) read(only string) error {
	if b.clients < fewest {
		return fmt.Errorf("-clients: %d are too few, at least %d", b.clients, fewest)
	}
	b.only = strings.Split(only, ",")
	for _, part := range b.only {
		if !slices.Contains(parts, part) {
			return fmt.Errorf("-only: %q is none of %s", part, strings.Join(parts, ", "))
		}
	}
	return nil
}

func (b *bench) run(dir string) error {
	base, remove, err := nodes.Temporary(dir)
	if err != nil {
		return err
	}
	defer remove()
	if b.Cluster, err = nodes.Build(base, ""); err != nil {
		return err
	}
	defer b.End()
	if err := b.Found(3); err != nil {
		return err
	}
	before, err := b.term()
	if err != nil {
		return err
	}
	if err := b.measure(); err != nil {
		return err
	}
	after, err := b.term()
	if err != nil {
		return err
	}
	if err := b.results.print(os.Stdout); err != nil {
		return err
	}
	fmt.Printf("%d clients, %d elections that nothing called for\n", b.made, after-before)
	return nil
}

// term is that of the leader. The measurements stop followers alone, so that it
// stays unless the machine was too busy.
func (b *bench) term() (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nodes.Patience)
	defer cancel()
	st, err := b.Status(ctx)
	if err != nil {
		return 0, err
	}
	return st.Term, nil
}

// measure goes from an empty state to a full one. Snapshots come last: the many
// writes beside them are remembered for a while, and would count as state.
func (b *bench) measure() error {
	var m footprint
	for _, step := range []struct {
		part string // "" is part of everything
		what string
		do   func() error
	}{
		{"memory", "an empty node", func() error { return m.empty(b) }},
		{"", "the first clients", b.begin},
		{"", "all clients", b.bulk},
		{"memory", "a full node", func() error { return m.full(b) }},
		{"save", "save and verify", b.save},
		{"restart", "restarts", b.restarts},
		{"join", "a new node", b.join},
		{"grow", "writes in a small and in a large state", b.grow},
		{"snapshot", "writes beside snapshots", b.snapshots},
		{"updates", "memory beside updates", b.updates},
	} {
		if step.part != "" && !b.wants(step.part) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), step.what)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (b *bench) wants(part string) bool { return slices.Contains(b.only, part) }

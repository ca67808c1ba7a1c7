// Command compare does the same work with three nodes of cpctl and three of etcd,
// in turns, on this machine: writes of documents of OAuth clients, and linearizable
// reads of them. It prints the median of each, the median of the ratios of all
// turns, and what processor time the servers took.
//
//	go -C test/bench/compare run .
//
// Both sync their logs, speak TLS between nodes, and run as they come. Callers of
// cpctl use its local socket, as its operators do, callers of etcd TLS; each has a
// connection of its own and one call at a time. A value of etcd is the document
// that cpctl stores for the same request. etcd is built from the version in
// etcd/go.mod unless -etcd names a binary.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

func main() {
	p := plan{}
	clients := flag.String("clients", "1,64,256", "numbers of callers at once")
	flag.IntVar(&p.pairs, "pairs", 5, "turns of each")
	flag.DurationVar(&p.turn, "turn", 3*time.Second, "how long each turn takes")
	only := flag.String("only", "write,read,spread", "what is measured: writes at the leader, reads there, reads over all three")
	binary := flag.String("etcd", "", "etcd `BINARY` (default: build the version of etcd/go.mod)")
	profiles := flag.String("profiles", "", "instead, measure cpctl alone, and write profiles of its nodes to this `DIR`")
	dir := flag.String("dir", "", "where to make the data directories (default the system's directory for temporary files)")
	flag.Parse()
	err := p.read(*clients, *only)
	if err == nil {
		err = run(p, *dir, *binary, *profiles)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// plan is what is measured.
type plan struct {
	levels []int // callers
	pairs  int
	turn   time.Duration
	kinds  []string
}

func (p *plan) read(clients, only string) error {
	for word := range strings.SplitSeq(clients, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return fmt.Errorf("-clients: %q is no number of callers", word)
		}
		p.levels = append(p.levels, n)
	}
	for word := range strings.SplitSeq(only, ",") {
		if words[word] == "" {
			return fmt.Errorf("-only: %q is none of write, read, spread", word)
		}
		p.kinds = append(p.kinds, word)
	}
	return nil
}

func run(p plan, dir, binary, profiles string) error {
	base, err := os.MkdirTemp(dir, "cpctl-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt)
	go func() { <-stopped; os.RemoveAll(base); os.Exit(130) }()
	if profiles != "" {
		return p.profile(base, profiles)
	}
	if binary == "" {
		binary = filepath.Join(base, "etcd-binary")
		build := exec.Command("go", "build", "-trimpath", "-o", binary, "go.etcd.io/etcd/server/v3")
		build.Dir = "etcd"
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build etcd: %w\n%s", err, out)
		}
	}
	ours, err := foundCpctl(filepath.Join(base, "c"))
	if err != nil {
		return fmt.Errorf("cpctl: %w", err)
	}
	defer ours.end()
	theirs, err := foundEtcd(filepath.Join(base, "e"), binary, ours.stored)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer theirs.end()
	fmt.Printf("cpctl against %s, three nodes each; requests of %d bytes, values of %d\n", theirs.version, len(nodes.Patch(0)), len(ours.stored))
	return p.measure(ours, theirs)
}

// profile runs every kind of work at every level once, and writes profiles meanwhile.
func (p plan) profile(base, to string) error {
	c, err := foundCpctl(filepath.Join(base, "c"), nodes.ProfileTag)
	if err != nil {
		return err
	}
	defer c.end()
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	b, err := os.ReadFile(c.Binary)
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "cpctl"), b, 0o700) // go tool pprof wants it
	}
	if err != nil {
		return err
	}
	s := &side{c, 1}
	for _, kind := range p.kinds {
		for _, callers := range p.levels {
			written := make(chan error, 1)
			go func() { written <- c.profile(p.turn, filepath.Join(to, fmt.Sprintf("%s-%d", kind, callers))) }()
			t, err := s.run(kind, callers, p.turn+2*time.Second)
			if err := errors.Join(err, <-written); err != nil {
				return err
			}
			fmt.Printf("%s, %d callers: %.0f a second, p50 %s, p99 %s, CPU %s\n", words[kind], callers, t.rate, ms(float64(t.p50)), ms(float64(t.p99)), seconds(float64(t.cpu)))
		}
	}
	return nil
}

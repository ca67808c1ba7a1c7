// Command compare does the same work with three nodes of cpctl and three of etcd,
// in turns, on this machine: writes of documents of OAuth clients, and linearizable
// reads of them. It prints the median of each, the median of the ratios of all
// turns, what processor time the servers took, and which goals are missed. Two
// more kinds of work: the commands cpctl and etcdctl as whole processes, at least
// 20 runs of each, and writes of cpctl alone, with its files published and by a
// build that publishes none.
//
//	go -C test/bench/compare run .
//
// Both sync their logs, speak TLS between nodes, and run as they come. Callers of
// cpctl use its local socket, as its operators do, callers of etcd TLS; each has a
// connection of its own and one call at a time. A value of etcd is the document
// that cpctl stores for the same request. etcd and etcdctl are built from the
// version in etcd/go.mod unless -etcd and -etcdctl name binaries.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	only := flag.String("only", strings.Join(kinds, ","), "what is measured: writes at the leader, reads there, reads over all three, commands as processes, writes with files and without")
	flag.StringVar(&p.etcd, "etcd", "", "etcd `BINARY` (default: build the version of etcd/go.mod)")
	flag.StringVar(&p.etcdctl, "etcdctl", "", "etcdctl `BINARY` (default: the same)")
	profiles := flag.String("profiles", "", "instead, measure cpctl alone, and write profiles of its nodes to this `DIR`")
	dir := flag.String("dir", "", "where to make the data directories (default the system's directory for temporary files)")
	flag.Parse()
	err := p.read(*clients, *only)
	if err == nil {
		err = run(p, *dir, *profiles)
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

	etcd, etcdctl string // binaries
}

// kinds is all that can be measured.
var kinds = []string{"write", "read", "spread", "cli", "files"}

// calls are those that callers of both systems make.
func (p plan) calls() []string {
	return slices.DeleteFunc(slices.Clone(p.kinds), func(kind string) bool { return kind == "cli" || kind == "files" })
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
		if !slices.Contains(kinds, word) {
			return fmt.Errorf("-only: %q is none of %s", word, strings.Join(kinds, ", "))
		}
		p.kinds = append(p.kinds, word)
	}
	return nil
}

func run(p plan, dir, profiles string) error {
	base, remove, err := nodes.Temporary(dir)
	if err != nil {
		return err
	}
	defer remove()
	if base, err = filepath.Abs(base); err != nil {
		return err
	}
	if profiles != "" {
		return p.profile(base, profiles)
	}
	r := newReport()
	if len(p.calls()) > 0 || slices.Contains(p.kinds, "cli") {
		if err := p.againstEtcd(r, base); err != nil {
			return err
		}
	}
	if slices.Contains(p.kinds, "files") {
		if err := p.withoutFiles(r, base); err != nil {
			return err
		}
	}
	r.end()
	return nil
}

// profile runs every kind of work at every level once, and writes profiles meanwhile.
func (p plan) profile(base, to string) error {
	c, err := foundCpctl(filepath.Join(base, "c"), "cpctl", nodes.ProfileTag)
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
	for _, kind := range p.calls() {
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

package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// A follower may take this much for its documents: twice their bytes, and some
// hundred for what is kept of each to find it.
const (
	timesBytes = 2
	ofEach     = 500
)

// footprint is the memory of a follower.
type footprint struct {
	followers []*nodes.Node // while there was nothing
	before    map[*nodes.Node]nodes.Memory
}

// empty reads it while there is nothing.
func (f *footprint) empty(b *bench) (err error) {
	if _, f.followers, err = b.leader(); err != nil {
		return err
	}
	time.Sleep(b.quiet)
	f.before = map[*nodes.Node]nodes.Memory{}
	for _, n := range f.followers {
		if f.before[n], err = n.Memory(); err != nil {
			return err
		}
	}
	return nil
}

// full reads it again when all clients are there. Nothing has saved or restarted
// anything yet, so that what remains is the state, and what it took to make it.
func (f *footprint) full(b *bench) error {
	leader, _, err := b.leader()
	if err != nil {
		return err
	}
	of := f.followers[0]
	if of == leader { // it was elected meanwhile
		of = f.followers[1]
	}
	time.Sleep(b.quiet)
	before := f.before[of]
	m, err := of.Memory()
	if err != nil {
		return err
	}
	bytes := of.Size("data/tenants") + of.Size("data/keys")
	file := filepath.Join(b.Base, "memory.tgz")
	if _, err := nodes.Save(b.Binary, leader.Server(), file); err != nil {
		return err
	}
	remembered, size, err := requests(file)
	if err != nil {
		return err
	}
	bound := timesBytes*bytes + ofEach*int64(b.made)
	beside := fmt.Sprintf("2 x %s + 500 x %d: %s", mib(bytes), b.made, mib(bound))
	now, most := m.Now-before.Now, m.Most-before.Most
	b.results.compared("memory", fmt.Sprintf("a follower, after %s of rest", b.quiet), fmt.Sprintf("%s - %s", mib(m.Now), mib(before.Now)), beside, float64(now)/float64(bound), atMost(1))
	b.results.noted("memory", "pages of its files, the log above all, included", fmt.Sprintf("%s - %s", mib(m.Mapped), mib(before.Mapped)), "")
	b.results.compared("memory", "the most it ever had", fmt.Sprintf("%s - %s", mib(m.Most), mib(before.Most)), beside, float64(most)/float64(bound), atMost(1))
	b.results.noted("memory", "requests it remembers, included", fmt.Sprintf("%d records", remembered), mib(size)+" as an archive has them")
	return nil
}

package faults

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// Invariants 2 and 4, one node: the power goes in the middle of writing. What
// was acknowledged is there afterwards, and whole.
func TestPowerLossOfOneNode(t *testing.T) {
	p := plug(t, 1)
	for range times(*losses, 2) {
		p.await(20 + p.rng.IntN(60))
		p.lose(p.Nodes...)
		p.back(p.Nodes...)
		p.check()
	}
	p.end()
}

// The same of three nodes: all at once, or any one while the others go on.
func TestPowerLossOfThreeNodes(t *testing.T) {
	p := plug(t, 3)
	for i := range times(*losses, 2) {
		p.await(20 + p.rng.IntN(60))
		if i%2 == 0 {
			p.lose(p.Nodes...)
			p.back(p.Nodes...)
		} else {
			victim := p.Nodes[p.rng.IntN(3)]
			p.lose(victim)
			p.await(p.rng.IntN(60))
			p.back(victim)
		}
		p.check()
	}
	p.end()
}

// powered is a trial whose nodes have disks of their own.
type powered struct {
	*trial
	disks map[*live.Node]*disk
}

// plug begins a trial of n nodes.
func plug(t *testing.T, n int) *powered {
	t.Helper()
	needsPower(t)
	c := live.New(t)
	p := &powered{disks: map[*live.Node]*disk{}}
	var all []*disk
	for range n {
		n := c.Add(flags...)
		d, err := newDisk(t, filepath.Join(c.Dir, n.Name))
		if err != nil {
			t.Fatal(err)
		}
		n.Dir = filepath.Join(d.mount, "d") // an ext4 has lost+found at its root
		p.disks[n] = d
		all = append(all, d)
	}
	for n, d := range p.disks {
		n.Wrap = d.inItsBoot(nil) // who joins has to see the socket of the first
	}
	t.Cleanup(func() { // before the disks are unmounted
		for _, n := range c.Nodes {
			n.Off()
		}
	})
	c.Found()
	for n, d := range p.disks {
		n.Stop()
		n.Wrap = d.inItsBoot(all)
		n.Start()
	}
	c.Await(c.Nodes...)
	p.trial = begin(t, c, "power losses", func(n *live.Node) string { return p.disks[n].bootID() })
	return p
}

// lose cuts the power of nodes, as nearly at once as can be. An answer that
// arrives after that has begun was not received.
func (p *powered) lose(nodes ...*live.Node) {
	p.t.Helper()
	p.count++
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	p.found.after("power loss %d, of %s", p.count, strings.Join(names, " and "))
	p.beside(nodes, (*reader).pause)
	p.book.outage()
	for _, n := range nodes {
		if err := p.disks[n].cut(); err != nil {
			p.t.Fatalf("cut the power of node %s: %v", n.Name, err)
		}
	}
	for _, n := range nodes {
		n.Off()
		if code := n.ExitCode(); code != -1 && code != 13 {
			p.t.Errorf("node %s ended with exit %d when nothing could be written; 13 says so\n%s", n.Name, code, n.LogTail())
		}
	}
	p.book.outage()
}

// back gives nodes their disks as they were left, and starts them in another boot.
func (p *powered) back(nodes ...*live.Node) {
	p.t.Helper()
	for _, n := range nodes {
		d := p.disks[n]
		d.detach()
		d.reboot()
		if err := d.attach(); err != nil {
			p.t.Fatal(err)
		}
	}
	p.beside(nodes, func(r *reader) { r.resume(p.disks[r.node].bootID()) })
	for _, n := range nodes {
		n.Start()
	}
}

// beside does something with the readers beside nodes.
func (p *powered) beside(nodes []*live.Node, do func(*reader)) {
	for _, r := range p.readers {
		for _, n := range nodes {
			if r.node == n {
				do(r)
			}
		}
	}
}

// pause takes a reader away from its node.
func (r *reader) pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused, r.last = true, time.Now()
	r.leave()
}

// durable is the time after which what a node has shown survives a power loss
// also without its peers; the product promises 100 ms.
const durable = time.Second

// resume lets a reader look again, in another boot. Until the node has met a
// quorum, it may be shown a little less than before.
func (r *reader) resume(boot string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.boot, r.paused, r.counts, r.done = boot, false, false, 0
	if r.before == nil {
		r.before = r.memory
	}
	r.memory, r.least = newMemory(), 0
	for _, m := range r.since {
		if m.at.Add(durable).Before(r.last) {
			r.least = m.index
		}
	}
	r.since = nil
}

// recovered holds a reader to what it was shown before the power loss: its node
// has caught up.
func (r *reader) recovered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.before == nil {
		return
	}
	r.memory, r.before = r.before, nil
	if !r.ready() {
		r.found.add(torn, "%s: the node has published everything, and its files do not count", r.name)
		return
	}
	for _, path := range everyPath() {
		r.look(path)
	}
	for _, slug := range slugs {
		r.verify(slug, 1)
	}
}

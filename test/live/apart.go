package live

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Network is what lies between the nodes of a cluster, and what a test does to
// it. A link is one way, and silent: what does not arrive is not refused either.
// Commands reach a node by its socket, which is no part of it.
type Network struct {
	making making
	t      testing.TB

	mu    sync.Mutex
	nodes []*Node
	links map[[2]*Node]*link // from, to
}

// making is how a network is made.
type making interface {
	String() string
	// join gives a node its place and its address.
	join(n *Node) error
	// close takes it down when no node runs any more.
	close() error
}

// ByProxy in the environment makes networks of proxies, as on a machine where
// namespaces are not to be had.
const ByProxy = "CPCTL_TEST_PROXY"

// FoundApart is Found on a network that the test can break: each node has an
// address of its own, in a network namespace of its own if this process may make
// one.
func FoundApart(t testing.TB, n int, flags ...string) *Cluster {
	t.Helper()
	return NewApart(t).of(n, flags)
}

// NewApart is New on such a network.
func NewApart(t testing.TB) *Cluster {
	t.Helper()
	c := New(t)
	w := &Network{t: t, links: map[[2]*Node]*link{}}
	why := namespacesMissing()
	if why != nil {
		t.Logf("no network namespaces: %v", why)
	}
	if why != nil || os.Getenv(ByProxy) != "" {
		w.making = newProxies(w)
	} else {
		w.making = newWires(w)
	}
	c.Net = w
	return c
}

// String is how the network is made.
func (w *Network) String() string { return w.making.String() }

// join gives a node its place in the network.
func (w *Network) join(n *Node) {
	w.mu.Lock()
	for _, other := range w.nodes {
		w.links[[2]*Node{n, other}] = newLink()
		w.links[[2]*Node{other, n}] = newLink()
	}
	w.nodes = append(w.nodes, n)
	w.mu.Unlock()
	if err := w.making.join(n); err != nil {
		w.t.Fatalf("the network of node %s: %v", n.Name, err)
	}
}

func (w *Network) close() {
	if err := w.making.close(); err != nil {
		w.t.Error(err)
	}
}

// endLinks lets nothing wait on them any more.
func (w *Network) endLinks() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.links {
		l.end()
	}
}

// link is the way from one node to another.
func (w *Network) link(from, to *Node) *link {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.links[[2]*Node{from, to}]
	if l == nil {
		w.t.Fatalf("there is no link from %s to %s", from.Name, to.Name)
	}
	return l
}

// Cut lets nothing that from sends reach to, from now on.
func (w *Network) Cut(from, to *Node) { w.link(from, to).set(func(l *link) { l.cut = true }) }

// Mend ends a Cut.
func (w *Network) Mend(from, to *Node) { w.link(from, to).set(func(l *link) { l.cut = false }) }

// Slow delays what from sends to to, and lets so many bytes through in a second;
// 0 is no limit.
func (w *Network) Slow(from, to *Node, delay time.Duration, bytesPerSecond int) {
	w.link(from, to).set(func(l *link) { l.delay, l.rate = delay, bytesPerSecond })
}

// Split cuts every link, both ways, between nodes of different groups. A node
// that is in no group is a group of its own.
func (w *Network) Split(groups ...[]*Node) {
	w.mu.Lock()
	all := slices.Clone(w.nodes)
	w.mu.Unlock()
	group := func(n *Node) int {
		return slices.IndexFunc(groups, func(g []*Node) bool { return slices.Contains(g, n) })
	}
	for _, from := range all {
		for _, to := range all {
			if from != to && (group(from) != group(to) || group(from) < 0) {
				w.Cut(from, to)
			}
		}
	}
}

// Heal makes all links as new.
func (w *Network) Heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.links {
		l.set(func(l *link) { l.cut, l.delay, l.rate = false, 0, 0 })
	}
}

// Broken names the links that are not as new, for messages.
func (w *Network) Broken() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for ends, l := range w.links {
		if s := l.String(); s != "" {
			out = append(out, ends[0].Name+" to "+ends[1].Name+" "+s)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

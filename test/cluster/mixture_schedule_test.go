package cluster

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// plan is a fault that is to happen.
type plan struct {
	fault *fault
	at    time.Duration // since the part began
	lasts time.Duration
	pick  *rand.Rand // decides whom, and the rest
}

// fault is a kind of fault. It begins with do, which returns what it has done to
// whom, and how it ends; "" if there was nobody to do it to.
type fault struct {
	name        string
	weight      int
	least, most time.Duration // how long it lasts
	do          func(m *mixture, p plan) (what string, end func())
}

// happening is a fault that happened.
type happening struct {
	part        int
	fault       string
	what        string
	began, over time.Duration
	end         func()
}

func (h *happening) String() string {
	return fmt.Sprintf("part %d  %9.3fs to %9.3fs  %-10s %s", h.part, h.began.Seconds(), h.over.Seconds(), h.fault, h.what)
}

// draw makes the faults of the next part. The seed and the number of the part
// decide them, and nothing else does.
func (m *mixture) draw() (plans []plan) {
	rng := rand.New(rand.NewPCG(m.seed, uint64(m.number+1)<<32|1<<31))
	var kinds []*fault
	for _, f := range faults {
		for range f.weight {
			kinds = append(kinds, f)
		}
	}
	for range 1 + rng.IntN(4) {
		f := kinds[rng.IntN(len(kinds))]
		plans = append(plans, plan{f, time.Duration(rng.Int64N(int64(5 * time.Second))),
			f.least + time.Duration(rng.Int64N(int64(f.most-f.least)+1)), rand.New(rand.NewPCG(rng.Uint64(), 0))})
	}
	slices.SortStableFunc(plans, func(a, b plan) int { return cmp.Compare(a.at, b.at) })
	return plans
}

// happen lets the faults of a part begin and end at their times, and returns
// when all are over and it is time. What takes long holds up what is after it.
func (m *mixture) happen(plans []plan, until time.Duration) {
	m.t.Helper()
	begun := m.now()
	var ending []*happening // by their ends
	for len(plans)+len(ending) > 0 {
		if len(ending) > 0 && (len(plans) == 0 || ending[0].over <= begun+plans[0].at) {
			h := ending[0]
			ending = ending[1:]
			m.wait(h.over)
			h.end()
			h.over = m.now()
			continue
		}
		p := plans[0]
		plans = plans[1:]
		m.wait(begun + p.at)
		h := &happening{part: m.number, fault: p.fault.name, began: m.now()}
		m.schedule = append(m.schedule, h)
		if h.what, h.end = p.fault.do(m, p); h.what == "" {
			h.what, h.over = "nobody to do it to", m.now()
			continue
		}
		m.counted++
		m.tally.faults[p.fault.name]++
		if h.over = m.now() + p.lasts; h.end == nil { // it is over already
			h.over = m.now()
			continue
		}
		ending = append(ending, h)
		slices.SortStableFunc(ending, func(a, b *happening) int { return cmp.Compare(a.over, b.over) })
	}
	m.wait(until)
}

// wait waits until it is time, and sees that no node ends by itself.
func (m *mixture) wait(until time.Duration) {
	m.t.Helper()
	for {
		m.deserters()
		m.flap()
		left := until - m.now()
		if left <= 0 {
			return
		}
		<-time.After(min(left, 20*time.Millisecond))
	}
}

func (m *mixture) deserters() {
	m.t.Helper()
	for _, n := range m.members() {
		if n.Deserted() && !m.leaving[n] {
			m.t.Fatalf("node %s ended by itself with exit %d\n%s", n.Name, n.ExitCode(), n.LogTail())
		}
	}
}

// heal makes the cluster whole again.
func (m *mixture) heal() {
	m.t.Helper()
	if m.troubles = nil; m.Net != nil {
		m.Net.Heal()
	}
	m.farewell()
	for _, n := range m.members() {
		if m.away[n] {
			m.start(n)
		}
	}
	view := m.view()
	view.Await(view.Nodes...)
	view.Voting()
}

// members are the nodes that belong to the cluster, as far as is known.
func (m *mixture) members() []*live.Node {
	return slices.DeleteFunc(slices.Clone(m.Nodes), func(n *live.Node) bool { return m.gone[n] })
}

// up are the members that run and are not paused.
func (m *mixture) up() []*live.Node {
	return slices.DeleteFunc(m.members(), func(n *live.Node) bool { return m.away[n] || n.Paused() || !n.Running() })
}

// view is the cluster without the nodes that have left it.
func (m *mixture) view() *live.Cluster {
	c := m.As(m.t)
	c.Nodes = m.members()
	return c
}

func names(nodes []*live.Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return strings.Join(out, " ")
}

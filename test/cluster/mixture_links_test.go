package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// trouble is what is wrong with links between nodes for a while. Several may be
// at once: a link is cut as long as one of them cuts it.
type trouble struct {
	cut   func(from, to *live.Node) bool                 // nil: none
	slow  func(from, to *live.Node) (time.Duration, int) // nil: none
	every time.Duration                                  // that it changes; 0: never
	next  time.Duration                                  // when it does
}

// trouble makes trouble until the end.
func (m *mixture) trouble(t *trouble) (end func()) {
	m.troubles = append(m.troubles, t)
	m.relink()
	return func() {
		m.troubles = slices.DeleteFunc(m.troubles, func(o *trouble) bool { return o == t })
		m.relink()
	}
}

// relink makes every link what the troubles make of it.
func (m *mixture) relink() {
	for _, from := range m.Nodes {
		for _, to := range m.Nodes {
			if from == to {
				continue
			}
			cut, delay, rate := false, time.Duration(0), 0
			for _, t := range m.troubles {
				cut = cut || t.cut != nil && t.cut(from, to)
				if t.slow == nil {
					continue
				}
				d, r := t.slow(from, to)
				delay = max(delay, d)
				if r > 0 && (rate == 0 || r < rate) {
					rate = r
				}
			}
			if m.Net.Slow(from, to, delay, rate); cut {
				m.Net.Cut(from, to)
			} else {
				m.Net.Mend(from, to)
			}
		}
	}
}

// isolateLeader cuts the leader off from all others.
func isolateLeader(m *mixture, _ plan) (string, func()) {
	n := m.leads()
	if n == nil {
		return "", nil
	}
	return n.Name + ", the leader", m.trouble(&trouble{cut: func(from, to *live.Node) bool { return from == n || to == n }})
}

// halves cuts the cluster in two; the leader may be with the few.
func halves(m *mixture, p plan) (string, func()) {
	nodes := m.members()
	p.pick.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	few := nodes[:len(nodes)/2]
	return names(few) + " and " + names(nodes[len(few):]), m.trouble(&trouble{cut: func(from, to *live.Node) bool {
		return slices.Contains(few, from) != slices.Contains(few, to)
	}})
}

// oneWay lets a node hear and not be heard, or the other way round: by all, or by
// one other.
func oneWay(m *mixture, p plan) (string, func()) {
	nodes := m.members()
	n := nodes[p.pick.IntN(len(nodes))]
	if leader := m.leads(); leader != nil && p.pick.IntN(2) == 0 {
		n = leader
	}
	others := slices.DeleteFunc(slices.Clone(nodes), func(o *live.Node) bool { return o == n })
	if p.pick.IntN(2) == 0 {
		others = others[:1]
	}
	if p.pick.IntN(2) == 0 {
		return n.Name + " is not heard by " + names(others), m.trouble(&trouble{cut: func(from, to *live.Node) bool {
			return from == n && slices.Contains(others, to)
		}})
	}
	return n.Name + " does not hear " + names(others), m.trouble(&trouble{cut: func(from, to *live.Node) bool {
		return to == n && slices.Contains(others, from)
	}})
}

// ring leaves each node its two neighbours.
func ring(m *mixture, p plan) (string, func()) {
	nodes := m.members()
	if len(nodes) < 4 {
		return "", nil
	}
	p.pick.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	return names(nodes), m.trouble(&trouble{cut: func(from, to *live.Node) bool {
		a, b := slices.Index(nodes, from), slices.Index(nodes, to)
		if a < 0 || b < 0 { // has joined meanwhile
			return false
		}
		apart := (a - b + len(nodes)) % len(nodes)
		return apart != 1 && apart != len(nodes)-1
	}})
}

// pair is two nodes, one of them the leader if there is one.
func (m *mixture) pair(p plan) (a, b *live.Node) {
	nodes := m.members()
	if a = m.leads(); a == nil {
		a = nodes[p.pick.IntN(len(nodes))]
	}
	others := slices.DeleteFunc(nodes, func(o *live.Node) bool { return o == a })
	return a, others[p.pick.IntN(len(others))]
}

// flapping cuts a link and mends it, again and again.
func flapping(m *mixture, p plan) (string, func()) {
	a, b := m.pair(p)
	every := 50*time.Millisecond + time.Duration(p.pick.IntN(450))*time.Millisecond
	began := m.now()
	t := &trouble{cut: func(from, to *live.Node) bool {
		between := from == a && to == b || from == b && to == a
		return between && (m.now()-began)/every%2 == 0
	}}
	return fmt.Sprintf("between %s and %s, every %s", a.Name, b.Name, every), m.changing(t, every)
}

// slowLinks delays everything, or what goes to and from one node, and lets little through.
func slowLinks(m *mixture, p plan) (string, func()) {
	a, _ := m.pair(p)
	all := p.pick.IntN(3) == 0
	delay := time.Duration(10+p.pick.IntN(290)) * time.Millisecond
	rate := 0
	if p.pick.IntN(2) == 0 {
		rate = 8<<10 + p.pick.IntN(64<<10)
	}
	where := "of " + a.Name
	if all {
		where = "of all"
	}
	return fmt.Sprintf("%s: %s, %d bytes a second", where, delay, rate), m.trouble(&trouble{slow: func(from, to *live.Node) (time.Duration, int) {
		if all || from == a || to == a {
			return delay, rate
		}
		return 0, 0
	}})
}

// stalling lets nothing through between a node and the others for a while, and
// then all of it, again and again.
func stalling(m *mixture, p plan) (string, func()) {
	a, _ := m.pair(p)
	every := 300*time.Millisecond + time.Duration(p.pick.IntN(1200))*time.Millisecond
	began := m.now()
	t := &trouble{slow: func(from, to *live.Node) (time.Duration, int) {
		if (from == a || to == a) && (m.now()-began)/every%2 == 0 {
			return every, 0
		}
		return 0, 0
	}}
	return fmt.Sprintf("of %s, every %s", a.Name, every), m.changing(t, every)
}

// changing is trouble that is another one every so often.
func (m *mixture) changing(t *trouble, every time.Duration) (end func()) {
	t.every = every
	t.next = m.now() + every
	return m.trouble(t)
}

// flap is called all the time, and lets trouble change that does.
func (m *mixture) flap() {
	for _, t := range m.troubles {
		if t.every > 0 && m.now() >= t.next {
			t.next += t.every
			m.relink()
		}
	}
}

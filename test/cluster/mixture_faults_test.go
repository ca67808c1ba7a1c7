package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// faults are those that happen, about as often as they weigh.
var faults = []*fault{
	{"kill", 3, 0, 3 * time.Second, killLeader},
	{"kill", 2, 0, 3 * time.Second, killFollower},
	{"kill all", 2, 0, time.Second, killAll},
	{"pause", 4, 100 * time.Millisecond, 10 * time.Second, pauseLeader},
	{"pause", 1, 100 * time.Millisecond, 5 * time.Second, pauseFollower},
	{"rolling", 1, 0, 0, rollingRestart},
	{"clock", 2, 0, time.Second, setClock},
	{"isolate", 3, 500 * time.Millisecond, 6 * time.Second, isolateLeader},
	{"halves", 3, 500 * time.Millisecond, 6 * time.Second, halves},
	{"one way", 3, 500 * time.Millisecond, 6 * time.Second, oneWay},
	{"ring", 2, 500 * time.Millisecond, 6 * time.Second, ring},
	{"flapping", 2, time.Second, 6 * time.Second, flapping},
	{"slow", 2, time.Second, 6 * time.Second, slowLinks},
	{"stalling", 2, time.Second, 6 * time.Second, stalling},
	{"restore", 3, 0, 2 * time.Second, restoreUnderLoad},
	{"behind", 1, 0, 20 * time.Second, leaveBehind},
	{"join", 1, 0, 0, join},
	{"leave", 1, 0, 0, leave},
}

// leads is the node that says it leads and can prove it, or else one that says
// so; nil if nobody does.
func (m *mixture) leads() (leader *live.Node) {
	for _, n := range m.up() {
		conn := m.conn(n)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		h, err := conn.Health(ctx, false)
		cancel()
		conn.Close()
		if err != nil || h.Leader != n.Name {
			continue
		}
		if leader = n; h.Ready {
			return n
		}
	}
	return leader
}

// follower is any node that runs and does not lead, nil if there is none.
func (m *mixture) follower(rng *rand.Rand) *live.Node {
	leader := m.leads()
	others := slices.DeleteFunc(m.up(), func(n *live.Node) bool { return n == leader })
	if len(others) == 0 {
		return nil
	}
	return others[rng.IntN(len(others))]
}

func (m *mixture) kill(n *live.Node) {
	n.Off()
	m.away[n] = true
}

// start starts a node that was killed, unless somebody else has.
func (m *mixture) start(n *live.Node) {
	if m.away[n] && !m.gone[n] {
		delete(m.away, n)
		n.Start()
	}
}

func (m *mixture) killed(n *live.Node) (string, func()) {
	if n == nil {
		return "", nil
	}
	m.kill(n)
	return "-9 of " + n.Name, func() { m.start(n) }
}

func killLeader(m *mixture, _ plan) (string, func()) {
	n := m.leads()
	what, end := m.killed(n)
	return suffixed(what, ", the leader"), end
}

func killFollower(m *mixture, p plan) (string, func()) { return m.killed(m.follower(p.pick)) }

func killAll(m *mixture, _ plan) (string, func()) {
	victims := m.up()
	for _, n := range victims {
		m.kill(n)
	}
	if len(victims) == 0 {
		return "", nil
	}
	return "-9 of " + names(victims), func() {
		for _, n := range victims {
			m.start(n)
		}
	}
}

func (m *mixture) pause(n *live.Node) (string, func()) {
	if n == nil {
		return "", nil
	}
	n.Pause()
	return n.Name, func() {
		if n.Paused() {
			n.Resume()
		}
	}
}

func pauseLeader(m *mixture, _ plan) (string, func()) {
	what, end := m.pause(m.leads())
	return suffixed(what, ", the leader"), end
}

func pauseFollower(m *mixture, p plan) (string, func()) { return m.pause(m.follower(p.pick)) }

func suffixed(what, more string) string {
	if what == "" {
		return ""
	}
	return what + more
}

// rollingRestart stops every node in turn, as an operator does, and waits until
// it answers again.
func rollingRestart(m *mixture, p plan) (string, func()) {
	nodes := slices.DeleteFunc(m.up(), func(n *live.Node) bool { return m.leaving[n] }) // they may end before they are asked to
	p.pick.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	for _, n := range nodes {
		n.Stop()
		n.Start()
		conn := m.conn(n)
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		_, _ = conn.Health(ctx, true) // the others may have other troubles
		cancel()
		conn.Close()
	}
	return suffixed(names(nodes), ", one after the other"), nil
}

// setClock has a node go on with a clock that is minutes off, or right again. No
// two clocks differ by more than four minutes: certificates that are good from
// five minutes before their issue on are refused by a clock that is further behind.
func setClock(m *mixture, p plan) (string, func()) {
	n := m.leads()
	if p.pick.IntN(2) == 0 {
		n = m.follower(p.pick)
	}
	what, back := m.killed(n)
	if what == "" {
		return "", nil
	}
	n.Clock = time.Duration(p.pick.IntN(25)-12) * 10 * time.Second
	return fmt.Sprintf("of %s is %s off", n.Name, n.Clock), back
}

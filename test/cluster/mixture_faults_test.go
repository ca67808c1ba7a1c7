package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// faults are those that happen, about as often as they weigh.
var faults = []*fault{
	{"kill", 3, 0, 3 * time.Second, nil, killLeader},
	{"kill", 2, 0, 3 * time.Second, nil, killFollower},
	{"kill all", 2, 0, time.Second, nil, killAll},
	{"pause", 4, 100 * time.Millisecond, 10 * time.Second, nil, pauseLeader},
	{"pause", 1, 100 * time.Millisecond, 5 * time.Second, nil, pauseFollower},
	{"rolling", 1, 0, 0, nil, rollingRestart},
	{"restore", 3, 0, 2 * time.Second, nil, restoreUnderLoad},
	{"behind", 1, 0, 20 * time.Second, nil, leaveBehind},
	{"join", 1, 0, 0, nil, join},
	{"leave", 1, 0, 0, nil, leave},
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
	m.signal(n, syscall.SIGSTOP)
	m.paused[n] = true
	return n.Name, func() { m.resume(n) }
}

func (m *mixture) resume(n *live.Node) {
	if m.paused[n] {
		delete(m.paused, n)
		m.signal(n, syscall.SIGCONT)
	}
}

func (m *mixture) signal(n *live.Node, s syscall.Signal) {
	if err := syscall.Kill(n.PID(), s); err != nil {
		m.t.Fatalf("%s to node %s: %v", s, n.Name, err)
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
	nodes := m.up()
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

// join adds a node. Whether it is a voter soon is not waited for.
func join(m *mixture, p plan) (string, func()) {
	up := m.up()
	if len(up) == 0 || len(m.members()) > *mixNodes+1 {
		return "", nil
	}
	through := up[p.pick.IntN(len(up))]
	n := m.Add(append([]string{"--join", through.Server()}, mixtureFlags...)...)
	n.Start()
	return n.Name + " through " + through.Name, nil
}

// leave has a member removed.
func leave(m *mixture, p plan) (string, func()) {
	members, up := m.members(), m.up()
	if len(members) < 4 || len(up) < 2 {
		return "", nil
	}
	n := members[p.pick.IntN(len(members))]
	up = slices.DeleteFunc(up, func(o *live.Node) bool { return o == n })
	through := up[p.pick.IntN(len(up))]
	m.leaving[n] = true // whatever the answer is, it may be done
	r, err := live.Run(m.Dir, nil, "cluster", "remove", n.Name, "--yes", "-s", through.Server(), "--timeout", "5s")
	if err != nil {
		m.t.Fatal(err)
	}
	said := "exit 0"
	if r.Exit != 0 {
		said = fmt.Sprintf("exit %d, %s", r.Exit, strings.SplitN(r.Stderr, "\n", 2)[0])
	}
	return n.Name + " through " + through.Name + ": " + said, nil
}

// farewell finds out which of the nodes that were to leave have left. The others
// stay.
func (m *mixture) farewell() {
	if len(m.leaving) == 0 {
		return
	}
	view := m.As(m.t)
	view.Nodes = slices.DeleteFunc(m.members(), func(n *live.Node) bool { return m.leaving[n] })
	for _, n := range view.Nodes {
		m.start(n)
	}
	view.Await(view.Nodes...)
	for n := range m.leaving {
		var left bool
		live.Until(m.t, "it is known whether node "+n.Name+" has left", func() bool {
			st := view.Status()
			left = true
			for _, is := range st.Nodes {
				left = left && is.Name != n.Name
			}
			return st.Leader != ""
		})
		delete(m.leaving, n)
		if left {
			n.Off()
			m.gone[n] = true
			delete(m.away, n)
		} else if n.Deserted() {
			n.Off()
			m.away[n] = true
		}
	}
}

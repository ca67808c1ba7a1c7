package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/test/live"
)

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
		var left, decided bool
		live.Until(m.t, "it is known whether node "+n.Name+" has left", func() bool {
			st := view.Status()
			left, decided = true, false // what was decided and is not done yet will be
			for _, is := range st.Nodes {
				if is.Name == n.Name {
					left, decided = false, is.Leaving != nil
				}
			}
			return st.Leader != "" && !decided
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

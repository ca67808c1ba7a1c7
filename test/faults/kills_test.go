package faults

import (
	"os"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

// Invariants 2 and 4, one node: it is killed in the middle of writing, and shows
// afterwards what it has acknowledged and what it has shown.
func TestKillsOfOneNode(t *testing.T) {
	tr := begin(t, live.Found(t, 1, flags...), "kills", thisBoot(t))
	for range times(*kills, 20) {
		tr.await(5 + tr.rng.IntN(40))
		tr.kill(tr.Nodes...)
		n := tr.Nodes[0]
		n.Start()
		tr.peek(n)
		tr.checkAfter(10)
	}
	tr.end()
}

// The same of three nodes: any one of them, whoever leads, or all at once.
func TestKillsOfThreeNodes(t *testing.T) {
	tr := begin(t, live.Found(t, 3, flags...), "kills", thisBoot(t))
	for range times(*kills, 16) {
		tr.await(5 + tr.rng.IntN(40))
		victim := tr.Nodes[tr.rng.IntN(3)]
		switch tr.rng.IntN(4) {
		case 0: // and one of them comes back alone
			tr.kill(tr.Nodes...)
			victim.Start()
			tr.peek(victim)
			for _, n := range tr.Nodes {
				if n != victim {
					n.Start()
				}
			}
		case 1: // it stays away for a while
			tr.kill(victim)
			tr.await(1 + tr.rng.IntN(60))
			victim.Start()
		default:
			tr.kill(victim)
			victim.Start()
			tr.peek(victim)
		}
		tr.checkAfter(8)
	}
	tr.end()
}

// kill kills nodes that run, as nearly at once as can be.
func (tr *trial) kill(nodes ...*live.Node) {
	tr.t.Helper()
	tr.count++
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	tr.found.after("kill %d, of %s", tr.count, strings.Join(names, " and "))
	for _, n := range nodes {
		n.Kill()
	}
}

// checkAfter checks after so many faults, and has the state restored, beside all
// else, half way between two checks.
func (tr *trial) checkAfter(faults int) {
	tr.t.Helper()
	switch tr.count % faults {
	case 0:
		tr.check()
	case faults / 2:
		tr.restore()
	}
	if tr.found.any() {
		tr.t.FailNow()
	}
}

// thisBoot is what nodes see that see the machine's boot id.
func thisBoot(t *testing.T) func(*live.Node) string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	return func(*live.Node) string { return strings.TrimSpace(string(b)) }
}

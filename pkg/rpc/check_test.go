package rpc

import (
	"context"
	"net"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

var three = []Member{{ID: "id-1", Name: "n1", Voter: true}, {ID: "id-2", Name: "n2", Voter: true}, {ID: "id-3", Name: "n3", Voter: true}}

func TestACheckNamesMembersThatDoNotAnswer(t *testing.T) {
	f := &fake{img: store.NewImage(), members: three[:2], self: &SelfCheck{Index: 7, StateDigest: "d", Faults: []Fault{{"data/x", "changed", true}}}}
	f.dial = func(Member, string) (net.Conn, error) {
		return nil, store.Errorf(store.CodeUnavailable, "connection refused")
	}
	c, _ := serveFake(t, f)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := c.Check(ctx, CheckArgs{Repair: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Nodes) != 2 || r.Kind != "check_report" || !r.Repair || f.repairs != 1 {
		t.Fatalf("%+v, %d repairs", r, f.repairs)
	}
	if n := r.Nodes[0]; !n.Checked || n.Name != "n1" || len(n.Faults) != 1 || n.Faults[0] != (Fault{"data/x", "changed", true}) {
		t.Errorf("n1: %+v", n)
	}
	if n := r.Nodes[1]; n.Checked || n.Name != "n2" || n.Reason == "" || n.Faults == nil {
		t.Errorf("n2: %+v", n)
	}
}

// The majority of all voters is right; where there is none everybody is told.
func TestAnotherStateAtTheSameIndexIsAFault(t *testing.T) {
	five := append(append([]Member{}, three...), Member{ID: "id-4", Name: "n4", Voter: true}, Member{ID: "id-5", Name: "n5"})
	for _, c := range []struct {
		fact    string
		members []Member
		digests string // a letter a member, - for one that did not say
		wrong   string // d: differs, ?: no majority tells
	}{
		{"all alike", three, "aaa", "..."},
		{"one is another", three, "aba", ".d."},
		{"each is another", three, "abc", "???"},
		{"two of two that answer", three, "ab-", "??."},
		{"alone", three, "a--", "..."},
		{"two alike of three", three, "aa-", "..."},
		{"two of two", three[:2], "ab", "??"},
		{"two and two", five, "aabb-", "????."},
		{"who does not vote does not count", five, "aabba", "?????"},
		{"who does not vote may be wrong", five, "aaabb", "...dd"},
	} {
		nodes, digests := make([]NodeCheck, len(c.members)), make([]string, len(c.members))
		for i := range nodes {
			if d := c.digests[i : i+1]; d != "-" {
				digests[i] = d
			}
		}
		weigh(7, c.members, nodes, digests)
		got := ""
		for i, n := range nodes {
			switch {
			case len(n.Faults) == 0 && n.Drift == nil:
				got += "."
			case n.Drift == nil || n.Drift.Index != 7 || n.Drift.Digest != digests[i] || n.Faults[0].Path != stateFault:
				t.Errorf("%s: node %d: %+v", c.fact, i+1, n)
			case n.Drift.Right == "" && n.Hint == undecided:
				got += "?"
			case n.Hint == "":
				got += "d"
			}
		}
		if got != c.wrong {
			t.Errorf("%s: %s, want %s", c.fact, got, c.wrong)
		}
	}
}

// What a member has found out itself is not said twice.
func TestADriftThatIsKnownIsOneFault(t *testing.T) {
	own := Fault{Path: stateFault, Problem: "found by itself"}
	nodes := []NodeCheck{{Faults: []Fault{own}, Drift: &Drift{Index: 3}}, {}, {}}
	weigh(7, three, nodes, []string{"b", "a", "a"})
	if n := nodes[0]; len(n.Faults) != 1 || n.Drift.Index != 3 {
		t.Errorf("%+v", n)
	}
}

// The members are compared at one index, the newest of all, for which they wait.
func TestACheckComparesAtOneIndex(t *testing.T) {
	f := &fake{img: store.NewImage(), at: []Progress{{Applied: 8}}, digests: map[uint64]string{9: "a"}}
	s := &Server{node: f}
	nodes := []NodeCheck{{Index: 6, StateDigest: "w"}, {Index: 9, StateDigest: "a"}}
	s.compare(context.Background(), []Member{three[0], {ID: "id-1", Name: "n2"}}, nodes)
	if n := nodes[0]; len(n.Faults) != 0 || n.Index != 9 || n.StateDigest != "a" {
		t.Errorf("%+v", n)
	}
}

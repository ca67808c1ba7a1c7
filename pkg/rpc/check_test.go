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

// Digests are compared at equal indexes only, and the majority is right.
func TestAnotherStateAtTheSameIndexIsAFault(t *testing.T) {
	at := func(index uint64, digest string) NodeCheck { return NodeCheck{Index: index, StateDigest: digest} }
	for _, c := range []struct {
		fact  string
		nodes []NodeCheck
		wrong []bool
	}{
		{"all alike", []NodeCheck{at(7, "a"), at(7, "a"), at(7, "a")}, []bool{false, false, false}},
		{"one is another", []NodeCheck{at(7, "a"), at(7, "b"), at(7, "a")}, []bool{false, true, false}},
		{"each is another", []NodeCheck{at(7, "a"), at(7, "b"), at(7, "c")}, []bool{true, true, true}},
		{"two of two", []NodeCheck{at(7, "a"), at(7, "b"), {}}, []bool{true, true, false}},
		{"at other indexes", []NodeCheck{at(7, "a"), at(8, "b"), at(9, "c")}, []bool{false, false, false}},
		{"alone", []NodeCheck{at(7, "a"), {}, {}}, []bool{false, false, false}},
	} {
		s := &Server{node: &fake{img: store.NewImage()}}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nobody is asked again
		s.compare(ctx, three, c.nodes)
		for i, n := range c.nodes {
			if got := len(n.Faults) > 0; got != c.wrong[i] {
				t.Errorf("%s: node %d: %v, want a fault: %v", c.fact, i+1, n.Faults, c.wrong[i])
			}
		}
	}
}

// A member that is behind is asked again until it has caught up.
func TestACheckWaitsForOneIndex(t *testing.T) {
	f := &fake{img: store.NewImage(), at: []Progress{{Applied: 8, StateDigest: "b"}, {Applied: 8, StateDigest: "a"}}}
	s := &Server{node: f}
	nodes := []NodeCheck{{Index: 6, StateDigest: "w"}, {Index: 8, StateDigest: "a"}}
	s.compare(context.Background(), []Member{three[0], {ID: "id-1", Name: "n2"}}, nodes)
	if len(nodes[0].Faults) != 1 || nodes[0].Index != 8 {
		t.Errorf("%+v", nodes[0])
	}
}

package histories

import (
	"strings"
	"testing"
)

// from is the operation through another node.
func (o Op) from(node string) Op { o.Node = node; return o }

// by is the operation of another client.
func (o Op) by(client string) Op { o.Client = client; return o }

// as is a read of another mode.
func (o Op) as(m Mode) Op { o.Mode = m; return o }

func TestAnswersInAnImpossibleOrderAreFound(t *testing.T) {
	for _, c := range []struct {
		fact string
		ops  []*Op
		want string // "": nothing
	}{
		{"all is well", []*Op{at(0, 1, create("a", 5)), at(2, 3, read("a", 5).from("n2")), at(4, 5, update("b", 6)), at(2, 9, read("a", 5))}, ""},
		{"a write at a revision that was taken", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 5))}, "a write is out of order"},
		{"a write at a revision that was read", []*Op{at(0, 1, read("a", 5)), at(2, 3, update("b", 5))}, "a write is out of order"},
		{"writes beside each other", []*Op{at(0, 9, create("a", 6)), at(2, 3, update("b", 5))}, ""},
		{"a read of another node that lacks the last write", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 6)), at(4, 5, read("a", 5).from("n2"))}, "a read is not of the newest state"},
		{"a read that begins when the write is answered", []*Op{at(0, 4, create("a", 5)), at(4, 5, read("", 3).from("n2"))}, ""},
		{"a stale read elsewhere", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 6)), at(4, 5, read("a", 5).from("n2").as(Stale))}, ""},
		{"a node goes back", []*Op{at(0, 1, read("b", 6).as(Stale)), at(2, 3, read("a", 5).as(Stale))}, "node n1 goes back"},
		{"what was written is not shown", []*Op{at(0, 1, create("a", 5).by("w1")), at(2, 3, read("", 4).by("w1").from("n2").as(MinIndex))}, "is not shown what it has written"},
		{"what another has written need not be", []*Op{at(0, 1, create("a", 5).by("w1")), at(2, 3, read("", 4).by("w2").from("n2").as(MinIndex))}, ""},
		{"what nobody was told of says nothing", []*Op{at(0, 1, create("a", 0).said(Unknown)), at(2, 3, update("b", 5))}, ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			got := strings.Join(Order(c.ops), "\n")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

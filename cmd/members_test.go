package cmd

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestWhatIsSaidOfMembersThatChange(t *testing.T) {
	const noneToLose = "the cluster can lose no voter now: of 2 voters 2 must answer\n"
	for _, tt := range []struct {
		args    string
		canLose int
		out     string
		err     string
	}{
		{"cluster remove n3 -y", 1, "node/n3 removed, 2 voters left\n", ""},
		{"cluster remove n3 -y", 0, "node/n3 removed, 2 voters left\n", noneToLose},
		{"cluster remove n3 -y -q", 0, "node/n3 removed, 2 voters left\n", ""},
		{"cluster remove n3 -y -o name", 1, "node/n3\n", ""},
		{"cluster promote n4", 1, "node/n4 promoted, 4 voters\n", ""},
		{"cluster promote n2", 1, "node/n2 unchanged\n", ""},
		{"cluster leave -y", 1, "node/n1 has left, 3 voters left\n", ""},
		{"cluster leave -y", -1, "node/n1 has left\n", ""},
		{"cluster autoremove", 1, "autoremove off\n", ""},
		{"cluster autoremove --after 10m", 1, "autoremove after 10m, while 3 voters answer\n", ""},
		{"cluster autoremove --off", 1, "autoremove off\n", ""},
		{"cluster autoremove --after 10m --min-voters 1 -o json", 1, `{
  "format_version": "1.0",
  "kind": "autoremove",
  "on": true,
  "after": "10m",
  "min_voters": 1,
  "index": 12
}
`, ""},
	} {
		w := newWorld()
		w.canLose = tt.canLose
		w.run(strings.Fields(tt.args)...).want(t, 0, tt.out, tt.err)
	}
}

// The members that the operator has seen go along, so that two operators who
// remove one each do not both get their way.
func TestARemovalNamesTheMembersThatWereSeen(t *testing.T) {
	w := newWorld()
	w.run("cluster", "remove", "n3", "-y", "--request-id", "r1")
	if w.removing.Members != 7 || w.removing.RequestID != "r1" {
		t.Errorf("asked for %+v", w.removing)
	}
	w.run("cluster", "remove", "n9", "-y") // it may be gone since the first attempt
	if w.removing.Members != 0 || w.removing.RequestID == "" {
		t.Errorf("asked for %+v", w.removing)
	}
}

func TestARefusedMembershipHasItsExitCode(t *testing.T) {
	w := newWorld()
	w.fail = store.Errorf(store.CodeRefused, "node %q cannot have a vote yet: it is 312 entries behind (at 9 of 321), and may be 64", "n4").WithHint("nothing was changed; see: cpctl cluster status")
	w.run("cluster", "promote", "n4").want(t, 8, "", "cpctl: node \"n4\" cannot have a vote yet: it is 312 entries behind (at 9 of 321), and may be 64\n  nothing was changed; see: cpctl cluster status\n")
	if !errors.Is(w.fail, store.ErrRefused) {
		t.Fatal(w.fail)
	}
}

func TestTheStatusTellsWhoIsRemovedByItself(t *testing.T) {
	w := newWorld()
	st := *threeNodes
	st.Autoremove = &rpc.Autoremove{After: store.Duration(10 * time.Minute), MinVoters: 3}
	w.status = &st
	if r := w.run("cluster", "status", "-o", "wide"); !strings.Contains(r.out, "autoremove   after 10m, while 3 voters answer\n") {
		t.Errorf("wide:\n%s", r.out)
	}
	if r := w.run("cluster", "status", "-o", "json"); !strings.Contains(r.out, "\"autoremove\": {\n    \"after\": \"10m\",\n    \"min_voters\": 3\n  }") {
		t.Errorf("JSON:\n%s", r.out)
	}
	if r := w.run("cluster", "status"); strings.Contains(r.out, "autoremove") {
		t.Errorf("table:\n%s", r.out)
	}
}

// That a member is to be removed is said in words, with what it waits for, also
// when something else is wrong with it.
func TestTheStatusTellsWhoIsToBeRemoved(t *testing.T) {
	leaving := &rpc.Leaving{Why: "removed by unix/0", Since: 1}
	node := func(name, role, state string) rpc.NodeStatus {
		return rpc.NodeStatus{Name: name, ID: "id" + name, Role: role, State: state}
	}
	for _, tt := range []struct {
		says  string
		nodes []rpc.NodeStatus // the first one is to be removed
	}{
		{"is being done", []rpc.NodeStatus{node("n1", "follower", "lost"), node("n2", "leader", "alive"), node("n3", "follower", "degraded")}},
		{"is being done", []rpc.NodeStatus{node("n1", "non-voter", "alive"), node("n2", "leader", "alive"), node("n3", "follower", "lost")}},
		{"waits for others, 1 of 2 in reach, and 2 needed", []rpc.NodeStatus{node("n1", "follower", "alive"), node("n2", "leader", "alive"), node("n3", "follower", "lost")}},
		{"waits for a leader", []rpc.NodeStatus{node("n1", "follower", "alive"), node("n2", "follower", "alive")}},
		{"waits for another one to lead", []rpc.NodeStatus{node("n1", "leader", "degraded"), node("n2", "follower", "alive")}},
	} {
		w := newWorld()
		st := *threeNodes
		tt.nodes[0].Leaving, st.Nodes = leaving, tt.nodes
		w.status = &st
		if r := w.run("cluster", "status"); !strings.Contains(r.out, "leaving    n1, removed by unix/0: "+tt.says+"\n") {
			t.Errorf("want %q:\n%s", tt.says, r.out)
		}
		if r := w.run("cluster", "status", "-o", "json"); !strings.Contains(r.out, `"why": "removed by unix/0"`) || strings.Count(r.out, `"leaving": null`) != len(st.Nodes)-1 {
			t.Errorf("JSON:\n%s", r.out)
		}
	}
}

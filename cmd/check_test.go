package cmd

import (
	"testing"

	"github.com/cpctl/cpctl/pkg/rpc"
)

func checkOf(name string, faults ...rpc.Fault) rpc.NodeCheck {
	return rpc.NodeCheck{Name: name, Voter: true, Checked: true, Index: 57, Faults: append([]rpc.Fault{}, faults...)}
}

func silent(name string) rpc.NodeCheck {
	return rpc.NodeCheck{Name: name, Voter: true, Reason: "connection refused", Faults: []rpc.Fault{}}
}

func withoutVote(n rpc.NodeCheck) rpc.NodeCheck {
	n.Voter = false
	return n
}

func TestCheckTellsPeopleAndScripts(t *testing.T) {
	changed := rpc.Fault{Path: "data/keys/acme/jwks.json", Problem: "changed"}
	mended := rpc.Fault{Path: "data/keys/acme/jwks.json", Problem: "changed", Repaired: true}
	lost := checkOf("n2", rpc.Fault{Path: "raft/raft.db", Problem: "entry 5 is damaged"}, changed)
	lost.Hint = "rejoin it"
	torn := checkOf("n1", rpc.Fault{Path: "(state)", Problem: "other states"})
	torn.Hint = "bring the others back"
	for _, c := range []struct {
		fact     string
		args     []string
		nodes    []rpc.NodeCheck
		code     int
		out, err string
	}{
		{"all is well", nil, []rpc.NodeCheck{checkOf("n1"), checkOf("n2")}, 0,
			"node/n1 intact, index 57\nnode/n2 intact, index 57\n", ""},
		{"a fault", nil, []rpc.NodeCheck{checkOf("n1"), checkOf("n2", changed)}, 11,
			"node/n1 intact, index 57\nNODE   PATH                       PROBLEM\nn2     data/keys/acme/jwks.json   changed\n",
			"cpctl: 1 fault on 1 of 2 nodes\n  put them right with: cpctl cluster check --repair\n"},
		{"a fault that was repaired", []string{"--repair"}, []rpc.NodeCheck{checkOf("n1"), checkOf("n2", mended)}, 0,
			"node/n1 intact, index 57\nNODE   PATH                       PROBLEM\nn2     data/keys/acme/jwks.json   changed, repaired\n", ""},
		{"one that cannot be", nil, []rpc.NodeCheck{checkOf("n1"), lost}, 11,
			"node/n1 intact, index 57\nNODE   PATH                       PROBLEM\nn2     raft/raft.db               entry 5 is damaged\nn2     data/keys/acme/jwks.json   changed\n",
			"cpctl: 2 faults on 1 of 2 nodes\n  node n2: rejoin it\n"},
		{"a member that does not answer", nil, []rpc.NodeCheck{checkOf("n1"), silent("n2")}, 10,
			"node/n1 intact, index 57\nNODE   PATH   PROBLEM\nn2     -      not checked: connection refused\n",
			"cpctl: node \"n2\" was not checked\n  see: cpctl cluster status\n  if a majority of the voters is lost for good: cpctl recover plan --help\n"},
		{"one of three that does not answer", nil, []rpc.NodeCheck{checkOf("n1"), silent("n2"), checkOf("n3")}, 10,
			"node/n1 intact, index 57\nnode/n3 intact, index 57\nNODE   PATH   PROBLEM\nn2     -      not checked: connection refused\n",
			"cpctl: node \"n2\" was not checked\n  see: cpctl cluster status\n"},
		{"two of three that have no vote and do not answer", nil, []rpc.NodeCheck{checkOf("n1"), withoutVote(silent("n2")), withoutVote(silent("n3"))}, 10,
			"node/n1 intact, index 57\nNODE   PATH   PROBLEM\nn2     -      not checked: connection refused\nn3     -      not checked: connection refused\n",
			"cpctl: node \"n2\" was not checked\n  see: cpctl cluster status\n"},
		{"damage counts for more than silence", nil, []rpc.NodeCheck{silent("n1"), checkOf("n2", changed)}, 11,
			"NODE   PATH                       PROBLEM\nn1     -                          not checked: connection refused\nn2     data/keys/acme/jwks.json   changed\n",
			"cpctl: 1 fault on 1 of 2 nodes\n  put them right with: cpctl cluster check --repair\n"},
		{"a state that nobody can judge", []string{"--repair"}, []rpc.NodeCheck{torn}, 11,
			"NODE   PATH      PROBLEM\nn1     (state)   other states\n",
			"cpctl: 1 fault on 1 of 1 node\n  node n1: bring the others back\n"},
		{"names", []string{"-o", "name"}, []rpc.NodeCheck{checkOf("n1"), checkOf("n2", changed), silent("n3")}, 11,
			"node/n2\nnode/n3\n", "cpctl: 1 fault on 1 of 3 nodes\n  put them right with: cpctl cluster check --repair\n"},
	} {
		w := newWorld()
		w.check = &rpc.CheckReport{FormatVersion: "1.0", Kind: "check_report", ClusterID: "c1", Nodes: c.nodes, Repair: len(c.args) == 1}
		r := w.run(append([]string{"cluster", "check"}, c.args...)...)
		t.Log(c.fact)
		r.want(t, c.code, c.out, c.err)
		if got := w.checked[0].Repair; got != (len(c.args) == 1) {
			t.Errorf("%s: asked to repair: %v", c.fact, got)
		}
	}
}

func TestCheckAsJSON(t *testing.T) {
	w := newWorld()
	w.check = &rpc.CheckReport{FormatVersion: "1.0", Kind: "check_report", ClusterID: "c1",
		Nodes: []rpc.NodeCheck{checkOf("n1", rpc.Fault{Path: "data", Problem: "mode"})}}
	w.check.Nodes[0].Drift = &rpc.Drift{Index: 57, Digest: "bb", Right: "aa"}
	w.run("cluster", "check", "-o", "json").want(t, 11, `{
  "format_version": "1.0",
  "kind": "check_report",
  "cluster_id": "c1",
  "repair": false,
  "nodes": [
    {
      "name": "n1",
      "id": "",
      "voter": true,
      "checked": true,
      "reason": "",
      "index": 57,
      "state_digest": "",
      "faults": [
        {
          "path": "data",
          "problem": "mode",
          "repaired": false
        }
      ],
      "drift": {
        "index": 57,
        "digest": "bb",
        "right": "aa",
        "repair": false
      },
      "hint": ""
    }
  ]
}
`, `{
  "error": {
    "code": "integrity",
    "message": "1 fault on 1 of 1 node",
    "hint": "put them right with: cpctl cluster check --repair",
    "retryable": false
  }
}
`)
}

package applier

import (
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// recovery is the first command of the second generation, which begins with n1.
func recovery(edit func(*mutation.Recover)) mutation.Recover {
	r := mutation.Recover{Generation: 2, Recovery: "r1", Certificate: cert("r1", "n1", "id1")}
	if edit != nil {
		edit(&r)
	}
	return r
}

func TestRecoveries(t *testing.T) {
	removed := mutation.Revoke{NodeID: "id2", Name: "n2", Why: "removed by unix/0"}
	n1, n2, n3 := cert("a1", "n1", "id1"), cert("b1", "n2", "id2"), cert("c1", "n3", "id3")
	ana := mutation.Certificate{Serial: "d1", Role: "admin", Name: "ana", NotAfter: begin + hour, IssuedAt: begin}
	check(t, []rule{
		{"the other nodes are removed, people are not", sys(mutation.SysRecover, recovery(nil), n1, n2, n3, ana),
			"", "", ClusterPath + " " + CertPath("r1") + " " + CertPath("b1") + " " + CertPath("c1"), ""},
		{"one that was removed before stays what it is", sys(mutation.SysRecover, recovery(nil), n1, n2, removed), "", "", ClusterPath + " " + CertPath("r1"), ""},
		{"an upload that was open is forgotten", func(w *world) []mutation.Mutation {
			w.stage("st1")
			return one(w.system(mutation.SysRecover, recovery(nil)))
		}, "", "", ClusterPath + " " + CertPath("r1") + " system/stage.json", ""},
		{"a removal that was decided and not done is forgotten, also of the node that it begins with", func(w *world) []mutation.Mutation {
			w.must(w.system(mutation.SysCert, n1))
			w.must(w.system(mutation.SysCert, n2))
			w.must(w.system(mutation.SysLeave, mutation.Leave{NodeID: "id1", Name: "n1", Why: "removed by unix/0"}))
			w.must(w.system(mutation.SysLeave, mutation.Leave{NodeID: "id2", Name: "n2", Why: "removed by unix/0"}))
			return one(w.system(mutation.SysRecover, recovery(nil)))
		}, "", "", ClusterPath + " " + CertPath("r1") + " " + CertPath("b1") + " " + LeavingPath, ""},
		{"a generation follows the one before", sys(mutation.SysRecover, recovery(func(r *mutation.Recover) { r.Generation = 3 })), store.CodeConflict, "generation 1, which generation 3 does not follow", "", ""},
		{"a generation comes once", func(w *world) []mutation.Mutation {
			w.must(w.system(mutation.SysRecover, recovery(nil)))
			return one(w.system(mutation.SysRecover, recovery(func(r *mutation.Recover) { r.Recovery, r.Certificate.Serial = "r2", "r2" })))
		}, store.CodeConflict, "is of generation 2", "", ""},
		{"a generation begins with a node", sys(mutation.SysRecover, recovery(func(r *mutation.Recover) { r.Certificate.NodeID = "" })), store.CodeInvalid, "begins with a node", "", ""},
		{"a certificate is issued once", sys(mutation.SysRecover, recovery(nil), cert("r1", "n1", "id1")), store.CodeExists, "certificate r1 is on record already", "", ""},
		{"the name of a node that was left behind is free", func(w *world) []mutation.Mutation {
			w.must(w.system(mutation.SysCert, n2))
			w.must(w.system(mutation.SysRecover, recovery(nil)))
			return one(w.system(mutation.SysCert, cert("b2", "n2", "id9")))
		}, "", "", CertPath("b2"), ""},
		{"a node that was left behind stays out", func(w *world) []mutation.Mutation {
			w.must(w.system(mutation.SysCert, n2))
			w.must(w.system(mutation.SysRecover, recovery(nil)))
			return one(w.system(mutation.SysCert, cert("b2", "n4", "id2")))
		}, store.CodeDenied, "the cluster was recovered from node n1 as generation 2 at 2026-01-05T10:00:", "", ""},
		{"the node that it begins with may have been removed", func(w *world) []mutation.Mutation {
			w.must(w.system(mutation.SysCert, n1))
			w.must(w.system(mutation.SysRevoke, mutation.Revoke{NodeID: "id1", Name: "n1", Why: "removed"}))
			w.must(w.system(mutation.SysRecover, recovery(nil)))
			return one(w.system(mutation.SysCert, func() mutation.Certificate { c := cert("r2", "n1", "id1"); c.Line = "r1"; return c }()))
		}, "", "", CertPath("r2"), ""},
	})
	w := newWorld(t)
	if res := w.do(w.system(mutation.SysRecover, recovery(nil))); res.Refusal == nil || res.Refusal.Code != store.CodeRefused {
		t.Errorf("a cluster that was never founded: %+v", res)
	}
	w = populated(t)
	w.must(w.system(mutation.SysRecover, recovery(nil)))
	var f mutation.Found
	if w.tx.System(ClusterPath, &f); f.Generation != 2 || f.Recovery != "r1" || f.ClusterID != cluster {
		t.Errorf("the cluster is %+v", f)
	}
}

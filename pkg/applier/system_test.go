package applier

import (
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func cert(serial, name, node string) mutation.Certificate {
	return mutation.Certificate{Serial: serial, Role: "node", Name: name, NodeID: node, NotAfter: begin + hour, IssuedAt: begin}
}

// sys makes a rule's command of a payload of the cluster's own, after others.
func sys(kind mutation.Kind, v any, before ...any) func(w *world) []mutation.Mutation {
	return func(w *world) []mutation.Mutation {
		for _, b := range before {
			switch b := b.(type) {
			case mutation.Certificate:
				w.must(w.system(mutation.SysCert, b))
			case mutation.Revoke:
				w.must(w.system(mutation.SysRevoke, b))
			}
		}
		return one(w.system(kind, v))
	}
}

func TestSystemKinds(t *testing.T) {
	revoked := mutation.Revoke{NodeID: "id1", Name: "n1", Why: "removed by unix/0"}
	check(t, []rule{
		{"an epoch is noted and is no revision", sys(mutation.SysEpoch, mutation.Epoch{Node: "id1", Term: 3}), "", "", EpochPath, ""},
		{"a cluster is founded once", sys(mutation.SysFound, mutation.Found{ClusterID: "other", Level: 1}), store.CodeExists, "founded already", "", ""},
		{"the level may stay", sys(mutation.SysLevel, mutation.Raise{Level: 1}), "", "", "", ""},
		{"the level never falls", sys(mutation.SysLevel, mutation.Raise{Level: 0}), store.CodeRefused, "the level is 1 and cannot fall to 0", "", ""},
		{"a certificate is noted", sys(mutation.SysCert, cert("a1", "n1", "id1")), "", "", CertPath("a1"), ""},
		{"a node may have another certificate", sys(mutation.SysCert, cert("a2", "n1", "id1"), cert("a1", "n1", "id1")), "", "", CertPath("a2"), ""},
		{"a name of a node is taken", sys(mutation.SysCert, cert("a2", "n1", "id2"), cert("a1", "n1", "id1")), store.CodeExists, `a node named "n1" is in the cluster already`, "", ""},
		{"a name is free after its node was removed", sys(mutation.SysCert, cert("a2", "n1", "id2"), cert("a1", "n1", "id1"), revoked), "", "", CertPath("a2"), ""},
		{"a name of another role is another", func(w *world) []mutation.Mutation {
			w.must(w.system(mutation.SysCert, cert("a1", "n1", "id1")))
			admin := cert("a2", "n1", "")
			admin.Role = "admin"
			return one(w.system(mutation.SysCert, admin))
		}, "", "", CertPath("a2"), ""},
		{"a removed node stays out", sys(mutation.SysCert, cert("a2", "n2", "id1"), cert("a1", "n1", "id1"), revoked), store.CodeDenied, `node "id1" was removed from this cluster: removed by unix/0`, "", ""},
		{"every certificate of a node is taken back", sys(mutation.SysRevoke, revoked, cert("a1", "n1", "id1"), cert("b1", "n2", "id2"), cert("a2", "n1", "id1")),
			"", "", CertPath("a1") + " " + CertPath("a2"), ""},
		{"a certificate is taken back once", sys(mutation.SysRevoke, mutation.Revoke{NodeID: "id1", Why: "another reason"}, cert("a1", "n1", "id1"), revoked), "", "", "", ""},
		{"nothing is taken back of an unknown node", sys(mutation.SysRevoke, mutation.Revoke{NodeID: "id9"}, cert("a1", "n1", "id1")), "", "", "", ""},
	})
}

func TestPayloadsOfTheClusterAreReadStrictly(t *testing.T) {
	for _, kind := range []mutation.Kind{mutation.SysEpoch, mutation.SysFound, mutation.SysRecover, mutation.SysLevel, mutation.SysCert, mutation.SysRevoke, mutation.SysCA, mutation.SysAnswer, mutation.SysExport,
		mutation.SysToken, mutation.SysTokenRevoke, mutation.SysEnrol, mutation.SysLeave, mutation.SysVote, mutation.SysAutoremove,
		mutation.SysStageBegin, mutation.SysStagePut, mutation.SysStageCommit, mutation.SysStageAbort} {
		for _, payload := range []string{"", "{", "[]", `{"surprise":1}`, "\x00"} {
			w := populated(t)
			before := w.image()
			c := w.command(mutation.Mutation{Kind: kind, Payload: []byte(payload)})
			wantRefused(t, w, before, c, w.apply(c), rule{code: store.CodeInternal, says: string(kind)})
		}
	}
}

func TestAFoundedClusterHasItsLevel(t *testing.T) {
	w := newWorld(t)
	if res := w.must(w.system(mutation.SysFound, mutation.Found{ClusterID: cluster, Level: 1, KeyID: "7f3a"})); res.Revision != 0 {
		t.Errorf("founding is revision %d, want none", res.Revision)
	}
	var f mutation.Found
	if !w.tx.System(ClusterPath, &f) || f.ClusterID != cluster || f.KeyID != "7f3a" || w.tx.Counters().Level != 1 {
		t.Errorf("founded as %+v at level %d", f, w.tx.Counters().Level)
	}
}

func TestARevokedCertificateKeepsItsReason(t *testing.T) {
	w := populated(t)
	w.must(w.system(mutation.SysCert, cert("a1", "n1", "id1")))
	w.must(w.system(mutation.SysRevoke, mutation.Revoke{NodeID: "id1", Why: "first"}))
	w.must(w.system(mutation.SysRevoke, mutation.Revoke{NodeID: "id1", Why: "second"}))
	var c mutation.Certificate
	want := cert("a1", "n1", "id1")
	want.Revoked, want.Why = true, "first"
	if !w.tx.System(CertPath("a1"), &c) || c != want {
		t.Errorf("the record is %+v, want %+v", c, want)
	}
}

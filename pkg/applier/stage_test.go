package applier

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func (w *world) stage(id string, docs ...mutation.StageDoc) {
	w.t.Helper()
	w.must(w.system(mutation.SysStageBegin, mutation.StageBegin{Stage: id}))
	w.must(w.system(mutation.SysStagePut, mutation.StagePut{Stage: id, Docs: docs}))
}

// commit makes the commit of what is staged, as a leader does that has compared
// it with an archive of a revision.
func (w *world) commit(id string, revision uint64) mutation.Mutation {
	over := w.image().Overlay()
	over.CommitStage()
	return w.system(mutation.SysStageCommit, mutation.StageCommit{Stage: id, Base: w.tx.Counters().Revision, Digest: over.DataDigest(), Revision: revision})
}

// expecting is a commit that wants the state to be at a revision.
func (w *world) expecting(revision uint64, m mutation.Mutation) mutation.Mutation {
	w.t.Helper()
	var c mutation.StageCommit
	w.fatal(json.Unmarshal(m.Payload, &c))
	c.Expect = &revision
	return w.system(m.Kind, c)
}

// doc takes a document of an earlier state for a stage.
func doc(d *store.Doc) mutation.StageDoc { return mutation.StageDoc{Path: d.Path, Bytes: d.Bytes} }

func put(id string, docs ...mutation.StageDoc) mutation.StagePut {
	return mutation.StagePut{Stage: id, Docs: docs}
}

func TestStage(t *testing.T) {
	web := doc(populated(t).tx.Get(clientAt("acme", "web")))
	const stagePath = "system/stage.json"
	check(t, []rule{
		{"opens", func(w *world) []mutation.Mutation {
			return one(w.system(mutation.SysStageBegin, mutation.StageBegin{Stage: "st1"}))
		}, "", "", stagePath, ""},
		{"is the only one", func(w *world) []mutation.Mutation {
			w.stage("st1")
			return one(w.system(mutation.SysStageBegin, mutation.StageBegin{Stage: "st2"}))
		}, store.CodeConflict, "another restore is under way", "", ""},
		{"takes documents and shows none", func(w *world) []mutation.Mutation {
			w.stage("st1")
			return one(w.system(mutation.SysStagePut, put("st1", web, mutation.StageDoc{Path: tenantAt("globex")})))
		}, "", "", "", ""},
		{"refuses a document that is not valid", func(w *world) []mutation.Mutation {
			w.stage("st1")
			bad := web
			bad.Bytes = []byte(strings.Replace(string(web.Bytes), "client_secret_basic", "client_secret_magic", 1))
			return one(w.system(mutation.SysStagePut, put("st1", doc(w.tx.Get(tenantAt("acme"))), bad)))
		}, store.CodeInvalid, "token_endpoint_auth_method: ", "", ""},
		{"refuses a document that is not canonical", func(w *world) []mutation.Mutation {
			w.stage("st1")
			bad := web
			bad.Bytes = append([]byte(" "), web.Bytes...)
			return one(w.system(mutation.SysStagePut, put("st1", bad)))
		}, store.CodeInvalid, "not in canonical form", "", ""},
		{"refuses a document of a newer format", func(w *world) []mutation.Mutation {
			w.stage("st1")
			bad := web
			bad.Bytes = []byte(strings.Replace(string(web.Bytes), `"1.0"`, `"1.1"`, 1))
			return one(w.system(mutation.SysStagePut, put("st1", bad)))
		}, store.CodeNewer, "format version", "", ""},
		{"refuses a document at another's path", func(w *world) []mutation.Mutation {
			w.stage("st1")
			return one(w.system(mutation.SysStagePut, put("st1", mutation.StageDoc{Path: clientAt("globex", "web"), Bytes: web.Bytes})))
		}, store.CodeInvalid, "tenant: ", "", ""},
		{"refuses a document of the cluster's own", func(w *world) []mutation.Mutation {
			w.stage("st1")
			return one(w.system(mutation.SysStagePut, put("st1", mutation.StageDoc{Path: ClusterPath, Bytes: []byte("{}\n")})))
		}, store.CodeInvalid, "not of a document", "", ""},
		{"refuses to delete what is no document", func(w *world) []mutation.Mutation {
			w.stage("st1")
			return one(w.system(mutation.SysStagePut, put("st1", mutation.StageDoc{Path: "../../etc/passwd"})))
		}, store.CodeInvalid, "not of a document", "", ""},
		{"refuses documents of a stage that is not open", func(w *world) []mutation.Mutation {
			w.stage("st1")
			return one(w.system(mutation.SysStagePut, put("st2", web)))
		}, store.CodeConflict, "the upload st2 is no longer open", "", ""},
		{"refuses to be left by another", func(w *world) []mutation.Mutation {
			w.stage("st1")
			return one(w.system(mutation.SysStageAbort, mutation.StageAbort{Stage: "st2"}))
		}, store.CodeConflict, "no longer open", "", ""},
		{"is forgotten", func(w *world) []mutation.Mutation {
			w.stage("st1", web, mutation.StageDoc{Path: tenantAt("globex")})
			return one(w.system(mutation.SysStageAbort, mutation.StageAbort{Stage: "st1"}))
		}, "", "", stagePath, ""},
		{"is forgotten when a leader begins", func(w *world) []mutation.Mutation {
			w.stage("st1", web)
			return one(w.system(mutation.SysEpoch, mutation.Epoch{Node: "id1", Term: 2}))
		}, "", "", stagePath + " " + EpochPath, ""},
		{"refuses a commit of another stage", func(w *world) []mutation.Mutation {
			w.stage("st1")
			return one(w.commit("st2", 0))
		}, store.CodeConflict, "no longer open", "", ""},
		{"refuses a commit after the leader changed", func(w *world) []mutation.Mutation {
			w.stage("st1", mutation.StageDoc{Path: clientAt("acme", "web")})
			m := w.commit("st1", 0)
			w.must(w.system(mutation.SysEpoch, mutation.Epoch{Node: "id1", Term: 2}))
			return one(m)
		}, store.CodeConflict, "another leader was elected meanwhile; nothing was changed", "", ""},
		{"is compared again when the state moved on", func(w *world) []mutation.Mutation {
			w.stage("st1", mutation.StageDoc{Path: clientAt("acme", "web")})
			m := w.commit("st1", 0)
			w.must(w.updateTenant("globex", `{"display_name":"changed"}`))
			return one(m)
		}, stale, "the state is at revision 13, not at 12", "", ""},
		{"replaces the state that was expected", func(w *world) []mutation.Mutation {
			w.stage("st1", mutation.StageDoc{Path: clientAt("acme", "web")})
			return one(w.expecting(12, w.commit("st1", 0)))
		}, "", "", clientAt("acme", "web") + " " + stagePath, ""},
		{"does not replace another than was expected", func(w *world) []mutation.Mutation {
			w.stage("st1", mutation.StageDoc{Path: clientAt("acme", "web")})
			w.must(w.updateTenant("globex", `{"display_name":"changed"}`))
			return one(w.expecting(12, w.commit("st1", 0)))
		}, store.CodeConflict, "the state is at revision 13, not 12; nothing was changed", "", ""},
		{"says so also when it moved on after the comparison", func(w *world) []mutation.Mutation {
			w.stage("st1", mutation.StageDoc{Path: clientAt("acme", "web")})
			m := w.expecting(12, w.commit("st1", 0))
			w.must(w.updateTenant("globex", `{"display_name":"changed"}`))
			return one(m)
		}, store.CodeConflict, "the state is at revision 13, not 12; nothing was changed", "", ""},
		{"refuses a commit that comes to another digest", func(w *world) []mutation.Mutation {
			w.stage("st1", mutation.StageDoc{Path: clientAt("acme", "web")})
			m := w.commit("st1", 0)
			w.must(w.system(mutation.SysStagePut, put("st1", mutation.StageDoc{Path: clientAt("acme", "api")})))
			return one(m)
		}, store.CodeIntegrity, "nothing was changed", "", ""},
	})
}

// TestACommitSwitchesEverythingInAtOneRevision: documents come back byte for
// byte, with their own revisions, and the state's goes on above both.
func TestACommitSwitchesEverythingInAtOneRevision(t *testing.T) {
	for _, c := range []struct {
		fact    string
		archive uint64 // revision
		want    uint64
	}{
		{"an archive of an older revision", 3, 14}, // 12 of the populated state, one for the deletion
		{"an archive of a newer revision", 1000, 1001},
	} {
		w := populated(t)
		archive := w.image()
		system := w.tx.Get(ClusterPath)
		m := w.delete(mutation.TenantDelete, "acme", "", 0)
		w.must(m)
		w.stage("st1")
		for d := range archive.Scan("") {
			if d.Path != ClusterPath {
				w.must(w.system(mutation.SysStagePut, put("st1", doc(d))))
			}
		}
		if w.tx.DataDigest() == archive.DataDigest() {
			t.Fatalf("%s: restored before its commit", c.fact)
		}
		res := w.must(w.commit("st1", c.archive))
		if got := w.tx.DataDigest(); got != archive.DataDigest() {
			t.Errorf("%s: the digest is %s, want %s", c.fact, got, archive.DataDigest())
		}
		if got := w.tx.Counters().Revision; got != c.want || res.Revision != c.want {
			t.Errorf("%s: revision %d (answered %d), want %d", c.fact, got, res.Revision, c.want)
		}
		if w.tx.Get(ClusterPath) != system || w.tx.OpenStage() != nil || w.tx.StageBytes() != 0 {
			t.Errorf("%s: system documents or the stage are not as they should be", c.fact)
		}
		if wrong := inconsistent(w.image()); wrong != "" {
			t.Errorf("%s: %s", c.fact, wrong)
		}
		w.must(w.updateClient("acme", "web", `{"description":"after"}`))
	}
}

// TestAStageSurvivesARestart: what is staged is replicated state.
func TestAStageSurvivesARestart(t *testing.T) {
	w := populated(t)
	w.stage("st1", mutation.StageDoc{Path: clientAt("acme", "web")}, doc(w.tx.Get(clientAt("acme", "api"))))
	w.restart()
	w.must(w.commit("st1", 0))
	if w.tx.Get(clientAt("acme", "web")) != nil || w.tx.Get(clientAt("acme", "api")) == nil {
		t.Error("the commit after the restart did something else")
	}
}

func TestAStageIsBounded(t *testing.T) {
	w := populated(t)
	w.stage("st1")
	part := make([]byte, 64<<20) // one piece of memory at eight paths
	for i := range int(store.MaxStage)/len(part) - 1 {
		w.fatal(w.tx.PutStaged(store.JWKSPath(string(rune('a'+i))), part))
	}
	web := doc(w.tx.Get(clientAt("acme", "web")))
	w.fatal(w.tx.PutStaged(store.JWKSPath("last"), part[:len(part)-len(web.Bytes)]))
	w.must(w.system(mutation.SysStagePut, put("st1", web)))
	if got := w.tx.StageBytes(); got != store.MaxStage {
		t.Fatalf("%d bytes are staged, want %d", got, store.MaxStage)
	}
	api := doc(w.tx.Get(clientAt("acme", "api")))
	before, c := w.image(), w.command(w.system(mutation.SysStagePut, put("st1", api)))
	wantRefused(t, w, before, c, w.apply(c), rule{code: store.CodeRefused, says: "at most 512 MiB"})
}

package applier

import (
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestAnAuthorityFollowsAnotherInThreeSteps(t *testing.T) {
	key := &store.Sealed{Enc: "A256GCM", KeyID: "7f3a", Nonce: "AAAAAAAAAAAAAAAA", Ciphertext: "next"}
	announce := mutation.Succession{Step: mutation.CAAnnounce, CA: "B", CAKey: key, Cross: "B by A"}
	other := mutation.Succession{Step: mutation.CAAnnounce, CA: "C", CAKey: key}
	toB, retireA := mutation.Succession{Step: mutation.CASwitch, CA: "B"}, mutation.Succession{Step: mutation.CARetire, CA: "A"}
	for _, tt := range []struct {
		fact   string
		steps  []mutation.Succession
		code   store.Code // of the last one
		bundle string
		signs  string
	}{
		{"before", nil, "", "A", "A"},
		{"announced", []mutation.Succession{announce}, "", "AB", "A"},
		{"announced twice", []mutation.Succession{announce, other}, store.CodeRefused, "AB", "A"},
		{"announced without a key", []mutation.Succession{{Step: mutation.CAAnnounce, CA: "B"}}, store.CodeInvalid, "A", "A"},
		{"switched to what was not announced", []mutation.Succession{toB}, store.CodeConflict, "A", "A"},
		{"retired before the switch", []mutation.Succession{announce, retireA}, "", "AB", "A"},
		{"switched", []mutation.Succession{announce, toB}, "", "AB", "B"},
		{"switched twice", []mutation.Succession{announce, toB, toB}, "", "AB", "B"},
		{"the next one before the last is retired", []mutation.Succession{announce, toB, other}, store.CodeRefused, "AB", "B"},
		{"another one is retired", []mutation.Succession{announce, toB, {Step: mutation.CARetire, CA: "B"}}, store.CodeConflict, "AB", "B"},
		{"retired", []mutation.Succession{announce, toB, retireA}, "", "B", "B"},
		{"retired twice", []mutation.Succession{announce, toB, retireA, retireA}, "", "B", "B"},
		{"the next one", []mutation.Succession{announce, toB, retireA, other}, "", "BC", "B"},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			w := newWorld(t)
			w.must(w.system(mutation.SysFound, mutation.Found{ClusterID: cluster, CA: "A", Level: 1, KeyID: "7f3a"}))
			var code store.Code
			for _, s := range tt.steps {
				code = ""
				if res := w.apply(w.command(w.system(mutation.SysCA, s))); res.Refusal != nil {
					code = res.Refusal.Code
				}
			}
			var f mutation.Found
			if !w.tx.System(ClusterPath, &f) || code != tt.code || f.Bundle() != tt.bundle || f.CA != tt.signs || f.ClusterID != cluster {
				t.Errorf("refusal %q, trusted %q, %q signs; want %q, %q, %q", code, f.Bundle(), f.CA, tt.code, tt.bundle, tt.signs)
			}
			if f.CA == "B" && f.CAKey != *key {
				t.Errorf("the key of B is %+v", f.CAKey)
			}
			if (f.OldCA != "" || f.NextCA == "B") != (f.CrossCA == "B by A") {
				t.Errorf("%q, %q, introduced by %q", f.OldCA, f.NextCA, f.CrossCA)
			}
		})
	}
}

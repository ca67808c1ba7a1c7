package applier

import (
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestWhatIsDecidedAboutMembers(t *testing.T) {
	n1, n2 := cert("a1", "n1", "id1"), cert("b1", "n2", "id2")
	leave := func(id string) mutation.Leave {
		return mutation.Leave{NodeID: id, Name: "n" + id[2:], Why: mutation.Removal("unix/0")}
	}
	gone := mutation.Revoke{NodeID: "id1", Name: "n1", Why: mutation.Removal("unix/0")}
	voter := n1
	voter.Voter = true
	after := func(ms ...any) func(w *world) []mutation.Mutation {
		return func(w *world) []mutation.Mutation {
			var last mutation.Mutation
			for i, v := range ms {
				switch v := v.(type) {
				case mutation.Certificate:
					last = w.system(mutation.SysCert, v)
				case mutation.Leave:
					last = w.system(mutation.SysLeave, v)
				case mutation.Revoke:
					last = w.system(mutation.SysRevoke, v)
				case mutation.Vote:
					last = w.system(mutation.SysVote, v)
				case mutation.Autoremove:
					last = w.system(mutation.SysAutoremove, v)
				}
				if i < len(ms)-1 {
					w.must(last)
				}
			}
			return one(last)
		}
	}
	check(t, []rule{
		{"that a node leaves is noted", after(n1, leave("id1")), "", "", LeavingPath, ""},
		{"it is decided once", after(n1, leave("id1"), leave("id1")), "", "", "", ""},
		{"another may leave meanwhile", after(n1, n2, leave("id1"), leave("id2")), "", "", LeavingPath, ""},
		{"nobody leaves who is no member", after(n1, leave("id9")), store.CodeNotFound, `node "n9" is not a member`, "", ""},
		{"nor who was removed", after(n1, gone, leave("id1")), store.CodeNotFound, "not a member", "", ""},
		{"the revocation ends it", after(n1, leave("id1"), gone), "", "", CertPath("a1") + " " + LeavingPath, ""},
		{"and leaves the others alone", after(n1, n2, leave("id1"), leave("id2"), gone), "", "", CertPath("a1") + " " + LeavingPath, ""},
		{"that of a line ends nothing", after(n1, leave("id1"), mutation.Revoke{Line: "a1", Why: "x"}), "", "", CertPath("a1"), ""},
		{"a node may want a vote", after(n1, mutation.Vote{NodeID: "id1"}), "", "", CertPath("a1"), ""},
		{"who has one keeps it", after(voter, mutation.Vote{NodeID: "id1"}), "", "", "", ""},
		{"who leaves gets none", after(n1, leave("id1"), mutation.Vote{NodeID: "id1"}), store.CodeRefused, `node "n1" is about to be removed`, "", ""},
		{"nor does who was removed", after(n1, gone, mutation.Vote{NodeID: "id1"}), store.CodeNotFound, "not a member", "", ""},
		{"the lost are removed after a while", after(mutation.Autoremove{After: 1, MinVoters: 3}), "", "", AutoremovePath, ""},
		{"or not at all", after(mutation.Autoremove{After: 1, MinVoters: 3}, mutation.Autoremove{}), "", "", AutoremovePath, ""},
		{"but not with nobody left", after(mutation.Autoremove{After: 1}), store.CodeInvalid, "at least one voter", "", ""},
	})
}

// A removal that is asked for again under its id is answered with the node that
// it was about, by whichever leader.
func TestARemovalIsKnownByItsRequest(t *testing.T) {
	w := populated(t)
	w.must(w.system(mutation.SysCert, cert("a1", "n1", "id1")))
	c := w.command(w.system(mutation.SysLeave, mutation.Leave{NodeID: "id1", Name: "n1", Why: mutation.Removal("unix/0")}))
	c.ID = "r1"
	w.apply(c)
	w.must(w.system(mutation.SysRevoke, mutation.Revoke{NodeID: "id1", Name: "n1", Why: mutation.Removal("unix/0")}))
	if res := w.apply(c); res.Replayed == nil || res.Refusal != nil || len(res.Names) != 1 || res.Names[0] != "node/id1" {
		t.Errorf("again: %+v", res)
	}
}

func TestWhoLeftAndWhoWasRemoved(t *testing.T) {
	for why, want := range map[string]struct {
		left bool
		fate string
	}{
		mutation.Departure("unix/0"): {true, "was revoked: its node left the cluster, as unix/0 asked"},
		mutation.Removal("unix/0"):   {false, "was revoked: removed by unix/0"},
	} {
		c := cert("a1", "n1", "id1")
		c.Revoked, c.Why = true, why
		if c.Left() != want.left || c.Fate() != want.fate {
			t.Errorf("%s: left %v, %q", why, c.Left(), c.Fate())
		}
	}
}

package applier

import (
	"slices"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// renewal is a certificate that was issued later, of a line.
func renewal(serial, line, name, node string, after store.Time) mutation.Certificate {
	c := cert(serial, name, node)
	c.Line, c.IssuedAt, c.NotAfter = line, c.IssuedAt+after, c.NotAfter+after
	return c
}

func person(serial, name string) mutation.Certificate {
	c := cert(serial, name, "")
	c.Role, c.Tenant = "operator", "acme"
	return c
}

func TestALineIsRenewedUntilItIsRevoked(t *testing.T) {
	first, second := cert("a1", "n1", "id1"), renewal("a2", "a1", "n1", "id1", 5)
	line := mutation.Revoke{Line: "a1", Name: "n1", Why: "revoked by unix/0"}
	removed := mutation.Revoke{NodeID: "id1", Name: "n1", Why: "removed by unix/0"}
	ana := person("c1", "ana")
	ana2 := ana
	ana2.Serial, ana2.Line = "c2", "c1"
	ana3 := ana2
	ana3.Serial = "c3"
	check(t, []rule{
		{"a renewal is of the line", sys(mutation.SysCert, second, first), "", "", CertPath("a2"), ""},
		{"a renewal may be of a renewal's line", sys(mutation.SysCert, renewal("a3", "a1", "n1", "id1", 9), first, second), "", "", CertPath("a3"), ""},
		{"a renewal of nothing is refused", sys(mutation.SysCert, second), store.CodeDenied, "certificate a1 is not on record", "", ""},
		{"a line that was taken back is not renewed", sys(mutation.SysCert, second, first, line), store.CodeDenied, "certificate a1 was revoked by unix/0", "", ""},
		{"nor is a person's", sys(mutation.SysCert, ana3, ana, ana2, mutation.Revoke{Line: "c1", Why: "lost"}), store.CodeDenied, "was revoked: lost", "", ""},
		{"a line is taken back as a whole, and no other", sys(mutation.SysRevoke, mutation.Revoke{Line: "c1", Why: "lost"}, ana, ana2, first, second), "", "", CertPath("c1") + " " + CertPath("c2"), ""},
		{"a renewal's serial is no line", sys(mutation.SysRevoke, mutation.Revoke{Line: "c2", Why: "lost"}, ana, ana2), "", "", "", ""},
		{"what was taken back is not taken back again", sys(mutation.SysRevoke, line, first, line), "", "", "", ""},
		{"a node that is removed later is removed", sys(mutation.SysRevoke, removed, first, line), "", "", CertPath("a1"), ""},
		{"a removed node's line stays removed", sys(mutation.SysRevoke, line, first, removed), "", "", "", ""},
	})
}

// Whoever was bound to a tenant is nobody when another one gets its slug.
func TestWhoIsBoundToATenantGoesWithIt(t *testing.T) {
	w := populated(t)
	other, free := person("c2", "bob"), person("c3", "eve")
	other.Tenant, free.Tenant = "globex", ""
	for _, c := range []mutation.Certificate{person("c1", "ana"), other, free} {
		w.must(w.system(mutation.SysCert, c))
	}
	for _, token := range []mutation.Token{bound(oneUse("t1", "reader", "ci"), "acme"), bound(oneUse("t2", "reader", "cd"), "globex"), oneUse("t3", "reader", "ce")} {
		w.must(w.system(mutation.SysToken, token))
	}
	w.must(w.delete(mutation.TenantDelete, "acme", "", 0))
	for serial, want := range map[string]bool{"c1": true, "c2": false, "c3": false} {
		var c mutation.Certificate
		if !w.tx.System(CertPath(serial), &c) || c.Revoked != want || want && c.Why != "tenant acme was deleted by "+actor {
			t.Errorf("of %s there is on record %+v, want revoked: %v", c.Name, c, want)
		}
	}
	for id, want := range map[string]string{"t1": mutation.TokenRevoked, "t2": mutation.TokenOpen, "t3": mutation.TokenOpen} {
		var r mutation.TokenRecord
		if !w.tx.System(TokenPath(id), &r) {
			t.Fatalf("%s is not on record", id)
		}
		if state, _ := r.State(w.now); state != want {
			t.Errorf("token %s is %s, want %s", id, state, want)
		}
	}
	if !mutation.TenantDelete.Trust() {
		t.Error("their connections are not looked at")
	}
}

func TestWhoWasRemovedAndWhoWasOnlyRevoked(t *testing.T) {
	w := populated(t)
	w.must(w.system(mutation.SysCert, cert("a1", "n1", "id1")))
	w.must(w.system(mutation.SysCert, person("c1", "ana")))
	state := func(serial string) (revoked, removed bool) {
		var c mutation.Certificate
		if !w.tx.System(CertPath(serial), &c) {
			t.Fatalf("%s is not on record", serial)
		}
		return c.Revoked, c.Removed()
	}
	w.must(w.system(mutation.SysRevoke, mutation.Revoke{Line: "a1", Why: "x"}))
	w.must(w.system(mutation.SysRevoke, mutation.Revoke{Line: "c1", Why: "x"}))
	if revoked, removed := state("a1"); !revoked || removed {
		t.Errorf("a node whose certificate was taken back: revoked %v, removed %v", revoked, removed)
	}
	if revoked, removed := state("c1"); !revoked || removed {
		t.Errorf("a person whose certificate was taken back: revoked %v, removed %v", revoked, removed)
	}
	w.must(w.system(mutation.SysRevoke, mutation.Revoke{NodeID: "id1", Why: "y"}))
	if revoked, removed := state("a1"); !revoked || !removed {
		t.Errorf("a node that was removed: revoked %v, removed %v", revoked, removed)
	}
}

func TestRecordsAreForgottenADayAfterTheirEnd(t *testing.T) {
	w := populated(t)
	old := cert("a1", "n1", "id1") // the node is away since
	w.must(w.system(mutation.SysCert, old))
	w.must(w.system(mutation.SysCert, person("c1", "ana")))
	w.must(w.system(mutation.SysCert, cert("b1", "n2", "id2")))
	w.must(w.system(mutation.SysCert, cert("d1", "n3", "id3")))
	w.must(w.system(mutation.SysCert, renewal("d2", "d1", "n3", "id3", 1)))
	w.must(w.system(mutation.SysRevoke, mutation.Revoke{NodeID: "id3", Why: "removed"}))
	on := func() (serials []string) {
		for d := range w.tx.Scan(CertsPrefix) {
			var c mutation.Certificate
			if w.tx.System(d.Path, &c) {
				serials = append(serials, c.Serial)
			}
		}
		return serials
	}
	issue := func(c mutation.Certificate, at, commandTime store.Time) {
		t.Helper()
		c.IssuedAt = at
		command := w.command(w.system(mutation.SysCert, c))
		command.Time = commandTime
		if res := w.apply(command); res.Refusal != nil {
			t.Fatal(res.Refusal)
		}
	}
	day := old.NotAfter + keepExpired
	issue(renewal("b2", "b1", "n2", "id2", 40*hour), day, day+hour) // the day is not over: a leader's clock was ahead once
	if got, want := on(), []string{"a1", "b1", "b2", "c1", "d1", "d2"}; !slices.Equal(got, want) {
		t.Errorf("on record are %v, want %v", got, want)
	}
	issue(cert("e1", "n5", "id5"), day+hour, day+hour+1)
	if got, want := on(), []string{"a1", "b2", "d2", "e1"}; !slices.Equal(got, want) { // of n1 and n3 it is the last one
		t.Errorf("on record are %v, want %v", got, want)
	}
}

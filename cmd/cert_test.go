package cmd

import (
	"slices"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func certWorld() *world {
	w := newWorld()
	w.certs = []rpc.CertInfo{
		{Serial: "0a", Role: "node", Name: "n1", NodeID: "id1", State: rpc.CertRenewed, Issued: store.TimeOf(noon.Add(-time.Hour)), NotAfter: store.TimeOf(noon.Add(50 * time.Hour)), Line: "0a", Authority: "aaaaaaaaaaaaaaaa"},
		{Serial: "0b", Role: "operator", Name: "ana", Tenant: "acme", State: rpc.CertRevoked, Issued: store.TimeOf(noon), NotAfter: store.TimeOf(noon.Add(-time.Hour)), Revoked: true, Why: "revoked by unix/0", Line: "0b"},
	}
	return w
}

func TestCertificatesAreListedWithTheirEnd(t *testing.T) {
	certWorld().run("cert", "list").want(t, 0, ""+
		"SERIAL   ROLE       NAME   TENANT   EXPIRES   STATE\n"+
		"0a       node       n1     -        in 2d     renewed\n"+
		"0b       operator   ana    acme     1h        revoked\n", "")
	certWorld().run("cert", "list", "-o", "name").want(t, 0, "cert/0a\ncert/0b\n", "")
	certWorld().run("cert", "list", "-o", "wide").want(t, 0, ""+
		"SERIAL   ROLE       NAME   TENANT   EXPIRES                STATE     ISSUED                 AUTHORITY      LINE   WHY\n"+
		"0a       node       n1     -        2026-02-13T02:00:00Z   renewed   2026-02-10T23:00:00Z   aaaaaaaaaaaa   0a     -\n"+
		"0b       operator   ana    acme     2026-02-10T23:00:00Z   revoked   2026-02-11T00:00:00Z   -              0b     revoked by unix/0\n", "")
	certWorld().run("cert", "list", "-o", "json").want(t, 0, `{
  "format_version": "1.0",
  "kind": "certificate_list",
  "index": 12,
  "items": [
    {
      "serial": "0a",
      "role": "node",
      "name": "n1",
      "tenant": "",
      "node_id": "id1",
      "state": "renewed",
      "issued": "2026-02-10T23:00:00Z",
      "not_after": "2026-02-13T02:00:00Z",
      "revoked": false,
      "why": "",
      "line": "0a",
      "authority": "aaaaaaaaaaaaaaaa"
    },
    {
      "serial": "0b",
      "role": "operator",
      "name": "ana",
      "tenant": "acme",
      "node_id": "",
      "state": "revoked",
      "issued": "2026-02-11T00:00:00Z",
      "not_after": "2026-02-10T23:00:00Z",
      "revoked": true,
      "why": "revoked by unix/0",
      "line": "0b",
      "authority": ""
    }
  ]
}
`, "")
}

func TestARevocationIsConfirmed(t *testing.T) {
	w := certWorld()
	w.run("cert", "revoke", "0b").want(t, 2, "", "cpctl: refusing to revoke certificate \"0b\" without confirmation; pass --yes\n")
	if w.certRevoked != "" {
		t.Error("it was sent")
	}
	w.run("cert", "revoke", "0b", "--yes").want(t, 0, "cert/0b revoked, of operator/ana\n", "")
	if w.certRevoked != "0b" {
		t.Errorf("revoked %q", w.certRevoked)
	}
	w.fail = store.Errorf(store.CodeRefused, "certificate 0a is that of node \"n1\", which votes")
	if r := w.run("cert", "revoke", "0a", "--yes"); r.code != 8 {
		t.Errorf("exit %d, want 8", r.code)
	}
}

func TestARollOverOfTheAuthorityIsToldAndAwaited(t *testing.T) {
	old, next := "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
	announced := rpc.Authorities{Phase: "announced", Signs: old, Other: next, Waiting: []string{"n2"}}
	switched := rpc.Authorities{Phase: "switched", Signs: next, Other: old, Waiting: []string{}}
	w := newWorld()
	w.authorities = []rpc.Authorities{announced}
	w.run("cluster", "rotate-ca").want(t, 0, "authority bbbbbbbbbbbb announced, aaaaaaaaaaaa signs: waiting for n2 to trust both\n", "")
	w.authorities = []rpc.Authorities{announced, announced, switched}
	w.rotated = nil
	w.run("cluster", "rotate-ca", "--wait").want(t, 0, "authority bbbbbbbbbbbb signs, aaaaaaaaaaaa is still trusted\n", "")
	if len(w.rotated) != 3 || w.rotated[0].Look || !w.rotated[1].Look {
		t.Errorf("asked %+v: only the first time may begin something", w.rotated)
	}
	w.authorities = []rpc.Authorities{announced}
	w.run("cluster", "rotate-ca", "--wait", "--timeout", "300ms").want(t, 10, "",
		"cpctl: the new authority does not sign yet: waiting for n2 to trust both\n  it goes on by itself; see: cpctl cluster rotate-ca\n")
	w.authorities = []rpc.Authorities{{Phase: "one", Signs: next, Waiting: []string{}}}
	w.run("cluster", "rotate-ca", "--retire", "-o", "json").want(t, 0, `{
  "format_version": "1.0",
  "kind": "authority",
  "phase": "one",
  "signs": "bbbbbbbbbbbbbbbb",
  "other": "",
  "waiting": []
}
`, "")
	w.run("cluster", "rotate-ca", "--force").want(t, 2, "", "cpctl: --force is for --retire\n")
}

func TestWhoIsShutOutByARetirementIsSaidBefore(t *testing.T) {
	old, next := "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
	one := rpc.Authorities{Phase: "one", Signs: next, Waiting: []string{}}
	switched := rpc.Authorities{Phase: "switched", Signs: next, Other: old, Waiting: []string{}}
	w := newWorld()
	w.certs = []rpc.CertInfo{
		{Serial: "01", Role: "admin", Name: "ana", State: rpc.CertGood, Authority: old},
		{Serial: "02", Role: "operator", Name: "ten", Tenant: "acme", State: rpc.CertGood, Authority: old},
		{Serial: "03", Role: "reader", Name: "bob", State: rpc.CertRenewed, Authority: old},
		{Serial: "04", Role: "reader", Name: "bob", State: rpc.CertGood, Authority: next},
		{Serial: "05", Role: "reader", Name: "eve", State: rpc.CertRevoked, Authority: old},
	}
	sent := func(want ...rpc.RotateArgs) {
		t.Helper()
		if !slices.Equal(w.rotated, want) {
			t.Errorf("sent %+v", w.rotated)
		}
		w.rotated = nil
	}
	look, force := rpc.RotateArgs{Look: true}, rpc.RotateArgs{Retire: true, Force: true}
	out := "shut out until they log in again with a new token: admin/ana, operator/ten@acme\n"
	w.authorities = []rpc.Authorities{switched}
	w.run("cluster", "rotate-ca", "--retire", "--force").want(t, 2, "", "cpctl: refusing to forget the authority before without confirmation; pass --yes\n")
	sent(look)
	w.terminal, w.stdin, w.env["NO_COLOR"] = true, "n\n", "1"
	w.run("cluster", "rotate-ca", "--retire", "--force").want(t, 2, "", out+"forget the authority before? [y/N] cpctl: not confirmed; nothing was changed\n")
	sent(look)
	w.authorities = []rpc.Authorities{switched, one}
	w.run("cluster", "rotate-ca", "--retire", "--force", "--yes").want(t, 0, "authority bbbbbbbbbbbb signs, and no other is trusted\n", out)
	sent(look, force)
	w.authorities = []rpc.Authorities{one}
	w.run("cluster", "rotate-ca", "--retire", "--force").want(t, 0, "authority bbbbbbbbbbbb signs, and no other is trusted\n",
		"there is no authority before the one that signs: nothing to retire\n")
	sent(look, force)
}

func TestTheCallerIsToldThatARetirementShutsThemOut(t *testing.T) {
	w, c := dueWorld(t, 0)
	w.certs = []rpc.CertInfo{{Serial: contextHolder(&c).Serial, Role: "operator", Name: "ana", State: rpc.CertGood, Authority: "aaaaaaaaaaaaaaaa"}}
	w.authorities = []rpc.Authorities{{Phase: "switched", Signs: "bbbbbbbbbbbbbbbb", Other: "aaaaaaaaaaaaaaaa", Waiting: []string{}}}
	w.run("cluster", "rotate-ca", "--retire", "--force", "--yes").want(t, 0, "authority bbbbbbbbbbbb signs, aaaaaaaaaaaa is still trusted\n",
		"shut out until they log in again with a new token: operator/ana (you)\n")
}

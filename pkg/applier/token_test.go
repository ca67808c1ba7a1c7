package applier

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// oneUse is a token that is good for an hour from when the populated state is made.
func oneUse(id, role, name string) mutation.Token {
	return mutation.Token{ID: id, Hash: strings.Repeat("ab", 32), Role: role, Name: name, ExpiresAt: begin + hour}
}

// use is what a leader makes of a token that is shown with a public key.
func use(id, key, serial, role, name string) mutation.Enrol {
	c := mutation.Certificate{Serial: serial, Role: role, Name: name, NotAfter: begin + 90*24*hour, IssuedAt: begin}
	if role == "node" {
		c.NodeID = "id-" + name
	}
	return mutation.Enrol{Token: id, PublicKey: key, Certificate: c, PEM: "certificate " + serial}
}

// after makes a rule's command behind others of the cluster's own.
func after(last any, before ...any) func(w *world) []mutation.Mutation {
	made := func(w *world, v any) mutation.Mutation {
		switch v := v.(type) {
		case mutation.Token:
			return w.system(mutation.SysToken, v)
		case mutation.TokenRevoke:
			return w.system(mutation.SysTokenRevoke, v)
		case mutation.Enrol:
			return w.system(mutation.SysEnrol, v)
		case mutation.Certificate:
			return w.system(mutation.SysCert, v)
		case mutation.Revoke:
			return w.system(mutation.SysRevoke, v)
		}
		w.t.Fatalf("%T is nobody's payload", v)
		return mutation.Mutation{}
	}
	return func(w *world) []mutation.Mutation {
		for _, v := range before {
			if passed, ok := v.(store.Time); ok {
				w.now += passed
				continue
			}
			w.must(made(w, v))
		}
		return one(made(w, last))
	}
}

func bound(t mutation.Token, tenant string) mutation.Token { t.Tenant = tenant; return t }

func TestTokens(t *testing.T) {
	ana, n1 := oneUse("t1", "operator", "ana"), oneUse("t2", "node", "n1")
	usedAna, usedN1 := use("t1", "key-a", "a1", "operator", "ana"), use("t2", "key-n", "b1", "node", "n1")
	another := use("t1", "key-b", "a2", "operator", "ana")
	late := ana
	late.ExpiresAt = begin - second
	longer := ana
	longer.ExpiresAt += hour
	stolen := usedN1
	stolen.Token, stolen.Certificate.Serial, stolen.Certificate.Name = "t3", "b9", "n3"
	revoked := mutation.TokenRevoke{ID: "t1"}
	const path, day = "system/tokens/t1.json", 24 * hour
	check(t, []rule{
		{"a token is noted", after(ana), "", "", path, ""},
		{"the same token again changes nothing", after(ana, ana), "", "", "", ""},
		{"asked for again it does not live longer", after(longer, ana), "", "", "", ""},
		{"an id has one token", after(oneUse("t1", "operator", "bob"), ana), store.CodeExists, "token t1 is on record already", "", ""},
		{"a token that has expired when it is made", after(late), store.CodeInvalid, "would expire before it is made", "", ""},
		{"a token for a tenant", after(bound(ana, "acme")), "", "", path, ""},
		{"a token for no tenant there is", after(bound(ana, "nobody")), store.CodeNotFound, "nobody", "", ""},
		{"a token for a name that a node has", after(n1, cert("c1", "n1", "id1")), store.CodeExists, `a node named "n1" is in the cluster already`, "", ""},
		{"two tokens for one name", after(oneUse("t9", "operator", "ana"), ana), "", "", "system/tokens/t9.json", ""},
		{"a token for a name that a person has", after(oneUse("t9", "operator", "ana"), ana, usedAna), store.CodeExists, `the name "ana" is taken: the operator of that name has a certificate until 2026-04-05`, "", ""},
		{"the same name of another role", after(oneUse("t9", "admin", "ana"), ana, usedAna), "", "", "system/tokens/t9.json", ""},
		{"a name is free when its certificate has expired", after(func() mutation.Token { v := oneUse("t9", "operator", "ana"); v.ExpiresAt += 91 * day; return v }(), ana, usedAna, 91*day), "", "", path + " system/tokens/t9.json", ""},
		{"a node keeps its name beyond its certificate", after(func() mutation.Token { v := oneUse("t9", "node", "n1"); v.ExpiresAt += 91 * day; return v }(), n1, usedN1, 91*day), store.CodeExists, `a node named "n1"`, "", ""},

		{"a token is revoked", after(revoked, ana), "", "", path, ""},
		{"a revoked token is revoked once", after(revoked, ana, revoked), "", "", "", ""},
		{"an expired token need not be", after(revoked, ana, hour), "", "", "", ""},
		{"a used token is beyond revoking", after(revoked, ana, usedAna), store.CodeRefused, "was used at 2026-01-05T10:", "", ""},
		{"no such token", after(revoked), store.CodeNotFound, `token "t1" is not on record`, "", ""},

		{"a token is used by a person", after(usedAna, ana), "", "", path + " " + CertPath("a1"), ""},
		{"a token is used by a node", after(usedN1, n1), "", "", "system/tokens/t2.json " + CertPath("b1"), ""},
		{"the same key again changes nothing", after(func() mutation.Enrol { v := usedAna; v.Certificate.Serial = "a7"; return v }(), ana, usedAna), "", "", "", ""},
		{"and also when the token has expired since", after(usedAna, ana, usedAna, 2*hour), "", "", "", ""},
		{"another key comes too late", after(another, ana, usedAna), store.CodeDenied, "token t1 was used already, at 2026-01-05T10:", "", ""},
		{"an expired token", after(usedAna, ana, hour), store.CodeDenied, "token t1 expired at 2026-01-05T11:00:00Z", "", ""},
		{"a revoked token", after(usedAna, ana, revoked), store.CodeDenied, "token t1 was revoked at", "", ""},
		{"an unknown token", after(usedAna), store.CodeDenied, "token t1 is not known to this cluster", "", ""},
		{"a token of another name", after(use("t1", "k", "a1", "operator", "bob"), ana), store.CodeInternal, "token t1 is for operator/ana, the certificate for operator/bob", "", ""},
		{"a token of another role", after(use("t1", "k", "a1", "admin", "ana"), ana), store.CodeInternal, "token t1 is for operator/ana", "", ""},
		{"a name that was taken meanwhile", after(use("t9", "k", "a2", "operator", "ana"), ana, oneUse("t9", "operator", "ana"), usedAna), store.CodeExists, `the name "ana" is taken`, "", ""},
		{"a node's name that was taken meanwhile", after(usedN1, n1, cert("c1", "n1", "id1")), store.CodeExists, `a node named "n1"`, "", ""},
		{"a node id that is somebody's", after(stolen, n1, usedN1, oneUse("t3", "node", "n3")), store.CodeExists, `the node id id-n1 is taken by node "n1"`, "", ""},
		{"a node that was removed", after(stolen, n1, usedN1, oneUse("t3", "node", "n3"), mutation.Revoke{NodeID: "id-n1", Why: "removed by unix/0"}), store.CodeDenied, "was removed from this cluster", "", ""},
		{"a serial is issued once", after(use("t9", "k", "a1", "operator", "bob"), ana, usedAna, oneUse("t9", "operator", "bob")), store.CodeExists, "certificate a1 is on record already", "", ""},
		{"a tenant that is gone", func(w *world) []mutation.Mutation {
			ms := after(use("t9", "k", "a1", "reader", "ci"), bound(oneUse("t9", "reader", "ci"), "globex"))(w)
			w.must(w.delete(mutation.TenantDelete, "globex", "", 0))
			return ms
		}, store.CodeDenied, "token t9 was revoked at", "", ""},

		{"what is used a day is forgotten by the next token", after(func() mutation.Token { v := oneUse("t9", "node", "n9"); v.ExpiresAt += 2 * day; return v }(), ana, usedAna, n1, day), "", "", path + " system/tokens/t9.json", ""},
		{"and what has expired a day ago by the next use", after(func() mutation.Enrol { v := use("t9", "k", "a9", "node", "n9"); return v }(),
			ana, func() mutation.Token { v := oneUse("t9", "node", "n9"); v.ExpiresAt += 3 * day; return v }(), day+2*hour), "", "", path + " system/tokens/t9.json " + CertPath("a9"), ""},
		{"a refused use forgets nothing", after(use("t9", "k", "a9", "node", "n9"), ana, day+2*hour), store.CodeDenied, "not known", "", ""},
	})
}

func TestTheNumberOfTokensIsBounded(t *testing.T) {
	w := populated(t)
	for i := range MaxTokens {
		w.now = begin // no second between them
		w.must(w.system(mutation.SysToken, oneUse(fmt.Sprint("x", i), "operator", fmt.Sprint("o", i))))
	}
	w.now = begin
	more := w.system(mutation.SysToken, func() mutation.Token { v := oneUse("more", "operator", "more"); v.ExpiresAt += 48 * hour; return v }())
	res := w.do(more)
	if res.Refusal == nil || res.Refusal.Code != store.CodeRefused || !strings.Contains(res.Refusal.Message, "1000 tokens are on record") {
		t.Fatalf("one more: %v", res.Refusal)
	}
	w.now = begin + hour + store.Time(0).Add(TokenMemory)
	w.must(more)
	var left []string
	for d := range w.tx.Scan(TokensPrefix) {
		left = append(left, d.Path)
	}
	if want := []string{TokenPath("more")}; !slices.Equal(left, want) {
		t.Errorf("%d tokens are left, want %v", len(left), want)
	}
}

// TestAUsedTokenKeepsItsCertificate: through an archive, since the newcomer that
// asks again may reach a node that was installed from one.
func TestAUsedTokenKeepsItsCertificate(t *testing.T) {
	w := populated(t)
	w.must(w.system(mutation.SysToken, oneUse("t1", "operator", "ana")))
	made := w.now
	w.must(w.system(mutation.SysEnrol, use("t1", "key-a", "a1", "operator", "ana")))
	w.restart()
	var got mutation.TokenRecord
	want := mutation.TokenRecord{Token: oneUse("t1", "operator", "ana"), CreatedAt: made, CreatedBy: actor, UsedAt: w.now, PublicKey: "key-a", Serial: "a1", PEM: "certificate a1"}
	if !w.tx.System(TokenPath("t1"), &got) || got != want {
		t.Errorf("the record is %+v, want %+v", got, want)
	}
	for now, want := range map[store.Time]string{w.now: "used", begin + 2*hour: "used"} {
		if state, since := got.State(now); state != want || since != w.now {
			t.Errorf("at %s it is %s since %s", now, state, since)
		}
	}
}

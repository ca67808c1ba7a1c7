package node

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestFaultsOfFormAndOfTheStateAreListedAtOnce(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	_, err := c.write(&mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: "bad", Patch: json.RawMessage(
		`{"redirect_uris":["relative"],"scopes":["opnid","email"],"access_token_ttl":"48h","id_token_ttl":"2h","bogus":1}`)})
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeInvalid {
		t.Fatalf("got %v, want invalid", err)
	}
	for _, want := range []string{"bogus", "redirect_uris[0]", "access_token_ttl", "id_token_ttl", `scopes[0]: scope "opnid" does not exist in tenant "acme"; did you mean "openid"?`} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("%q is not among the faults:\n%v", want, e)
		}
	}
}

func TestWhatExistsIsLeftAloneWhateverWasAsked(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	c.must(clientNamed("acme", "web"))
	before := c.leader().Image().StateDigest()
	for _, req := range []*mutation.Request{
		{Op: mutation.OpTenantCreate, Name: "acme", Patch: json.RawMessage(`{"issuer":"http://bad"}`)},
		{Op: mutation.OpClientCreate, Tenant: "acme", Name: "web"}, // without the redirect URI that it would need
		{Op: mutation.OpScopeCreate, Tenant: "acme", Name: "openid", Patch: json.RawMessage(`{"claims":["iss"]}`)},
	} {
		req.IfNotExists = true
		if a := c.must(req); a.Outcome != mutation.Unchanged || a.Note == "" && req.Patch != nil {
			t.Errorf("%s: %+v", req.Op, a)
		}
	}
	for _, patch := range []string{`{"settings":{"a":1,"a":2}}`, `[]`, `{`} { // what is no request is none whatever exists
		req := &mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: "web", IfNotExists: true, Patch: json.RawMessage(patch)}
		if a, err := c.write(req); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %+v, %v", patch, a, err)
		}
	}
	if after := c.leader().Image().StateDigest(); after != before {
		t.Error("something changed")
	}
}

func TestARevisionAmongTheFieldsIsAnExpectation(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	c.must(&mutation.Request{Op: mutation.OpTenantUpdate, Name: "acme", Patch: json.RawMessage(`{"display_name":"One"}`)})
	for name, req := range map[string]*mutation.Request{
		"in the document": {Patch: json.RawMessage(`{"revision":1,"display_name":"Two"}`)},
		"by --set":        {Patch: json.RawMessage(`{"display_name":"Two"}`), Set: []store.Element{{Path: "revision", Value: json.RawMessage("1")}}},
	} {
		req.Op, req.Name = mutation.OpTenantUpdate, "acme"
		if _, err := c.write(req); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v, want a conflict", name, err)
		}
	}
}

func TestARevokedKeyKeepsItsKidTimesAndReason(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	kid := keysOf(t, c)[0].KID
	c.must(&mutation.Request{Op: mutation.OpKeyRevoke, Tenant: "acme", KID: kid, Reason: "laptop stolen"})
	keys := keysOf(t, c)
	if len(keys) != 3 || keys[0].State != store.KeyActive || keys[1].State != store.KeyNext {
		t.Fatalf("keys %+v: the next one follows the active one, and has a successor", keys)
	}
	k := keys[2]
	if k.KID != kid || k.State != store.KeyRevoked || k.RevokedAt == 0 || k.RevokeReason != "laptop stolen" || k.ActivatedAt == 0 ||
		k.PrivateKey != nil || k.VerifyUntil != 0 || string(k.PublicJWK) != "null" {
		t.Errorf("the revoked key is %+v", k)
	}
	if jwks := c.leader().Image().Get(store.JWKSPath("acme")); strings.Contains(string(jwks.Bytes), kid) {
		t.Error("a revoked key is published")
	}
}

func keysOf(t *testing.T, c *trio) []store.Key {
	t.Helper()
	ks, err := store.Stored[store.Keyset](c.leader().Image().Get(store.KeysetPath("acme")))
	if err != nil {
		t.Fatal(err)
	}
	return ks.Keys
}

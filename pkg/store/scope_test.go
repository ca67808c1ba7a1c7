package store

import (
	"slices"
	"strings"
	"testing"
)

func TestScopeRules(t *testing.T) {
	for _, c := range []struct{ fact, patch, want string }{
		{"takes nothing", `{}`, ""},
		{"takes all its fields", `{"format_version": "1.0", "kind": "scope", "tenant": "acme", "name": "orders:read", "display_name": "Read", "description": "x",
			"claims": ["orders_tier", "https://acme.example/tier"], "depends_on": ["openid"], "default": true, "consent": "implicit"}`, ""},
		{"takes consent never", `{"consent": "never"}`, ""},
		{"refuses another consent", `{"consent": "always"}`, `consent: is "always"; must be one of required, implicit, never`},
		{"refuses to depend on itself", `{"depends_on": ["orders:read"]}`, "depends_on[0]: a scope cannot depend on itself"},
		{"refuses to depend on what is no scope", `{"depends_on": ["a b"]}`, "depends_on[0]: scope name"},
		{"refuses to depend on one twice", `{"depends_on": ["a", "a"]}`, "depends_on[1]: \"a\" is in the list already"},
		{"refuses 51 dependencies", `{"depends_on": ["` + strings.Repeat(`a", "`, 50) + `a"]}`, "depends_on: has 51 items"},
		{"refuses a claim with a space", `{"claims": ["a b"]}`, "claims[0]: \"a b\" must be"},
		{"refuses an empty claim", `{"claims": [""]}`, "claims[0]: \"\" must be"},
		{"takes a claim of 128", `{"claims": ["` + strings.Repeat("c", 128) + `"]}`, ""},
		{"refuses a claim of 129", `{"claims": ["` + strings.Repeat("c", 129) + `"]}`, "claims[0]:"},
		{"refuses a claim twice", `{"claims": ["a", "a"]}`, "claims[1]: \"a\" is in the list already"},
		{"refuses a long description", `{"description": "` + strings.Repeat("d", 1001) + `"}`, "description: has 1001"},
		{"refuses to be made a system scope", `{"system": true}`, "system: is set by the server and is false"},
		{"takes system as it is", `{"system": false}`, ""},
		{"refuses another name", `{"name": "orders:write"}`, "name: is"},
		{"refuses another tenant", `{"tenant": "globex"}`, "tenant: is"},
		{"has no settings", `{"settings": {}}`, "settings: unknown field"},
	} {
		_, err := CompleteScope(nil, "acme", "orders:read", []byte(c.patch))
		wantFault(t, c.fact, err, c.want)
	}
	for _, claim := range reservedClaims {
		_, err := CompleteScope(nil, "acme", "x", []byte(`{"claims": ["`+claim+`"]}`))
		wantFault(t, "refuses the claim "+claim, err, "claims[0]: \""+claim+"\" is a claim of the token itself")
	}
	_, err := CompleteScope(nil, "global", "a b", nil)
	wantFault(t, "checks the tenant", err, "tenant: slug \"global\"")
	wantFault(t, "checks the name", err, "name: scope name \"a b\"")
}

func TestSystemScopes(t *testing.T) {
	var names []string
	for _, s := range SystemScopes("acme") {
		names = append(names, s.Name)
		if !s.System || s.Tenant != "acme" {
			t.Errorf("%s: system %t, tenant %q", s.Name, s.System, s.Tenant)
		}
		s.UID, s.Meta = sampleUID, sampleMeta()
		if _, err := DecodeDoc(ScopePath("acme", s.Name), Encode(s)); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		got, err := CompleteScope(s, "acme", s.Name, []byte(`{"system": true, "description": "x"}`))
		if err != nil || !got.System {
			t.Errorf("%s does not stay a system scope: %v", s.Name, err)
		}
	}
	if want := []string{"address", "email", "offline_access", "openid", "phone", "profile"}; !slices.Equal(names, want) {
		t.Errorf("system scopes are %v, want %v", names, want)
	}
}

package store

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestTenantDefaults(t *testing.T) {
	got, err := CompleteTenant(nil, []byte(`{"slug": "acme"}`))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "format_version": "1.0",
  "kind": "tenant",
  "slug": "acme",
  "uid": "",
  "display_name": "",
  "state": "active",
  "issuer": "",
  "default_language": "en",
  "contacts": [],
  "token_policy": {
    "access_token_ttl": "15m",
    "id_token_ttl": "1h",
    "refresh_token_ttl": "720h",
    "max_access_token_ttl": "24h"
  },
  "oauth_policy": {
    "grant_types_allowed": [
      "authorization_code",
      "refresh_token",
      "client_credentials"
    ],
    "token_endpoint_auth_methods_allowed": [
      "client_secret_basic",
      "private_key_jwt",
      "none"
    ],
    "require_pkce": true
  },
  "key_policy": {
    "alg": "RS256",
    "rotation_period": "2160h",
    "prepublish": "24h",
    "verification_ttl": "25h",
    "jwks_max_age": "15m",
    "auto_rotate": false
  },
  "quotas": {
    "max_clients": 10000,
    "max_scopes": 1000
  },
  "labels": {},
  "annotations": {},
  "managed_by": "",
  "settings": {},
  "create_revision": 0,
  "revision": 0,
  "created_at": null,
  "updated_at": null,
  "updated_by": ""
}
`
	if b := Encode(got); string(b) != want {
		t.Errorf("a new tenant is\n%s\nwant\n%s", b, want)
	}
}

func TestTenantRules(t *testing.T) {
	many := func(n int, format string) string {
		var s []string
		for i := range n {
			s = append(s, fmt.Sprintf(format, i))
		}
		return strings.Join(s, ", ")
	}
	for _, c := range []struct{ fact, patch, want string }{
		{"takes both states", `{"state": "suspended"}`, ""},
		{"refuses another state", `{"state": "actve"}`, `state: is "actve"; must be one of active, suspended (did you mean "active"?)`},
		{"takes an issuer", `{"issuer": "https://id.example.com/t/acme"}`, ""},
		{"refuses an issuer with a query", `{"issuer": "https://id.example.com/?t=acme"}`, "issuer: must not have a query"},
		{"takes a language with a region", `{"default_language": "pt-BR"}`, ""},
		{"refuses no language", `{"default_language": ""}`, "default_language: must be a language tag"},
		{"refuses an odd language", `{"default_language": "en_US"}`, "default_language: must be a language tag"},
		{"takes a name of 200 characters", `{"display_name": "` + strings.Repeat("ñ", 200) + `"}`, ""},
		{"refuses a name of 201 characters", `{"display_name": "` + strings.Repeat("ñ", 201) + `"}`, "display_name: has 201 characters"},
		{"takes 20 contacts", `{"contacts": [` + many(20, `"a%d@x.example"`) + `]}`, ""},
		{"refuses 21 contacts", `{"contacts": [` + many(21, `"a%d@x.example"`) + `]}`, "contacts: has 21 items"},
		{"refuses an empty contact", `{"contacts": [""]}`, "contacts[0]: must be 1 to 254"},
		{"refuses a contact given twice", `{"contacts": ["a", "a"]}`, `contacts[1]: "a" is in the list already`},
		{"takes every grant type", `{"oauth_policy": {"grant_types_allowed": ["` + strings.Join(grantTypes, `", "`) + `"]}}`, ""},
		{"refuses implicit", `{"oauth_policy": {"grant_types_allowed": ["implicit"]}}`, `oauth_policy.grant_types_allowed[0]: "implicit" is not supported`},
		{"refuses password", `{"oauth_policy": {"grant_types_allowed": ["password"]}}`, `oauth_policy.grant_types_allowed[0]: "password" is not supported`},
		{"refuses an unknown method", `{"oauth_policy": {"token_endpoint_auth_methods_allowed": ["client_secret_jwt"]}}`, "oauth_policy.token_endpoint_auth_methods_allowed[0]: "},
		{"takes every method", `{"oauth_policy": {"token_endpoint_auth_methods_allowed": ["` + strings.Join(authMethods, `", "`) + `"]}}`, ""},
		{"takes every algorithm", `{"key_policy": {"alg": "EdDSA"}}`, ""},
		{"refuses a symmetric algorithm", `{"key_policy": {"alg": "HS256"}}`, "key_policy.alg: is \"HS256\""},
		{"refuses no algorithm", `{"key_policy": {"alg": "none"}}`, "key_policy.alg: is \"none\""},
		{"takes a quota of zero", `{"quotas": {"max_clients": 0}}`, ""},
		{"refuses a negative quota", `{"quotas": {"max_clients": -1}}`, "quotas.max_clients: must be 0"},
		{"refuses a quota beyond reason", `{"quotas": {"max_scopes": 10000001}}`, "quotas.max_scopes: must be 0"},
		{"takes 32 labels", `{"labels": {` + many(32, `"k%d": ""`) + `}}`, ""},
		{"refuses 33 labels", `{"labels": {` + many(33, `"k%d": ""`) + `}}`, "labels: has 33 labels"},
		{"takes a label of 63 characters", `{"labels": {"` + strings.Repeat("k", 63) + `": "` + strings.Repeat("ñ", 63) + `"}}`, ""},
		{"refuses a label's key of 64", `{"labels": {"` + strings.Repeat("k", 64) + `": ""}}`, "labels." + strings.Repeat("k", 64) + ": key must"},
		{"refuses a label's value of 64", `{"labels": {"k": "` + strings.Repeat("v", 64) + `"}}`, "labels.k: has 64 characters"},
		{"takes a label's key with a domain", `{"labels": {"acme.example/env": "x"}}`, ""},
		{"refuses a label's key that reads as a removal", `{"labels": {"k-": ""}}`, "labels.k-: key must"},
		{"refuses a label's key with an equals sign", `{"labels": {"k=v": ""}}`, `labels["k=v"]: key must`},
		{"refuses 65 annotations", `{"annotations": {` + many(65, `"k%d": ""`) + `}}`, "annotations: has 65"},
		{"refuses a long annotation", `{"annotations": {"k": "` + strings.Repeat("v", 4097) + `"}}`, "annotations.k: has 4097"},
		{"refuses an annotation's empty key", `{"annotations": {"": "v"}}`, `annotations[""]: key must`},
		{"refuses a long owner", `{"managed_by": "` + strings.Repeat("v", 129) + `"}`, "managed_by: has 129"},

		{"refuses a lifetime of zero", `{"token_policy": {"refresh_token_ttl": 0}}`, "token_policy.refresh_token_ttl: must be longer than zero"},
		{"refuses an empty lifetime", `{"key_policy": {"jwks_max_age": ""}}`, "key_policy.jwks_max_age: must be longer than zero"},
		{"takes days and weeks", `{"key_policy": {"rotation_period": "4w2d"}}`, ""},
		{"takes whole seconds", `{"token_policy": {"access_token_ttl": 60}}`, ""},
		{"refuses an access token beyond the maximum", `{"token_policy": {"access_token_ttl": "25h"}}`,
			"token_policy.access_token_ttl: 25h is more than token_policy.max_access_token_ttl (24h); 24h or less would do"},
		{"refuses a maximum beyond the verification", `{"token_policy": {"max_access_token_ttl": "48h"}}`,
			"key_policy.verification_ttl: 25h is less than token_policy.max_access_token_ttl (48h) plus key_policy.jwks_max_age (15m); 48h15m or more would do"},
		{"refuses an ID token beyond the verification", `{"token_policy": {"id_token_ttl": "30h"}}`,
			"key_policy.verification_ttl: 25h is less than token_policy.id_token_ttl (30h) plus key_policy.jwks_max_age (15m); 30h15m or more would do"},
		{"takes a verification that just reaches", `{"key_policy": {"verification_ttl": "24h15m"}}`, ""},
		{"refuses a verification a second short", `{"key_policy": {"verification_ttl": "24h14m59s"}}`, "key_policy.verification_ttl: 24h14m59s is less"},
		{"refuses a set that is cached longer than it is ahead", `{"key_policy": {"prepublish": "10m"}}`,
			"key_policy.prepublish: 10m is less than key_policy.jwks_max_age (15m); 15m or more would do"},
		{"takes a set cached as long as it is ahead", `{"key_policy": {"prepublish": "15m"}}`, ""},
		{"refuses a rotation within the publication", `{"key_policy": {"rotation_period": "24h"}}`,
			"key_policy.rotation_period: 24h is not more than key_policy.prepublish (24h); 48h would do"},
		{"takes a rotation of one minute", `{"key_policy": {"rotation_period": "1m", "prepublish": "30s", "jwks_max_age": "30s"}}`, ""},
		{"refuses a rotation below one minute", `{"key_policy": {"rotation_period": "59s", "prepublish": "2s", "jwks_max_age": "1s"}}`,
			"key_policy.rotation_period: 59s is less than 1m; 1m or more would do"},
	} {
		_, err := CompleteTenant(aTenant(), []byte(c.patch))
		wantFault(t, c.fact, err, c.want)
	}
}

func TestANewTenantsDurationsAreFitted(t *testing.T) {
	for _, c := range []struct {
		fact, token, key string
		want             [7]string // access, id, maximum; rotation, prepublish, verification, max age
	}{
		{"nothing given", ``, ``, [7]string{"15m", "1h", "24h", "2160h", "24h", "25h", "15m"}},
		{"the access token comes down to the maximum", `"max_access_token_ttl": "5m"`, ``, [7]string{"5m", "1h", "5m", "2160h", "24h", "25h", "15m"}},
		{"the maximum comes up to the access token", `"access_token_ttl": "30h"`, ``, [7]string{"30h", "1h", "30h", "2160h", "24h", "30h15m", "15m"}},
		{"the verification comes up to the maximum", `"max_access_token_ttl": "48h"`, ``, [7]string{"15m", "1h", "48h", "2160h", "24h", "48h15m", "15m"}},
		{"the verification comes up to the ID token", `"id_token_ttl": "36h"`, ``, [7]string{"15m", "36h", "24h", "2160h", "24h", "36h15m", "15m"}},
		{"the verification comes up to the max age", ``, `"jwks_max_age": "2h"`, [7]string{"15m", "1h", "24h", "2160h", "24h", "26h", "2h"}},
		{"the publication comes down to half a rotation", ``, `"rotation_period": "1h"`, [7]string{"15m", "1h", "24h", "1h", "30m", "25h", "15m"}},
		{"and takes the max age with it", ``, `"rotation_period": "2m"`, [7]string{"15m", "1h", "24h", "2m", "1m", "25h", "1m"}},
		{"the publication comes up to a given max age", ``, `"jwks_max_age": "48h"`, [7]string{"15m", "1h", "24h", "2160h", "48h", "72h", "48h"}},
		{"the max age comes down to a given publication", ``, `"prepublish": "1m"`, [7]string{"15m", "1h", "24h", "2160h", "1m", "25h", "1m"}},
		{"null is not given", `"access_token_ttl": null, "max_access_token_ttl": "5m"`, ``, [7]string{"5m", "1h", "5m", "2160h", "24h", "25h", "15m"}},
	} {
		got, err := CompleteTenant(nil, []byte(`{"slug": "acme", "token_policy": {`+c.token+`}, "key_policy": {`+c.key+`}}`))
		if err != nil {
			t.Errorf("%s: %v", c.fact, err)
			continue
		}
		tp, kp := got.TokenPolicy, got.KeyPolicy
		have := [7]string{tp.AccessTokenTTL.String(), tp.IDTokenTTL.String(), tp.MaxAccessTokenTTL.String(),
			kp.RotationPeriod.String(), kp.Prepublish.String(), kp.VerificationTTL.String(), kp.JWKSMaxAge.String()}
		if have != c.want {
			t.Errorf("%s: durations are %v, want %v", c.fact, have, c.want)
		}
	}
	for _, c := range []struct{ fact, token, key, want string }{
		{"two given ones disagree", `"access_token_ttl": "2h", "max_access_token_ttl": "1h"`, ``, "token_policy.access_token_ttl: 2h is more"},
		{"a given verification is too short", ``, `"verification_ttl": "1h"`, "key_policy.verification_ttl: 1h is less"},
		{"a given publication is beyond the rotation", ``, `"prepublish": "3000h"`, "key_policy.rotation_period: 2160h is not more"},
		{"a given max age is beyond the rotation", ``, `"rotation_period": "1h", "jwks_max_age": "1h"`, "key_policy.rotation_period: 1h is not more than key_policy.prepublish (1h); 2h would do"},
	} {
		_, err := CompleteTenant(nil, []byte(`{"slug": "acme", "token_policy": {`+c.token+`}, "key_policy": {`+c.key+`}}`))
		wantFault(t, c.fact, err, c.want)
	}
}

func TestTenantIdentity(t *testing.T) {
	for _, c := range []struct{ fact, patch, want string }{
		{"takes its own head", `{"format_version": "1.0", "kind": "tenant", "slug": "acme", "uid": "` + sampleUID + `"}`, ""},
		{"refuses another slug", `{"slug": "globex"}`, `slug: is "globex"; must be "acme" or left out`},
		{"refuses another kind", `{"kind": "client"}`, `kind: is "client"`},
		{"refuses another version", `{"format_version": "2.0"}`, `format_version: is "2.0"`},
		{"refuses a version that is no string", `{"format_version": 1.0}`, "format_version: must be a string"},
		{"refuses another uid", `{"uid": "0198f0c2-6a1e-7c3b-9a55-0d1f5b7d2f11"}`, "uid: is"},
		{"ignores what the server sets", `{"create_revision": "x", "created_at": 1, "updated_at": [], "updated_by": {}, "index": 9, "replayed": true, "published": false}`, ""},
		{"refuses a revision that is none", `{"revision": "latest"}`, "revision: must be a whole number"},
		{"has no secrets to ignore", `{"secrets": []}`, "secrets: unknown field"},
	} {
		_, err := CompleteTenant(aTenant(), []byte(c.patch))
		wantFault(t, c.fact, err, c.want)
	}
	for _, c := range []struct{ fact, patch, want string }{
		{"needs a slug", `{}`, "slug: slug is empty"},
		{"refuses the reserved slug", `{"slug": "global"}`, "slug: slug \"global\" is reserved"},
		{"refuses a slug that climbs", `{"slug": "../x"}`, "slug: slug \"../x\" must"},
		{"refuses a slug that is no string", `{"slug": 7}`, "slug: must be a string"},
	} {
		_, err := CompleteTenant(nil, []byte(c.patch))
		wantFault(t, c.fact, err, c.want)
	}
}

func TestServerFieldsComeFromTheCurrentDocument(t *testing.T) {
	cur := sampleTenant()
	before := Encode(cur)
	got, err := CompleteTenant(cur, []byte(`{"revision": 3, "create_revision": 1, "updated_by": "x", "created_at": "x", "display_name": "New"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Meta != cur.Meta || got.UID != cur.UID || got.DisplayName != "New" {
		t.Errorf("got %+v, %s, %q", got.Meta, got.UID, got.DisplayName)
	}
	if !bytes.Equal(Encode(cur), before) {
		t.Error("the current document was changed")
	}
	fresh, err := CompleteTenant(nil, []byte(`{"slug": "acme", "uid": "`+sampleUID+`", "revision": 3, "updated_by": "x"}`))
	if err != nil || fresh.UID != "" || fresh.Meta != (Meta{}) {
		t.Errorf("a new tenant has %+v, %q, %v, want zero", fresh.Meta, fresh.UID, err)
	}
}

func TestGetEditUpdateChangesNothingElse(t *testing.T) {
	for path, doc := range samples(t) {
		shown := mustView(t, Encode(doc))
		var got any
		var err error
		switch d := doc.(type) {
		case *Tenant:
			got, err = CompleteTenant(d, shown)
		case *Client:
			got, err = CompleteClient(d, "acme", "web", shown)
		case *Scope:
			got, err = CompleteScope(d, "acme", "orders:read", shown)
		default:
			continue
		}
		if err != nil {
			t.Errorf("%s given back as it was shown: %v", path, err)
		} else if !bytes.Equal(Encode(got), Encode(doc)) {
			t.Errorf("%s given back as it was shown is\n%s\nwant\n%s", path, Encode(got), Encode(doc))
		}
	}
}

func TestATypedNilIsNeverAnError(t *testing.T) {
	var errs = map[string]error{}
	_, errs["CompleteTenant"] = CompleteTenant(aTenant(), nil)
	_, errs["CompleteClient"] = CompleteClient(sampleClient(), "acme", "web", nil)
	_, errs["CompleteScope"] = CompleteScope(nil, "acme", "a", nil)
	_, _, errs["PatchRevision"] = PatchRevision(nil)
	_, errs["Amend"] = Amend(nil, nil, nil, nil, nil)
	errs["CheckKeyset"] = CheckKeyset(sampleKeyset(t))
	errs["CheckClientPolicy"] = CheckClientPolicy(sampleClient(), aTenant())
	for name, err := range errs {
		if err != nil {
			t.Errorf("%s = %#v, want nil", name, err)
		}
	}
	if _, err := CompleteTenant(nil, nil); !errors.Is(err, ErrInvalid) || !reflect.TypeOf(err).AssignableTo(reflect.TypeFor[*Error]()) {
		t.Errorf("a refusal is %#v, want an *Error", err)
	}
}

package store

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestClientDefaults(t *testing.T) {
	got, err := CompleteClient(nil, "acme", "web", []byte(`{"redirect_uris": ["https://app.acme.example/cb"]}`))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "format_version": "1.0",
  "kind": "client",
  "tenant": "acme",
  "client_id": "web",
  "uid": "",
  "client_name": "",
  "description": "",
  "enabled": true,
  "first_party": false,
  "client_uri": "",
  "logo_uri": "",
  "tos_uri": "",
  "policy_uri": "",
  "contacts": [],
  "application_type": "web",
  "redirect_uris": [
    "https://app.acme.example/cb"
  ],
  "post_logout_redirect_uris": [],
  "allowed_cors_origins": [],
  "grant_types": [
    "authorization_code"
  ],
  "response_types": [
    "code"
  ],
  "scopes": [
    "openid"
  ],
  "audience": [],
  "token_endpoint_auth_method": "client_secret_basic",
  "jwks_uri": "",
  "jwks": null,
  "require_pkce": true,
  "access_token_ttl": "",
  "id_token_ttl": "",
  "refresh_token_ttl": "",
  "identity_providers": [],
  "secrets": [],
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
		t.Errorf("a new client is\n%s\nwant\n%s", b, want)
	}
}

func TestResponseTypesAndScopesFollowTheGrant(t *testing.T) {
	machine := `"grant_types": ["client_credentials"]`
	web, err := CompleteClient(nil, "acme", "web", []byte(`{"redirect_uris": ["https://a.example/cb"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fact             string
		current          *Client
		patch            string
		response, scopes []string
	}{
		{"a machine has neither", nil, `{` + machine + `}`, []string{}, []string{}},
		{"what was given stays", nil, `{` + machine + `, "scopes": ["b", "a"]}`, []string{}, []string{"a", "b"}},
		{"null on create is the default", nil, `{` + machine + `, "scopes": null, "response_types": null}`, []string{}, []string{}},
		{"null on update is the default of the grants as they will be", web, `{` + machine + `, "scopes": null, "response_types": null}`, []string{}, []string{}},
		{"an update keeps the scopes", web, `{` + machine + `, "response_types": []}`, []string{}, []string{"openid"}},
	} {
		got, err := CompleteClient(c.current, "acme", "web", []byte(c.patch))
		if err != nil {
			t.Errorf("%s: %v", c.fact, err)
		} else if !reflect.DeepEqual(got.ResponseTypes, c.response) || !reflect.DeepEqual(got.Scopes, c.scopes) {
			t.Errorf("%s: response types %v, scopes %v, want %v, %v", c.fact, got.ResponseTypes, got.Scopes, c.response, c.scopes)
		}
	}
}

func TestClientRules(t *testing.T) {
	uris := func(n int) string {
		var s []string
		for i := range n {
			s = append(s, fmt.Sprintf(`"https://a.example/%d"`, i))
		}
		return "[" + strings.Join(s, ", ") + "]"
	}
	keys := func(n int) string {
		return `{"keys": [` + strings.TrimSuffix(strings.Repeat(rfc8037Key+",", n), ",") + `]}`
	}
	const public = `"token_endpoint_auth_method": "none"`
	for _, c := range []struct{ fact, patch, want string }{
		{"takes no change", `{}`, ""},
		{"needs a redirect URI with authorization_code", `{"redirect_uris": []}`, `redirect_uris: must have at least one, which grant_types with "authorization_code" needs`},
		{"refuses a foreign redirect host", `{"redirect_uris": ["https://a.example/cb", "http://localhost.attacker.example"]}`, "redirect_uris[1]: must be https"},
		{"takes 50 redirect URIs", `{"redirect_uris": ` + uris(50) + `}`, ""},
		{"refuses 51 redirect URIs", `{"redirect_uris": ` + uris(51) + `}`, "redirect_uris: has 51 items; at most 50"},
		{"refuses a redirect URI twice", `{"redirect_uris": ["https://a.example", "https://a.example"]}`, "redirect_uris[1]: \"https://a.example\" is in the list already"},
		{"refuses a private scheme for web", `{"redirect_uris": ["com.example.app:/cb"]}`, "redirect_uris[0]: must be https, or http"},
		{"takes a private scheme for native", `{"application_type": "native", "redirect_uris": ["com.example.app:/cb"]}`, ""},
		{"refuses javascript for native", `{"application_type": "native", "redirect_uris": ["javascript:alert(1)"]}`, "redirect_uris[0]: must be"},
		{"refuses another type", `{"application_type": "service"}`, "application_type: is \"service\""},
		{"holds logout URIs to the same form", `{"post_logout_redirect_uris": ["http://evil.example/bye"]}`, "post_logout_redirect_uris[0]: must be https"},
		{"refuses 51 logout URIs", `{"post_logout_redirect_uris": ` + uris(51) + `}`, "post_logout_redirect_uris: has 51"},
		{"takes an origin", `{"allowed_cors_origins": ["https://app.acme.example"]}`, ""},
		{"refuses an origin with a path", `{"allowed_cors_origins": ["https://app.acme.example/"]}`, "allowed_cors_origins[0]: must be scheme"},
		{"refuses a script for a logo", `{"logo_uri": "javascript:alert(1)"}`, "logo_uri: must be https"},
		{"refuses a plain page", `{"client_uri": "http://acme.example"}`, "client_uri: must be https"},
		{"refuses terms that are no URI", `{"tos_uri": "terms"}`, "tos_uri: must be absolute"},
		{"refuses a policy with a user", `{"policy_uri": "https://a@acme.example"}`, "policy_uri: must not have user"},

		{"takes every grant type", `{"grant_types": ["` + strings.Join(grantTypes, `", "`) + `"]}`, ""},
		{"refuses implicit", `{"grant_types": ["implicit"]}`, `grant_types[0]: "implicit" is not supported`},
		{"refuses password", `{"grant_types": ["authorization_code", "password"]}`, `grant_types[1]: "password" is not supported`},
		{"refuses an unknown grant type", `{"grant_types": ["authorisation_code"]}`, `grant_types[0]: "authorisation_code" must be one of`},
		{"refuses a grant type twice", `{"grant_types": ["refresh_token", "refresh_token"]}`, `grant_types[1]: "refresh_token" is in the list already`},
		{"refuses the code grant without the response type", `{"response_types": []}`, `response_types: must have "code"`},
		{"refuses the response type without the code grant", `{"grant_types": ["client_credentials"]}`, `grant_types: must have "authorization_code", which response_types`},
		{"refuses the response type token", `{"response_types": ["token"]}`, `response_types[0]: "token" must be one of code`},
		{"refuses a hybrid response type", `{"response_types": ["code id_token"]}`, `response_types[0]: "code id_token" must`},
		{"takes a machine", `{"grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [], "scopes": []}`, ""},
		{"refuses a public machine", `{` + public + `, "grant_types": ["authorization_code", "client_credentials"]}`, `token_endpoint_auth_method: cannot be "none" with`},
		{"takes a public client", `{` + public + `}`, ""},
		{"refuses a public client without PKCE", `{` + public + `, "require_pkce": false}`, `require_pkce: cannot be false with`},
		{"takes a confidential client without PKCE", `{"require_pkce": false}`, ""},
		{"takes client_secret_post", `{"token_endpoint_auth_method": "client_secret_post"}`, ""},
		{"refuses another method", `{"token_endpoint_auth_method": "client_secret_jwt"}`, `token_endpoint_auth_method: is "client_secret_jwt"`},

		{"refuses private_key_jwt without keys", `{"token_endpoint_auth_method": "private_key_jwt"}`, "token_endpoint_auth_method: private_key_jwt needs"},
		{"takes private_key_jwt with an address", `{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/jwks"}`, ""},
		{"takes private_key_jwt with keys", `{"token_endpoint_auth_method": "private_key_jwt", "jwks": ` + keys(1) + `}`, ""},
		{"refuses keys beside an address", `{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/jwks", "jwks": ` + keys(1) + `}`, "jwks: cannot stand beside"},
		{"refuses a plain address of keys", `{"jwks_uri": "http://a.example/jwks"}`, "jwks_uri: must be https"},
		{"refuses an empty set", `{"jwks": {"keys": []}}`, "jwks.keys: must be a list of 1"},
		{"refuses a set without keys", `{"jwks": {}}`, "jwks.keys: must be a list of 1"},
		{"refuses 21 keys", `{"jwks": ` + keys(21) + `}`, "jwks.keys: must be a list of 1 to 20"},
		{"refuses a private key", `{"jwks": ` + strings.Replace(keys(1), `"kty"`, `"d": "AA", "kty"`, 1) + `}`, "jwks.keys[0]: must be a public key"},
		{"refuses a symmetric key", `{"jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}`, "jwks.keys[0]: must be a public key"},
		{"refuses a key that is none", `{"jwks": {"keys": [7]}}`, "jwks.keys[0]: must be a JWK object"},
		{"refuses a kid twice", `{"jwks": {"keys": [` + rfc7638Key + `,` + rfc7638Key + `]}}`, "jwks.keys[1]: has the kid of an earlier key"},
		{"refuses other members of a set", `{"jwks": {"keys": [` + rfc8037Key + `], "x": 1}}`, "jwks: unknown field \"x\""},

		{"refuses a scope twice", `{"scopes": ["a", "a"]}`, `scopes[1]: "a" is in the list already`},
		{"refuses what is no scope", `{"scopes": ["a b"]}`, "scopes[0]: scope name"},
		{"takes an audience", `{"audience": ["https://api.acme.example", "orders"]}`, ""},
		{"refuses an audience with a space", `{"audience": ["a b"]}`, "audience[0]: must not have a space"},
		{"refuses an empty audience", `{"audience": [""]}`, "audience[0]: must be 1 to 255"},
		{"takes a lifetime", `{"access_token_ttl": "10m", "id_token_ttl": 60, "refresh_token_ttl": "30d"}`, ""},
		{"takes the tenant's lifetime", `{"access_token_ttl": ""}`, ""},
		{"refuses a negative lifetime", `{"access_token_ttl": "-5m"}`, `access_token_ttl: cannot read "-5m"`},
		{"takes providers", `{"identity_providers": ["google", "saml:corp.example"]}`, ""},
		{"refuses a provider with a slash", `{"identity_providers": ["a/b"]}`, "identity_providers[0]: \"a/b\" must be"},
		{"refuses a long name", `{"client_name": "` + strings.Repeat("n", 201) + `"}`, "client_name: has 201"},
		{"refuses a bad label", `{"labels": {"": "x"}}`, `labels[""]: key must`},

		{"refuses a client secret", `{"client_secret": "hunter2"}`, "client_secret: is made by the server"},
		{"refuses a client secret of null", `{"client_secret": null}`, "client_secret: is made by the server"},
		{"refuses another client_id", `{"client_id": "api"}`, `client_id: is "api"; must be "web"`},
		{"refuses another tenant", `{"tenant": "globex"}`, `tenant: is "globex"; must be "acme"`},
		{"does not know the CLI's sugar", `{"public": true}`, "public: unknown field"},
	} {
		c0 := sampleClient()
		c0.JWKS = nil
		_, err := CompleteClient(c0, "acme", "web", []byte(c.patch))
		wantFault(t, c.fact, err, c.want)
	}
	_, err := CompleteClient(nil, "../x", ".web", []byte(`{}`))
	wantFault(t, "checks the tenant", err, "tenant: slug \"../x\"")
	wantFault(t, "checks the client_id", err, "client_id: client_id \".web\"")
}

func TestAClientSecretIsNotRepeatedInItsRefusal(t *testing.T) {
	_, err := CompleteClient(nil, "acme", "web", []byte(`{"client_secret": "hunter2", "settings": {"db_password": "hunter2"}}`))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("err = %v", err)
	}
}

func TestSecretsAreKeptWhateverTheInputSays(t *testing.T) {
	cur := sampleClient()
	got, err := CompleteClient(cur, "acme", "web", []byte(`{"secrets": [], "client_name": "x"}`))
	if err != nil || !reflect.DeepEqual(got.Secrets, cur.Secrets) {
		t.Errorf("secrets are %v, %v, want %v", got.Secrets, err, cur.Secrets)
	}
	fresh, err := CompleteClient(nil, "acme", "web", []byte(`{"secrets": [{"id": "s1"}], "redirect_uris": ["https://a.example"]}`))
	if err != nil || len(fresh.Secrets) != 0 {
		t.Errorf("a new client has the secrets %v, %v", fresh.Secrets, err)
	}
}

func TestClientPolicy(t *testing.T) {
	for _, c := range []struct {
		fact   string
		client func(*Client)
		tenant func(*Tenant)
		want   string
	}{
		{"takes what the tenant allows", nil, nil, ""},
		{"refuses a grant type that is not allowed", func(c *Client) { c.GrantTypes = append(c.GrantTypes, GrantDeviceCode) }, nil,
			`grant_types[1]: "urn:ietf:params:oauth:grant-type:device_code" is not in the tenant's oauth_policy.grant_types_allowed (authorization_code, `},
		{"refuses a method that is not allowed", func(c *Client) { c.TokenEndpointAuthMethod = AuthSecretPost }, nil, `token_endpoint_auth_method: "client_secret_post" is not in`},
		{"refuses no PKCE", func(c *Client) { c.RequirePKCE = false }, nil, "require_pkce: cannot be false"},
		{"takes no PKCE where it is not required", func(c *Client) { c.RequirePKCE = false }, func(t *Tenant) { t.OAuthPolicy.RequirePKCE = false }, ""},
		{"takes an access token at the maximum", func(c *Client) { c.AccessTokenTTL = 24 * hour }, nil, ""},
		{"refuses an access token above the maximum", func(c *Client) { c.AccessTokenTTL = 25 * hour }, nil,
			"access_token_ttl: 25h is more than the tenant's token_policy.max_access_token_ttl (24h); 24h or less would do"},
		{"takes an ID token at the tenant's", func(c *Client) { c.IDTokenTTL = hour }, nil, ""},
		{"refuses an ID token above the tenant's", func(c *Client) { c.IDTokenTTL = hour + 1 }, nil, "id_token_ttl: "},
		{"refuses a refresh token above the tenant's", func(c *Client) { c.RefreshTokenTTL = 721 * hour }, nil, "refresh_token_ttl: 721h is more"},
		{"takes the tenant's own lifetimes", func(c *Client) { c.AccessTokenTTL = 0 }, func(t *Tenant) { t.TokenPolicy.MaxAccessTokenTTL = minute }, ""},
	} {
		client, tenant := sampleClient(), sampleTenant()
		if c.client != nil {
			c.client(client)
		}
		if c.tenant != nil {
			c.tenant(tenant)
		}
		wantFault(t, c.fact, CheckClientPolicy(client, tenant), c.want)
	}
	client := sampleClient()
	client.GrantTypes, client.TokenEndpointAuthMethod, client.RequirePKCE = []string{GrantDeviceCode, GrantJWTBearer}, AuthSecretPost, false
	client.AccessTokenTTL, client.IDTokenTTL, client.RefreshTokenTTL = 9000*hour, 9000*hour, 9000*hour
	var e *Error
	if err := CheckClientPolicy(client, sampleTenant()); !errors.As(err, &e) || len(e.Fields) != 7 {
		t.Errorf("CheckClientPolicy = %v, want seven faults", err)
	}
}

func TestTheClientsKeysAreStoredInOneForm(t *testing.T) {
	a, err := CompleteClient(nil, "acme", "web", []byte(`{"redirect_uris": ["https://a.example"], "jwks": {"keys": [`+rfc8037Key+`]}}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := CompleteClient(nil, "acme", "web", []byte(`{"redirect_uris": ["https://a.example"], "jwks": {"keys": [{"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "crv": "Ed25519", "kty":"OKP"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(Encode(a), Encode(b)) {
		t.Errorf("the same key is stored as\n%s\nand as\n%s", a.JWKS, b.JWKS)
	}
	none, err := CompleteClient(a, "acme", "web", []byte(`{"jwks": null}`))
	if err != nil || none.JWKS != nil {
		t.Errorf("null leaves the keys %s, %v", none.JWKS, err)
	}
}

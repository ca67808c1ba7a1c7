package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Client is tenants/<slug>/clients/<client_id>.json: an OAuth 2.0 / OpenID
// Connect client, with the member names of RFC 7591.
type Client struct {
	FormatVersion           string                     `json:"format_version"`
	Kind                    string                     `json:"kind"`
	Tenant                  string                     `json:"tenant"`
	ClientID                string                     `json:"client_id"`
	UID                     string                     `json:"uid"`
	ClientName              string                     `json:"client_name"`
	Description             string                     `json:"description"`
	Enabled                 bool                       `json:"enabled"`
	FirstParty              bool                       `json:"first_party"`
	ClientURI               string                     `json:"client_uri"`
	LogoURI                 string                     `json:"logo_uri"`
	TosURI                  string                     `json:"tos_uri"`
	PolicyURI               string                     `json:"policy_uri"`
	Contacts                []string                   `json:"contacts"`
	ApplicationType         string                     `json:"application_type"`
	RedirectURIs            []string                   `json:"redirect_uris"`
	PostLogoutRedirectURIs  []string                   `json:"post_logout_redirect_uris"`
	AllowedCORSOrigins      []string                   `json:"allowed_cors_origins"`
	GrantTypes              []string                   `json:"grant_types"`
	ResponseTypes           []string                   `json:"response_types"`
	Scopes                  []string                   `json:"scopes"`
	Audience                []string                   `json:"audience"`
	TokenEndpointAuthMethod string                     `json:"token_endpoint_auth_method"`
	JWKSURI                 string                     `json:"jwks_uri"`
	JWKS                    json.RawMessage            `json:"jwks"` // null or an RFC 7517 set of public keys
	RequirePKCE             bool                       `json:"require_pkce"`
	AccessTokenTTL          Duration                   `json:"access_token_ttl"`
	IDTokenTTL              Duration                   `json:"id_token_ttl"`
	RefreshTokenTTL         Duration                   `json:"refresh_token_ttl"`
	IdentityProviders       []string                   `json:"identity_providers"`
	Secrets                 []Secret                   `json:"secrets"`
	Labels                  map[string]string          `json:"labels"`
	Annotations             map[string]string          `json:"annotations"`
	ManagedBy               string                     `json:"managed_by"`
	Settings                map[string]json.RawMessage `json:"settings"`
	Meta
}

// Secret is one client secret, hashed; State is "active" or "retiring".
type Secret struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	Hint      string `json:"hint"`
	Hash      string `json:"hash"`
	CreatedAt Time   `json:"created_at"`
	ExpiresAt Time   `json:"expires_at"`
}

// Bounds of a client.
const (
	maxRedirectURIs      = 50
	maxOrigins           = 50
	maxClientScopes      = 200
	maxAudience          = 50
	maxAudienceItem      = 255 // characters
	maxIdentityProviders = 50
	maxClientKeys        = 20
	maxSecrets           = 10 // at most two of them valid; the rest have expired and not been swept
	maxHint              = 16 // characters
)

// The states of a client secret.
const (
	SecretActive   = "active"
	SecretRetiring = "retiring"
)

var (
	providerForm   = lazily(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
	secretIDForm   = lazily(`^s[1-9][0-9]{0,8}$`)
	secretHashForm = lazily(`^sha256\$([A-Za-z0-9_-]{22})\$([A-Za-z0-9_-]{43})$`)
	argonHashForm  = lazily(`^\$argon2id\$v=19\$m=[1-9][0-9]{0,9},t=[1-9][0-9]{0,9},p=[1-9][0-9]{0,2}\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86}$`)
)

func defaultClient(tenant, id string) *Client {
	return &Client{
		FormatVersion: FormatVersion, Kind: "client", Tenant: tenant, ClientID: id, Enabled: true,
		Contacts: []string{}, ApplicationType: "web", RedirectURIs: []string{}, PostLogoutRedirectURIs: []string{},
		AllowedCORSOrigins: []string{}, GrantTypes: []string{GrantAuthorizationCode}, ResponseTypes: []string{"code"},
		Scopes: []string{"openid"}, Audience: []string{}, TokenEndpointAuthMethod: AuthSecretBasic, RequirePKCE: true,
		IdentityProviders: []string{}, Secrets: []Secret{},
		Labels: map[string]string{}, Annotations: map[string]string{}, Settings: map[string]json.RawMessage{},
	}
}

func (c *Client) identity(ref Ref, fs *faults) {
	checkHead(c.FormatVersion, c.Kind, ref, fs)
	mustBe("tenant", c.Tenant, ref.Tenant, fs)
	mustBe("client_id", c.ClientID, ref.Name, fs)
}

func (c *Client) check(fs *faults) {
	c.rules(fs)
	c.checkSecrets(fs)
	checkUID(c.UID, fs)
	c.Meta.rules(fs)
}

func (c *Client) rules(fs *faults) {
	fs.addErr("tenant", CheckSlug(c.Tenant))
	fs.addErr("client_id", CheckClientID(c.ClientID))
	checkText("client_name", c.ClientName, maxTitle, fs)
	checkText("description", c.Description, maxDescription, fs)
	fs.addErr("client_uri", checkPage(c.ClientURI))
	fs.addErr("logo_uri", checkPage(c.LogoURI))
	fs.addErr("tos_uri", checkPage(c.TosURI))
	fs.addErr("policy_uri", checkPage(c.PolicyURI))
	checkList("contacts", c.Contacts, maxContacts, fs, textOf(maxContact))
	checkOneOf("application_type", c.ApplicationType, []string{"web", "native"}, fs)
	redirect := func(s string) error { return CheckRedirectURI(c.ApplicationType, s) }
	checkList("redirect_uris", c.RedirectURIs, maxRedirectURIs, fs, redirect)
	checkList("post_logout_redirect_uris", c.PostLogoutRedirectURIs, maxRedirectURIs, fs, redirect)
	checkList("allowed_cors_origins", c.AllowedCORSOrigins, maxOrigins, fs, checkOrigin)
	c.checkGrants(fs)
	checkList("scopes", c.Scopes, maxClientScopes, fs, CheckScopeName)
	if !slices.IsSorted(c.Scopes) {
		fs.add("scopes", "must be sorted")
	}
	checkList("audience", c.Audience, maxAudience, fs, func(s string) error {
		if strings.ContainsAny(s, " \t") {
			return errors.New("must not have a space")
		}
		return textOf(maxAudienceItem)(s)
	})
	c.checkAuthentication(fs)
	for _, d := range []struct {
		path string
		d    Duration
	}{{"access_token_ttl", c.AccessTokenTTL}, {"id_token_ttl", c.IDTokenTTL}, {"refresh_token_ttl", c.RefreshTokenTTL}} {
		if d.d < 0 {
			fs.add(d.path, `must be longer than zero, or "" for the tenant's`)
		}
	}
	checkList("identity_providers", c.IdentityProviders, maxIdentityProviders, fs, func(s string) error {
		if !providerForm().MatchString(s) {
			return fmt.Errorf(`%s must be 1 to 128 of A-Z, a-z, 0-9, ".", "_", ":" and "-", the first a letter or digit`, quote(s))
		}
		return nil
	})
	checkMaps(c.Labels, c.Annotations, fs)
	checkText("managed_by", c.ManagedBy, maxManagedBy, fs)
}

// checkGrants holds grant and response types to the table of RFC 7591 section
// 2.1: "code" and authorization_code need each other; the other response types
// belong to the implicit grant, which is not supported.
func (c *Client) checkGrants(fs *faults) {
	checkList("grant_types", c.GrantTypes, len(grantTypes), fs, checkGrant)
	checkList("response_types", c.ResponseTypes, 1, fs, oneOf([]string{"code"}))
	grant, response := contains(c.GrantTypes, GrantAuthorizationCode), contains(c.ResponseTypes, "code")
	switch {
	case grant && !response:
		fs.add("response_types", `must have "code", which grant_types with "authorization_code" needs`)
	case response && !grant:
		fs.add("grant_types", `must have "authorization_code", which response_types with "code" needs`)
	}
	if grant && len(c.RedirectURIs) == 0 {
		fs.add("redirect_uris", `must have at least one, which grant_types with "authorization_code" needs`)
	}
}

func (c *Client) checkAuthentication(fs *faults) {
	method, keys := c.TokenEndpointAuthMethod, len(c.JWKS) > 0 && string(c.JWKS) != "null"
	checkOneOf("token_endpoint_auth_method", method, authMethods, fs)
	fs.addErr("jwks_uri", checkPage(c.JWKSURI))
	if keys {
		checkClientJWKS(c.JWKS, fs)
	}
	switch {
	case keys && c.JWKSURI != "": // RFC 7591 section 2
		fs.add("jwks", "cannot stand beside jwks_uri; give one of them")
	case method == AuthPrivateKeyJWT && !keys && c.JWKSURI == "":
		fs.add("token_endpoint_auth_method", "private_key_jwt needs jwks or jwks_uri")
	}
	if method == AuthNone {
		if contains(c.GrantTypes, GrantClientCredentials) { // RFC 6749 section 4.4
			fs.add("token_endpoint_auth_method", `cannot be "none" with the grant type client_credentials`)
		}
		if !c.RequirePKCE { // RFC 9700 section 2.1.1
			fs.add("require_pkce", `cannot be false with the token_endpoint_auth_method "none"`)
		}
	}
}

func (c *Client) checkSecrets(fs *faults) {
	if len(c.Secrets) > maxSecrets {
		fs.add("secrets", "has %d secrets; at most %d are allowed", len(c.Secrets), maxSecrets)
		return
	}
	active, seen := 0, map[string]bool{}
	for i := range c.Secrets {
		s, at := &c.Secrets[i], fmt.Sprintf("secrets[%d]", i)
		if !secretIDForm().MatchString(s.ID) || seen[s.ID] {
			fs.add(at+".id", `must be "s" and a number, and not the id of an earlier secret`)
		}
		seen[s.ID] = true
		checkOneOf(at+".state", s.State, []string{SecretActive, SecretRetiring}, fs)
		checkText(at+".hint", s.Hint, maxHint, fs)
		if !secretHash(s.Hash) {
			fs.add(at+".hash", "must be sha256$<salt>$<digest> or $argon2id$...")
		}
		if s.State == SecretActive {
			active++
		} else if s.ExpiresAt == 0 {
			fs.add(at+".expires_at", "is needed by a retiring secret")
		}
	}
	if active > 1 {
		fs.add("secrets", "has %d active secrets; at most one is allowed", active)
	}
}

// secretHash accepts sha256$ with a salt of 16 bytes and a digest of 32, both
// base64url, or the PHC string of argon2id.
func secretHash(s string) bool {
	m := secretHashForm().FindStringSubmatch(s)
	if m == nil {
		return argonHashForm().MatchString(s)
	}
	_, salt := base64url(m[1])
	_, digest := base64url(m[2])
	return salt && digest
}

// CheckClientPolicy holds a client to the policy of its tenant: grant types and
// authentication method among the allowed ones, PKCE required where the tenant
// requires it, no lifetime above the tenant's (a token must not outlive its key).
// The error is an *Error, CodeInvalid, with every fault.
func CheckClientPolicy(c *Client, t *Tenant) error {
	var fs faults
	op, tp := &t.OAuthPolicy, &t.TokenPolicy
	for i, g := range c.GrantTypes {
		if !contains(op.GrantTypesAllowed, g) {
			fs.add(fmt.Sprintf("grant_types[%d]", i), "%s is not in the tenant's oauth_policy.grant_types_allowed (%s)", quote(g), strings.Join(op.GrantTypesAllowed, ", "))
		}
	}
	if m := c.TokenEndpointAuthMethod; !contains(op.TokenEndpointAuthMethodsAllowed, m) {
		fs.add("token_endpoint_auth_method", "%s is not in the tenant's oauth_policy.token_endpoint_auth_methods_allowed (%s)", quote(m), strings.Join(op.TokenEndpointAuthMethodsAllowed, ", "))
	}
	if op.RequirePKCE && !c.RequirePKCE {
		fs.add("require_pkce", "cannot be false: the tenant's oauth_policy.require_pkce is true")
	}
	for _, d := range []struct {
		path, name string
		d, most    Duration
	}{
		{"access_token_ttl", "max_access_token_ttl", c.AccessTokenTTL, tp.MaxAccessTokenTTL},
		{"id_token_ttl", "id_token_ttl", c.IDTokenTTL, tp.IDTokenTTL},
		{"refresh_token_ttl", "refresh_token_ttl", c.RefreshTokenTTL, tp.RefreshTokenTTL},
	} {
		if d.d > d.most {
			fs.add(d.path, "%s is more than the tenant's token_policy.%s (%s); %s or less would do", d.d, d.name, d.most, d.most)
		}
	}
	return fs.refusal(Ref{"client", c.Tenant, c.ClientID}.String())
}

package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// Tenant is tenants/<slug>/tenant.json.
type Tenant struct {
	FormatVersion   string                     `json:"format_version"`
	Kind            string                     `json:"kind"`
	Slug            string                     `json:"slug"`
	UID             string                     `json:"uid"`
	DisplayName     string                     `json:"display_name"`
	State           string                     `json:"state"`
	Issuer          string                     `json:"issuer"`
	DefaultLanguage string                     `json:"default_language"`
	Contacts        []string                   `json:"contacts"`
	TokenPolicy     TokenPolicy                `json:"token_policy"`
	OAuthPolicy     OAuthPolicy                `json:"oauth_policy"`
	KeyPolicy       KeyPolicy                  `json:"key_policy"`
	Quotas          Quotas                     `json:"quotas"`
	Labels          map[string]string          `json:"labels"`
	Annotations     map[string]string          `json:"annotations"`
	ManagedBy       string                     `json:"managed_by"`
	Settings        map[string]json.RawMessage `json:"settings"`
	Meta
}

// TokenPolicy bounds the lifetimes of tokens.
type TokenPolicy struct {
	AccessTokenTTL    Duration `json:"access_token_ttl"`
	IDTokenTTL        Duration `json:"id_token_ttl"`
	RefreshTokenTTL   Duration `json:"refresh_token_ttl"`
	MaxAccessTokenTTL Duration `json:"max_access_token_ttl"`
}

// OAuthPolicy bounds what clients of the tenant may be.
type OAuthPolicy struct {
	GrantTypesAllowed               []string `json:"grant_types_allowed"`
	TokenEndpointAuthMethodsAllowed []string `json:"token_endpoint_auth_methods_allowed"`
	RequirePKCE                     bool     `json:"require_pkce"`
}

// KeyPolicy says how the tenant's signing keys are made and how long they live.
type KeyPolicy struct {
	Alg             string   `json:"alg"`
	RotationPeriod  Duration `json:"rotation_period"`
	Prepublish      Duration `json:"prepublish"`
	VerificationTTL Duration `json:"verification_ttl"`
	JWKSMaxAge      Duration `json:"jwks_max_age"`
	AutoRotate      bool     `json:"auto_rotate"`
}

// Quotas bound how many documents a tenant may hold.
type Quotas struct {
	MaxClients int `json:"max_clients"`
	MaxScopes  int `json:"max_scopes"`
}

// The grant types that clients may use: RFC 6749, RFC 8628, RFC 8693, RFC 7523.
// implicit and password are not among them (RFC 9700 section 2).
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
	GrantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
	GrantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	GrantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// The ways in which clients authenticate at the token endpoint.
const (
	AuthNone          = "none" // a public client
	AuthSecretBasic   = "client_secret_basic"
	AuthSecretPost    = "client_secret_post"
	AuthPrivateKeyJWT = "private_key_jwt"
)

// The states of a tenant.
const (
	TenantActive    = "active"
	TenantSuspended = "suspended"
)

var (
	grantTypes   = []string{GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials, GrantDeviceCode, GrantTokenExchange, GrantJWTBearer}
	authMethods  = []string{AuthNone, AuthSecretBasic, AuthSecretPost, AuthPrivateKeyJWT}
	languageForm = lazily(`^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,7}$`) // BCP 47, roughly
)

const (
	maxQuota  = 10_000_000
	minPeriod = Duration(time.Minute) // of rotation
)

const (
	minute = Duration(time.Minute)
	hour   = Duration(time.Hour)
)

func defaultTenant() *Tenant {
	return &Tenant{
		FormatVersion: FormatVersion, Kind: "tenant", State: TenantActive, DefaultLanguage: "en", Contacts: []string{},
		TokenPolicy: TokenPolicy{AccessTokenTTL: 15 * minute, IDTokenTTL: hour, RefreshTokenTTL: 720 * hour, MaxAccessTokenTTL: 24 * hour},
		OAuthPolicy: OAuthPolicy{
			GrantTypesAllowed:               []string{GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials},
			TokenEndpointAuthMethodsAllowed: []string{AuthSecretBasic, AuthPrivateKeyJWT, AuthNone},
			RequirePKCE:                     true,
		},
		KeyPolicy: KeyPolicy{Alg: SigningAlgs[0], RotationPeriod: 2160 * hour, Prepublish: 24 * hour, VerificationTTL: 25 * hour, JWKSMaxAge: 15 * minute},
		Quotas:    Quotas{MaxClients: 10000, MaxScopes: 1000},
		Labels:    map[string]string{}, Annotations: map[string]string{}, Settings: map[string]json.RawMessage{},
	}
}

// fit brings the durations of a new tenant that were not given into agreement
// with those that were. What disagrees after it was given that way.
func (t *Tenant) fit(given map[string]bool) {
	tp, kp := &t.TokenPolicy, &t.KeyPolicy
	if !given["token_policy.max_access_token_ttl"] {
		tp.MaxAccessTokenTTL = max(tp.MaxAccessTokenTTL, tp.AccessTokenTTL)
	} else if !given["token_policy.access_token_ttl"] {
		tp.AccessTokenTTL = min(tp.AccessTokenTTL, tp.MaxAccessTokenTTL)
	}
	if !given["key_policy.prepublish"] {
		kp.Prepublish = min(24*hour, kp.RotationPeriod/2)
		if given["key_policy.jwks_max_age"] {
			kp.Prepublish = max(kp.Prepublish, kp.JWKSMaxAge)
		}
	}
	if !given["key_policy.jwks_max_age"] {
		kp.JWKSMaxAge = min(15*minute, kp.Prepublish)
	}
	if !given["key_policy.verification_ttl"] {
		kp.VerificationTTL = max(kp.VerificationTTL, max(tp.MaxAccessTokenTTL, tp.IDTokenTTL)+kp.JWKSMaxAge)
	}
}

func (t *Tenant) identity(ref Ref, fs *faults) {
	checkHead(t.FormatVersion, t.Kind, ref, fs)
	mustBe("slug", t.Slug, ref.Tenant, fs)
}

func (t *Tenant) check(fs *faults) {
	t.rules(fs)
	checkUID(t.UID, fs)
	t.Meta.rules(fs)
}

func (t *Tenant) rules(fs *faults) {
	fs.addErr("slug", CheckSlug(t.Slug))
	checkText("display_name", t.DisplayName, maxTitle, fs)
	checkOneOf("state", t.State, []string{TenantActive, TenantSuspended}, fs)
	fs.addErr("issuer", checkIssuer(t.Issuer))
	if !languageForm().MatchString(t.DefaultLanguage) {
		fs.add("default_language", "must be a language tag such as en or pt-BR")
	}
	checkList("contacts", t.Contacts, maxContacts, fs, textOf(maxContact))
	op := &t.OAuthPolicy
	checkList("oauth_policy.grant_types_allowed", op.GrantTypesAllowed, len(grantTypes), fs, checkGrant)
	checkList("oauth_policy.token_endpoint_auth_methods_allowed", op.TokenEndpointAuthMethodsAllowed, len(authMethods), fs, oneOf(authMethods))
	checkOneOf("key_policy.alg", t.KeyPolicy.Alg, SigningAlgs, fs)
	t.checkDurations(fs)
	for _, q := range []struct {
		path string
		n    int
	}{{"quotas.max_clients", t.Quotas.MaxClients}, {"quotas.max_scopes", t.Quotas.MaxScopes}} {
		if q.n < 0 || q.n > maxQuota {
			fs.add(q.path, "must be 0 to %d", maxQuota)
		}
	}
	checkMaps(t.Labels, t.Annotations, fs)
	checkText("managed_by", t.ManagedBy, maxManagedBy, fs)
}

// checkDurations wants them positive and in agreement. A token must not outlive
// the key that verifies it, and a key must be known before it signs.
func (t *Tenant) checkDurations(fs *faults) {
	tp, kp := &t.TokenPolicy, &t.KeyPolicy
	positive := true
	for _, d := range []struct {
		path string
		d    Duration
	}{
		{"token_policy.access_token_ttl", tp.AccessTokenTTL}, {"token_policy.id_token_ttl", tp.IDTokenTTL},
		{"token_policy.refresh_token_ttl", tp.RefreshTokenTTL}, {"token_policy.max_access_token_ttl", tp.MaxAccessTokenTTL},
		{"key_policy.rotation_period", kp.RotationPeriod}, {"key_policy.prepublish", kp.Prepublish},
		{"key_policy.verification_ttl", kp.VerificationTTL}, {"key_policy.jwks_max_age", kp.JWKSMaxAge},
	} {
		if d.d <= 0 {
			fs.add(d.path, "must be longer than zero")
			positive = false
		}
	}
	if !positive {
		return // the rules below would only repeat it in other words
	}
	if tp.AccessTokenTTL > tp.MaxAccessTokenTTL {
		fs.add("token_policy.access_token_ttl", "%s is more than token_policy.max_access_token_ttl (%s); %s or less would do",
			tp.AccessTokenTTL, tp.MaxAccessTokenTTL, tp.MaxAccessTokenTTL)
	}
	longest, name := tp.MaxAccessTokenTTL, "token_policy.max_access_token_ttl"
	if tp.IDTokenTTL > longest {
		longest, name = tp.IDTokenTTL, "token_policy.id_token_ttl"
	}
	if least := longest + kp.JWKSMaxAge; kp.VerificationTTL < least {
		fs.add("key_policy.verification_ttl", "%s is less than %s (%s) plus key_policy.jwks_max_age (%s); %s or more would do",
			kp.VerificationTTL, name, longest, kp.JWKSMaxAge, least)
	}
	if kp.Prepublish < kp.JWKSMaxAge {
		fs.add("key_policy.prepublish", "%s is less than key_policy.jwks_max_age (%s); %s or more would do",
			kp.Prepublish, kp.JWKSMaxAge, kp.JWKSMaxAge)
	}
	if kp.RotationPeriod < minPeriod {
		fs.add("key_policy.rotation_period", "%s is less than %s; %s or more would do", kp.RotationPeriod, minPeriod, max(minPeriod, 2*kp.Prepublish))
	} else if kp.RotationPeriod <= kp.Prepublish {
		fs.add("key_policy.rotation_period", "%s is not more than key_policy.prepublish (%s); %s would do",
			kp.RotationPeriod, kp.Prepublish, max(minPeriod, 2*kp.Prepublish))
	}
}

// checkGrant judges one grant type, with a reason for the two that people ask for.
func checkGrant(s string) error {
	if s == "implicit" || s == "password" {
		return fmt.Errorf("%s is not supported: RFC 9700 advises against it; use authorization_code with PKCE", quote(s))
	}
	return oneOf(grantTypes)(s)
}

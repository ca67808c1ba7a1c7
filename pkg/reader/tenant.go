package reader

import (
	"encoding/json"
	"errors"
	"io/fs"
)

// Tenant is what a server needs of a tenant. Raw is the whole document.
type Tenant struct {
	head

	Slug            string                     `json:"slug"`
	UID             string                     `json:"uid"` // another after the slug was deleted and made again
	DisplayName     string                     `json:"display_name"`
	State           string                     `json:"state"` // active, suspended
	Issuer          string                     `json:"issuer"`
	DefaultLanguage string                     `json:"default_language"`
	TokenPolicy     TokenPolicy                `json:"token_policy"`
	OAuthPolicy     OAuthPolicy                `json:"oauth_policy"`
	KeyPolicy       KeyPolicy                  `json:"key_policy"`
	Labels          map[string]string          `json:"labels"`
	Settings        map[string]json.RawMessage `json:"settings"`
	Revision        uint64                     `json:"revision"`
	Raw             json.RawMessage            `json:"-"`
}

// TokenPolicy has the lifetimes of tokens, for clients that have none of their own.
type TokenPolicy struct {
	AccessTokenTTL    Duration `json:"access_token_ttl"`
	IDTokenTTL        Duration `json:"id_token_ttl"`
	RefreshTokenTTL   Duration `json:"refresh_token_ttl"`
	MaxAccessTokenTTL Duration `json:"max_access_token_ttl"`
}

// OAuthPolicy is what clients of the tenant may be; those that are there comply.
type OAuthPolicy struct {
	GrantTypesAllowed               []string `json:"grant_types_allowed"`
	TokenEndpointAuthMethodsAllowed []string `json:"token_endpoint_auth_methods_allowed"`
	RequirePKCE                     bool     `json:"require_pkce"`
}

// KeyPolicy is what a server needs of how keys are rotated.
type KeyPolicy struct {
	Alg        string   `json:"alg"`
	JWKSMaxAge Duration `json:"jwks_max_age"` // for Cache-Control of the key set
}

// Tenant reads a tenant.
func (v *View) Tenant(slug string) (*Tenant, error) {
	if !isSlug(slug) {
		return nil, missing("tenant", slug)
	}
	t, raw, err := document(v, "tenants/"+slug+"/tenant.json", "tenant", slug, func(t *Tenant) bool { return t.Slug == slug })
	if err == nil {
		t.Raw = raw
	}
	return t, err
}

// Tenants lists the slugs of all tenants, sorted.
func (v *View) Tenants() ([]string, error) {
	slugs, err := v.list("tenants", func(name string) (string, bool) { return name, isSlug(name) })
	if errors.Is(err, fs.ErrNotExist) {
		return []string{}, nil
	}
	return slugs, err
}

package reader

import (
	"encoding/json"
	"strings"
	"time"
)

// Client is what a server needs of an OAuth 2.0 / OpenID Connect client, with
// the names of RFC 7591. Raw is the whole document.
type Client struct {
	head

	Tenant                  string                     `json:"tenant"`
	ClientID                string                     `json:"client_id"`
	UID                     string                     `json:"uid"` // another after the client was deleted and made again
	ClientName              string                     `json:"client_name"`
	Enabled                 bool                       `json:"enabled"`
	FirstParty              bool                       `json:"first_party"`
	ApplicationType         string                     `json:"application_type"` // web, native
	RedirectURIs            []string                   `json:"redirect_uris"`
	PostLogoutRedirectURIs  []string                   `json:"post_logout_redirect_uris"`
	AllowedCORSOrigins      []string                   `json:"allowed_cors_origins"`
	GrantTypes              []string                   `json:"grant_types"`
	ResponseTypes           []string                   `json:"response_types"`
	Scopes                  []string                   `json:"scopes"`
	Audience                []string                   `json:"audience"`
	TokenEndpointAuthMethod string                     `json:"token_endpoint_auth_method"` // none: a public client
	JWKSURI                 string                     `json:"jwks_uri"`
	JWKS                    json.RawMessage            `json:"jwks"` // null, or the client's public keys
	RequirePKCE             bool                       `json:"require_pkce"`
	AccessTokenTTL          Duration                   `json:"access_token_ttl"` // 0: the tenant's, as of the other two
	IDTokenTTL              Duration                   `json:"id_token_ttl"`
	RefreshTokenTTL         Duration                   `json:"refresh_token_ttl"`
	IdentityProviders       []string                   `json:"identity_providers"`
	Secrets                 []Secret                   `json:"secrets"`
	Labels                  map[string]string          `json:"labels"`
	Settings                map[string]json.RawMessage `json:"settings"`
	Revision                uint64                     `json:"revision"`
	Raw                     json.RawMessage            `json:"-"`
}

// Secret is a client secret, hashed. See Client.CheckSecret.
type Secret struct {
	ID        string    `json:"id"`
	State     string    `json:"state"` // active, retiring
	Hash      string    `json:"hash"`
	ExpiresAt time.Time `json:"expires_at"` // zero: never
}

// Client reads a client.
func (v *View) Client(tenant, id string) (*Client, error) {
	name := tenant + "/" + id
	if !isSlug(tenant) || !isName(id) {
		return nil, missing("client", name)
	}
	c, raw, err := document(v, "tenants/"+tenant+"/clients/"+escape(id)+".json", "client", name,
		func(c *Client) bool { return c.Tenant == tenant && c.ClientID == id })
	if err == nil {
		c.Raw = raw
	}
	return c, err
}

// Clients lists the ids of a tenant's clients, sorted.
func (v *View) Clients(tenant string) ([]string, error) { return v.documents(tenant, "clients") }

// AllowsRedirect reports whether a redirect URI is one of the client's:
// character for character (RFC 9700 section 2.1), but for a native application
// with any port on the loopback address (RFC 8252 section 7.3).
func (c *Client) AllowsRedirect(uri string) bool {
	for _, own := range c.RedirectURIs {
		if uri == own {
			return true
		}
		if c.ApplicationType != "native" {
			continue
		}
		for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
			ours, one := portless(own, host)
			theirs, other := portless(uri, host)
			if one && other && ours == theirs {
				return true
			}
		}
	}
	return false
}

// portless is what follows host and port in a URI on that host. It is false for
// any other host, also for a longer one that begins alike.
func portless(uri, host string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(uri, host)
	if port, found := strings.CutPrefix(rest, ":"); found {
		rest = strings.TrimLeft(port, "0123456789")
		if n := len(port) - len(rest); n < 1 || n > 5 {
			return "", false
		}
	}
	return rest, ok && (rest == "" || rest[0] == '/' || rest[0] == '?')
}

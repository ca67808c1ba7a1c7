package dataset

import (
	"encoding/json"
	"fmt"
	"slices"
)

type client struct {
	id       string
	document json.RawMessage
}

// kinds of applications, as often as they are met.
var kinds = []string{"web", "spa", "web", "service", "native", "web", "spa", "backend", "service", "kiosk"}

// client is the nth application of the tenant. No two clients of the data set
// have a redirect URI in common.
func (t *tenant) client(n int, scopes []scope) client {
	kind := kinds[n%len(kinds)]
	resource := t.resources[(n/len(kinds))%len(t.resources)]
	id := fmt.Sprintf("%s-%s-%03d", resource, kind, n)
	if n%23 == 22 {
		id = fmt.Sprintf("Legacy~%s.%d", resource, n) // upper case, so that the file name is escaped
	}
	host := fmt.Sprintf("%s.%s.example", id, t.slug)
	if n%23 == 22 {
		host = fmt.Sprintf("legacy-%d.%s.example", n, t.slug)
	}
	o := object{
		"kind": "client", "tenant": t.slug, "client_id": id,
		"client_name": fmt.Sprintf("%s %s %d", t.title, resource, n),
		"scopes":      t.clientScopes(n, kind, scopes),
		"contacts":    []string{resource + "@" + t.slug + ".example"},
		"labels":      object{"team": resource, "tier": pick(30, n, "gold", "silver", "bronze"), "kind": kind},
	}
	t.shape(o, kind, host, id, n)
	if n%9 == 4 {
		o["description"] = "Used by the " + resource + " team; owned by the platform team until the migration is over"
		o["annotations"] = object{"runbook": "https://docs." + t.slug + ".example/" + resource}
	}
	if n%13 == 0 {
		o["access_token_ttl"] = pick(31, n, "2m", "5m", "10m")
	}
	if n%37 == 0 {
		o["enabled"] = false
	}
	if n%8 == 3 {
		o["settings"] = object{"login": object{"theme": pick(32, n, "light", "dark"), "remember_me": n%16 == 3}, "audience_hint": n}
	}
	return client{id, o.json()}
}

// shape gives a client what its kind of application needs.
func (t *tenant) shape(o object, kind, host, id string, n int) {
	switch kind {
	case "web":
		o["redirect_uris"] = []string{"https://" + host + "/oauth/callback", "https://" + host + "/oauth/silent"}
		o["post_logout_redirect_uris"] = []string{"https://" + host + "/bye"}
		o["grant_types"] = []string{"authorization_code", "refresh_token"}
		o["first_party"] = n%3 == 0
	case "spa":
		o["token_endpoint_auth_method"] = "none"
		o["redirect_uris"] = []string{"https://" + host + "/callback", fmt.Sprintf("http://localhost:%d/%s/%s/callback", 3000+n%100, t.slug, id)}
		o["allowed_cors_origins"] = []string{"https://" + host}
		o["grant_types"] = []string{"authorization_code", "refresh_token"}
	case "native":
		o["token_endpoint_auth_method"], o["application_type"] = "none", "native"
		o["redirect_uris"] = []string{fmt.Sprintf("example.%s.app%d:/oauth", t.slug, n), fmt.Sprintf("http://127.0.0.1/%s/%d", t.slug, n)}
	case "service":
		o["grant_types"] = []string{"client_credentials"}
		o["audience"] = []string{"https://api." + t.slug + ".example"}
		if n%2 == 0 {
			o["token_endpoint_auth_method"] = "private_key_jwt"
			o["jwks_uri"] = "https://" + host + "/jwks.json"
		}
	case "backend":
		if slices.Contains(t.methods, "client_secret_post") {
			o["token_endpoint_auth_method"] = "client_secret_post"
		}
		o["redirect_uris"] = []string{"https://" + host + "/cb"}
		o["grant_types"] = []string{"authorization_code", "client_credentials"}
		if grant := "urn:ietf:params:oauth:grant-type:token-exchange"; t.allows(grant) {
			o["grant_types"] = []string{"authorization_code", "client_credentials", grant}
		}
		o["identity_providers"] = []string{"corp", "google"}
	case "kiosk":
		o["token_endpoint_auth_method"] = "none"
		if grant := "urn:ietf:params:oauth:grant-type:device_code"; t.allows(grant) {
			o["grant_types"] = []string{grant, "refresh_token"}
			return
		}
		o["redirect_uris"] = []string{"https://" + host + "/start"}
	}
}

// clientScopes are sorted and without doubles, as documents have them.
func (t *tenant) clientScopes(n int, kind string, scopes []scope) []string {
	out := []string{}
	if kind != "service" {
		out = append(out, systemScopes[:1+pick(33, n, 0, 1, 2, 3)]...)
	}
	for i := range min(len(scopes), 1+n%3) {
		out = append(out, scopes[(n+i*7)%len(scopes)].name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

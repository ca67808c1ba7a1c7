package dataset

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The names of tenants: a place and what they do there.
var (
	places  = []string{"northwind", "harbour", "lakeside", "summit", "meridian", "coastal", "granite", "sierra", "delta", "aurora"}
	sectors = []sector{
		{"logistics", "Logistics", []string{"shipments", "routes", "manifests", "carriers", "depots", "tracking"}},
		{"bank", "Bank", []string{"accounts", "payments", "statements", "cards", "limits", "beneficiaries"}},
		{"clinic", "Clinic", []string{"appointments", "records", "prescriptions", "results", "referrals", "rooms"}},
		{"energy", "Energy", []string{"meters", "readings", "tariffs", "outages", "contracts", "invoices"}},
		{"retail", "Retail", []string{"orders", "catalogue", "baskets", "returns", "stock", "vouchers"}},
		{"media", "Media", []string{"articles", "streams", "subscriptions", "comments", "licences", "playlists"}},
		{"travel", "Travel", []string{"bookings", "itineraries", "fares", "seats", "loyalty", "transfers"}},
		{"university", "University", []string{"courses", "enrolments", "grades", "timetables", "library", "theses"}},
	}
)

type sector struct {
	slug, title string
	resources   []string
}

// tenant is one customer of the platform.
type tenant struct {
	n     int
	slug  string
	title string
	sector
	grants  []string // that its policy allows
	methods []string
}

func newTenant(n int) *tenant {
	s, place := sectors[n%len(sectors)], places[(n/len(sectors)+n)%len(places)]
	t := &tenant{n: n, slug: place + "-" + s.slug, title: strings.ToUpper(place[:1]) + place[1:] + " " + s.title, sector: s}
	t.grants = []string{"authorization_code", "refresh_token", "client_credentials"}
	if n%6 == 0 {
		t.grants = append(t.grants, "urn:ietf:params:oauth:grant-type:device_code")
	}
	if n%7 == 0 {
		t.grants = append(t.grants, "urn:ietf:params:oauth:grant-type:token-exchange")
	}
	t.methods = []string{"client_secret_basic", "private_key_jwt", "none"}
	if n%4 == 0 {
		t.methods = append(t.methods, "client_secret_post")
	}
	return t
}

func (t *tenant) allows(grant string) bool {
	for _, g := range t.grants {
		if g == grant {
			return true
		}
	}
	return false
}

// document is the input of `tenant create`. Most customers take most defaults;
// each field is given by some.
func (t *tenant) document() json.RawMessage {
	o := object{
		"kind": "tenant", "slug": t.slug, "display_name": t.title,
		"issuer":       "https://id.example.com/t/" + t.slug,
		"oauth_policy": object{"grant_types_allowed": t.grants, "token_endpoint_auth_methods_allowed": t.methods},
		"key_policy":   t.keyPolicy(),
		"labels": object{
			"env":    pick(1, t.n, "prod", "prod", "prod", "staging"),
			"region": pick(2, t.n, "eu-west", "eu-north", "us-east", "ap-south"),
			"plan":   pick(3, t.n, "starter", "business", "enterprise"),
		},
		"contacts": []string{"ops@" + t.slug + ".example", "security@" + t.slug + ".example"},
		"settings": object{"branding": object{"primary_color": fmt.Sprintf("#%06x", (t.n*0x2f6e2b)&0xffffff), "logo": "https://cdn.example.com/" + t.slug + "/logo.svg"}},
	}
	if t.n%3 == 1 {
		o["default_language"] = pick(4, t.n, "es", "de", "fr", "pt-BR", "nb")
	}
	if t.n%4 == 2 {
		o["token_policy"] = object{"access_token_ttl": pick(5, t.n, "5m", "10m", "30m"), "max_access_token_ttl": "8h", "refresh_token_ttl": "336h"}
	}
	if t.n%10 == 9 {
		o["state"] = "suspended"
	}
	if t.n%5 == 0 {
		o["quotas"] = object{"max_clients": 20000, "max_scopes": 2000}
		o["annotations"] = object{"billing/account": fmt.Sprintf("A-%05d", 10000+37*t.n), "crm/segment": "large"}
	}
	return o.json()
}

// keyPolicy is RSA for few: a key of it takes a hundred times the time of others.
func (t *tenant) keyPolicy() object {
	p := object{"alg": "ES256"}
	switch {
	case t.n%16 == 0:
		p["alg"] = "RS256"
	case t.n%16 == 8:
		p["alg"] = "PS256"
	case t.n%4 == 1:
		p["alg"] = "EdDSA"
	case t.n%8 == 3:
		p["alg"] = "ES384"
	}
	if t.n%3 == 0 {
		p["rotation_period"] = pick(6, t.n, "720h", "30d", "8w")
		p["jwks_max_age"] = "5m"
	}
	return p
}

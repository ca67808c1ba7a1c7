package store

import (
	"errors"
	"fmt"
)

// Scope is tenants/<slug>/scopes/<escaped name>.json.
type Scope struct {
	FormatVersion string            `json:"format_version"`
	Kind          string            `json:"kind"`
	Tenant        string            `json:"tenant"`
	Name          string            `json:"name"`
	UID           string            `json:"uid"`
	DisplayName   string            `json:"display_name"`
	Description   string            `json:"description"`
	Claims        []string          `json:"claims"`
	DependsOn     []string          `json:"depends_on"`
	System        bool              `json:"system"`
	Default       bool              `json:"default"`
	Consent       string            `json:"consent"`
	Labels        map[string]string `json:"labels"`
	Annotations   map[string]string `json:"annotations"`
	ManagedBy     string            `json:"managed_by"`
	Meta
}

// Bounds of a scope.
const (
	maxClaims    = 100
	maxDependsOn = 50
)

var (
	claimForm = lazily(`^[A-Za-z0-9_:/.-]{1,128}$`)

	// reservedClaims are set by the token endpoint itself (RFC 7519 section 4.1,
	// OpenID Connect Core section 2); a scope must not offer to fill them.
	reservedClaims = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce", "azp"}
	consents       = []string{"required", "implicit", "never"}
)

func defaultScope(tenant, name string) *Scope {
	return &Scope{
		FormatVersion: FormatVersion, Kind: "scope", Tenant: tenant, Name: name,
		Claims: []string{}, DependsOn: []string{}, Consent: "required",
		Labels: map[string]string{}, Annotations: map[string]string{},
	}
}

// SystemScopes are the scopes that every tenant is created with, in the order
// of their names, with the claims of OpenID Connect Core section 5.4. Uid, times
// and actor are the caller's to set.
func SystemScopes(tenant string) []*Scope {
	scope := func(name, title string, claims ...string) *Scope {
		s := defaultScope(tenant, name)
		s.DisplayName, s.System = title, true
		s.Claims = append(s.Claims, claims...)
		return s
	}
	return []*Scope{
		scope("address", "Postal address", "address"),
		scope("email", "Email address", "email", "email_verified"),
		scope("offline_access", "Access while you are away"),
		scope("openid", "Sign in"),
		scope("phone", "Phone number", "phone_number", "phone_number_verified"),
		scope("profile", "Profile", "birthdate", "family_name", "gender", "given_name", "locale", "middle_name", "name",
			"nickname", "picture", "preferred_username", "profile", "updated_at", "website", "zoneinfo"),
	}
}

func (s *Scope) identity(ref Ref, fs *faults) {
	checkHead(s.FormatVersion, s.Kind, ref, fs)
	mustBe("tenant", s.Tenant, ref.Tenant, fs)
	mustBe("name", s.Name, ref.Name, fs)
}

func (s *Scope) check(fs *faults) {
	s.rules(fs)
	checkUID(s.UID, fs)
	s.Meta.rules(fs)
}

func (s *Scope) rules(fs *faults) {
	fs.addErr("tenant", CheckSlug(s.Tenant))
	fs.addErr("name", CheckScopeName(s.Name))
	checkText("display_name", s.DisplayName, maxTitle, fs)
	checkText("description", s.Description, maxDescription, fs)
	checkList("claims", s.Claims, maxClaims, fs, func(c string) error {
		if contains(reservedClaims, c) {
			return fmt.Errorf("%s is a claim of the token itself and cannot come from a scope", quote(c))
		}
		if !claimForm().MatchString(c) {
			return fmt.Errorf(`%s must be 1 to 128 of A-Z, a-z, 0-9, "_", ":", "/", "." and "-"`, quote(c))
		}
		return nil
	})
	checkList("depends_on", s.DependsOn, maxDependsOn, fs, func(d string) error {
		if d == s.Name {
			return errors.New("a scope cannot depend on itself")
		}
		return CheckScopeName(d)
	})
	checkOneOf("consent", s.Consent, consents, fs)
	checkMaps(s.Labels, s.Annotations, fs)
	checkText("managed_by", s.ManagedBy, maxManagedBy, fs)
}

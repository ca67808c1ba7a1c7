package reader

import "encoding/json"

// Scope is what a server needs of a scope. Raw is the whole document.
type Scope struct {
	head

	Tenant      string            `json:"tenant"`
	Name        string            `json:"name"`
	DisplayName string            `json:"display_name"`
	Description string            `json:"description"`
	Claims      []string          `json:"claims"`
	DependsOn   []string          `json:"depends_on"`
	System      bool              `json:"system"`
	Default     bool              `json:"default"`
	Consent     string            `json:"consent"` // required, implicit, never
	Labels      map[string]string `json:"labels"`
	Revision    uint64            `json:"revision"`
	Raw         json.RawMessage   `json:"-"`
}

// Scope reads a scope.
func (v *View) Scope(tenant, name string) (*Scope, error) {
	full := tenant + "/" + name
	if !isSlug(tenant) || !isName(name) {
		return nil, missing("scope", full)
	}
	s, raw, err := document(v, "tenants/"+tenant+"/scopes/"+escape(name)+".json", "scope", full,
		func(s *Scope) bool { return s.Tenant == tenant && s.Name == name })
	if err == nil {
		s.Raw = raw
	}
	return s, err
}

// Scopes lists the names of a tenant's scopes, sorted.
func (v *View) Scopes(tenant string) ([]string, error) { return v.documents(tenant, "scopes") }

package dataset

import (
	"encoding/json"
	"strings"
)

// systemScopes are there with every tenant.
var systemScopes = []string{"openid", "profile", "email", "offline_access"}

// actions on a resource, each depending on the one before it.
var actions = []struct{ name, does string }{{"read", "See"}, {"write", "Change"}, {"admin", "Administer"}, {"export", "Export"}}

type scope struct {
	name     string
	document json.RawMessage
	stage    int
}

// scopes are what clients of the tenant may ask for: what can be done to its
// resources, and a few names in the forms that other platforms use.
func (t *tenant) scopes(n int) []scope {
	var out []scope
	for i := range n {
		resource := t.resources[i%len(t.resources)]
		round := i / len(t.resources)
		if i%11 == 10 {
			out = append(out, t.foreignScope(resource, i))
			continue
		}
		action := actions[round%len(actions)]
		name := resource + ":" + action.name
		if group := round / len(actions); group > 0 {
			name += ":" + pick(20, group, "archive", "draft", "shared") + string(rune('a'+group%26))
		}
		s := scope{name: name, stage: stageScopes}
		o := object{
			"kind": "scope", "tenant": t.slug, "name": name,
			"display_name": action.does + " " + resource,
			"description":  action.does + " the " + resource + " of " + t.title,
			"claims":       []string{resource + "_tier", t.sector.slug + "/" + resource},
			"consent":      pick(21, i, "required", "required", "implicit", "never"),
			"labels":       object{"resource": resource, "action": action.name},
		}
		if round%len(actions) > 0 {
			// of the system's: those of the same stage may not be there yet
			o["depends_on"] = []string{"openid", "profile"}
		}
		if round == 1 {
			o["depends_on"] = []string{resource + ":read"}
			s.stage = stageDependentScopes
		}
		if i == 0 {
			o["default"] = true
		}
		s.document = o.json()
		out = append(out, s)
	}
	return out
}

// foreignScope has upper-case letters, or is a URI: its file name is escaped.
func (t *tenant) foreignScope(resource string, i int) scope {
	name := strings.ToUpper(resource[:1]) + resource[1:] + ".ReadWrite.All"
	if i%2 == 0 {
		name = "https://api." + t.slug + ".example/auth/" + resource
	}
	return scope{name, object{"kind": "scope", "tenant": t.slug, "name": name, "description": "For applications that were made for another platform"}.json(), stageScopes}
}

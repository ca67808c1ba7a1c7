package store

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestAPatchChangesWhatItNames(t *testing.T) {
	base := sampleTenant()
	base.Labels["tier"] = "gold"
	for _, c := range []struct {
		fact, patch string
		want        func(*Tenant)
	}{
		{"an empty patch changes nothing", `{}`, func(t *Tenant) {}},
		{"a field alone", `{"state": "suspended"}`, func(t *Tenant) { t.State = "suspended" }},
		{"one member of an object", `{"token_policy": {"access_token_ttl": "10m"}}`, func(t *Tenant) { t.TokenPolicy.AccessTokenTTL = 10 * minute }},
		{"a list as a whole", `{"contacts": ["a@x.example"]}`, func(t *Tenant) { t.Contacts = []string{"a@x.example"} }},
		{"a list emptied", `{"contacts": []}`, func(t *Tenant) { t.Contacts = []string{} }},
		{"null for the default of a field", `{"display_name": null, "default_language": null}`, func(t *Tenant) { t.DisplayName = "" }},
		{"null for the default of a list", `{"oauth_policy": {"grant_types_allowed": null}}`, func(t *Tenant) {}},
		{"null for the default of an object", `{"token_policy": null}`, func(t *Tenant) { t.TokenPolicy = defaultTenant().TokenPolicy }},
		{"null for an empty list", `{"contacts": null}`, func(t *Tenant) { t.Contacts = []string{} }},
		{"a label added", `{"labels": {"a": "b"}}`, func(t *Tenant) { t.Labels["a"] = "b" }},
		{"a label removed", `{"labels": {"env": null}}`, func(t *Tenant) { delete(t.Labels, "env") }},
		{"a label removed that is not there", `{"labels": {"nope": null}}`, func(t *Tenant) {}},
		{"all labels removed", `{"labels": null}`, func(t *Tenant) { t.Labels = map[string]string{} }},
		{"all settings removed", `{"settings": null}`, func(t *Tenant) { t.Settings = map[string]json.RawMessage{} }},
	} {
		want := cloneDoc(base)
		c.want(want)
		got, err := CompleteTenant(base, []byte(c.patch))
		if err != nil {
			t.Errorf("%s: %v", c.fact, err)
		} else if g, w := string(Encode(got)), string(Encode(want)); g != w {
			t.Errorf("%s: got\n%s\nwant\n%s", c.fact, g, w)
		}
	}
}

func TestNullsResetToDefaultsNotToZero(t *testing.T) {
	c := sampleClient()
	c.RequirePKCE, c.Enabled, c.Scopes, c.ApplicationType = false, false, []string{"a"}, "native"
	got, err := CompleteClient(c, "acme", "web", []byte(`{"require_pkce": null, "enabled": null, "scopes": null, "application_type": null, "access_token_ttl": null}`))
	if err != nil {
		t.Fatal(err)
	}
	if !got.RequirePKCE || !got.Enabled || !reflect.DeepEqual(got.Scopes, []string{"openid"}) || got.ApplicationType != "web" || got.AccessTokenTTL != 0 {
		t.Errorf("got %+v", got)
	}
	again, err := CompleteClient(got, "acme", "web", []byte(`{"scopes": ["x"]}`))
	if err != nil || defaultClient("a", "b").Scopes[0] != "openid" || again.Scopes[0] != "x" {
		t.Errorf("the default was changed through a document: %v, %v", again, err)
	}
}

func TestPatchRevision(t *testing.T) {
	for _, c := range []struct {
		fact, patch string
		rev         uint64
		given, ok   bool
	}{
		{"none", `{}`, 0, false, true},
		{"nothing at all", ``, 0, false, true},
		{"null", `{"revision": null}`, 0, false, true},
		{"a number", `{"revision": 40}`, 40, true, true},
		{"zero", `{"revision": 0}`, 0, true, true},
		{"the greatest", `{"revision": 18446744073709551615}`, 18446744073709551615, true, true},
		{"beyond the greatest", `{"revision": 18446744073709551616}`, 0, false, false},
		{"a string", `{"revision": "40"}`, 0, false, false},
		{"negative", `{"revision": -1}`, 0, false, false},
		{"a fraction", `{"revision": 1.0}`, 0, false, false},
		{"no JSON", `{"revision"`, 0, false, false},
		{"no object", `["revision"]`, 0, false, false},
		{"none in what is no JSON, which is judged elsewhere", `{`, 0, false, true},
		{"a name with an escape", `{"\u0072evision": 40}`, 40, true, true},
		{"given twice", `{"revision": 1, "revision": 2}`, 0, false, false},
	} {
		rev, given, err := PatchRevision([]byte(c.patch))
		if rev != c.rev || given != c.given || (err == nil) != c.ok {
			t.Errorf("%s: PatchRevision = %d, %t, %v, want %d, %t", c.fact, rev, given, err, c.rev, c.given)
		}
	}
}

func TestAmend(t *testing.T) {
	one := func(path, value string) []Element { return []Element{{path, json.RawMessage(value)}} }
	const current = `{"scopes": ["email", "openid"], "labels": {"a.b": "c"}, "state": "active", "settings": {"l": [{"x": 1, "y": [2]}]}, "jwks": null}`
	for _, c := range []struct {
		fact, patch      string
		set, add, remove []Element
		want             string
	}{
		{"nothing to merge", `{"a": 1}`, nil, nil, nil, `{"a": 1}`},
		{"no patch", ``, nil, nil, nil, ``},
		{"sets a field", ``, one("state", `"suspended"`), nil, nil, `{"state":"suspended"}`},
		{"sets a field deep down", ``, one("token_policy.access_token_ttl", `"10m"`), nil, nil, `{"token_policy":{"access_token_ttl":"10m"}}`},
		{"sets beside what is given", `{"token_policy": {"id_token_ttl": "1h"}}`, one("token_policy.access_token_ttl", `600`), nil, nil,
			`{"token_policy":{"id_token_ttl":"1h","access_token_ttl":600}}`},
		{"sets over what is given", `{"state": "active"}`, one("state", `null`), nil, nil, `{"state":null}`},
		{"the last of two wins", ``, append(one("state", `1`), one("state", `2`)...), nil, nil, `{"state":2}`},
		{"takes the rest of a label's path as its key", ``, one("labels.acme.example/env", `"x"`), nil, nil, `{"labels":{"acme.example/env":"x"}}`},
		{"adds to the list there is", ``, nil, one("scopes", `"phone"`), nil, `{"scopes":["email","openid","phone"]}`},
		{"adds to the list that is given", `{"scopes": ["x"]}`, nil, one("scopes", `"phone"`), nil, `{"scopes":["x","phone"]}`},
		{"adds to a list that was set", ``, one("scopes", `["x"]`), one("scopes", `"phone"`), nil, `{"scopes":["x","phone"]}`},
		{"adds to no list", ``, nil, one("contacts", `"a"`), nil, `{"contacts":["a"]}`},
		{"adds what is there", ``, nil, one("scopes", `"email"`), nil, `{"scopes":["email","openid"]}`},
		{"adds twice", ``, nil, append(one("scopes", `"p"`), one("scopes", `"q"`)...), nil, `{"scopes":["email","openid","p","q"]}`},
		{"removes an element", ``, nil, nil, one("scopes", `"email"`), `{"scopes":["openid"]}`},
		{"removes the last element", `{"scopes": ["x"]}`, nil, nil, one("scopes", `"x"`), `{"scopes":[]}`},
		{"removes what was added", ``, nil, one("scopes", `"p"`), one("scopes", `"p"`), `{"scopes":["email","openid"]}`},
		{"compares elements in one form", ``, nil, nil, one("settings.l", `{"y":[2],"x":1}`), `{"settings":{"l":[]}}`},
	} {
		got, err := Amend([]byte(current), []byte(c.patch), c.set, c.add, c.remove)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: Amend = %s, %v, want %s", c.fact, got, err, c.want)
		}
	}
	for _, c := range []struct {
		fact, patch      string
		set, add, remove []Element
		want             string
	}{
		{"refuses to remove what is not there", ``, nil, nil, one("scopes", `"phone"`), `scopes: "\"phone\"" is not in the list`},
		{"refuses to remove from no list", ``, nil, nil, one("contacts", `"a"`), "contacts: "},
		{"refuses to add to what is no list", ``, nil, one("state", `"x"`), nil, "state: is not a list; set it instead"},
		{"refuses to set below what is no object", `{"state": "x"}`, one("state.a", `1`), nil, nil, "state.a: cannot be set"},
		{"refuses an empty path", ``, one("", `1`), nil, nil, `"": is not a path`},
		{"refuses a path with a gap", ``, one("a..b", `1`), nil, nil, `"a..b": is not a path`},
		{"refuses an endless path", ``, one(strings.Repeat("a.", 40)+"a", `1`), nil, nil, `"a.a.`},
		{"refuses a value that is no JSON", ``, one("state", `x`), nil, nil, "state: is not JSON"},
		{"refuses no value", ``, one("state", ``), nil, nil, "state: is not JSON"},
		{"refuses a patch that is no object", `[]`, one("state", `1`), nil, nil, ": must be a JSON object"},
	} {
		_, err := Amend([]byte(current), []byte(c.patch), c.set, c.add, c.remove)
		wantFault(t, c.fact, err, c.want)
	}
	_, err := Amend([]byte(current), nil, nil, one("state", `1`), append(one("scopes", `"p"`), one("scopes", `"q"`)...))
	if got := fieldsOfError(err); len(got) != 3 {
		t.Errorf("Amend lists %q, want three faults", got)
	}
}

func TestAmendOnCreateStartsFromNothing(t *testing.T) {
	got, err := Amend(nil, nil, nil, []Element{{"redirect_uris", json.RawMessage(`"https://a.example/cb"`)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := CompleteClient(nil, "acme", "web", got)
	if err != nil || !reflect.DeepEqual(c.RedirectURIs, []string{"https://a.example/cb"}) {
		t.Errorf("redirect URIs are %v, %v", c, err)
	}
}

func TestAmendedDocumentsAreCheckedAsAnyOther(t *testing.T) {
	c := sampleClient()
	patch, err := Amend(Encode(c), nil, []Element{{"acces_token_ttl", json.RawMessage(`"1h"`)}}, []Element{{"redirect_uris", json.RawMessage(`"http://evil.example"`)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = CompleteClient(c, "acme", "web", patch)
	wantFault(t, "an unknown path", err, `acces_token_ttl: unknown field (did you mean "access_token_ttl"?)`)
	wantFault(t, "a bad element", err, "redirect_uris[1]: must be https")
}

// A request that is small enough for its document not to be measured makes none
// that is too large, whatever it is made of.
func TestASmallRequestMakesNoLargeDocument(t *testing.T) {
	for _, filling := range []string{"0,", "{},", "[],", `"\u2028",`, `"",`, "[0],", "[[0]],", "[[[[[0]]]]],", `{"a":0},`, `[{"a":[0]}],`} {
		levels := maxDepth - 3 - strings.Count(filling, "[") - strings.Count(filling, "{")
		deep := strings.Repeat("[", levels)
		patch := `{"grant_types":["client_credentials"],"settings":{"x":` + deep
		for len(patch)+len(filling)+2*maxDepth < smallPatch {
			patch += filling
		}
		patch = strings.TrimSuffix(patch, ",") + strings.Repeat("]", levels) + "}}"
		if len(patch) > smallPatch {
			t.Fatalf("the patch has %d bytes", len(patch))
		}
		c, err := CompleteClient(nil, "acme", "web", []byte(patch))
		if err != nil {
			t.Fatalf("%s: %v", filling, err)
		}
		if n := size(c, &c.Meta, &c.Secrets); n > MaxDocument-serverRoom {
			t.Errorf("%d bytes of %s make %d", len(patch), filling, n)
		}
	}
}

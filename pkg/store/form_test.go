package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// wantFault checks that err is an *Error with a fault that begins with want, or
// nil if want is empty.
func wantFault(t *testing.T, fact string, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%s: err = %v", fact, err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) || e == nil || e.Code != CodeInvalid {
		t.Errorf("%s: err = %v, want an invalid %q", fact, err, want)
		return
	}
	for _, f := range e.Fields {
		if strings.HasPrefix(f.Path+": "+f.Message, want) {
			return
		}
	}
	t.Errorf("%s: faults are %q, want one that begins with %q", fact, e.Fields, want)
}

// fieldsOfError are the faults of an error as "path: message".
func fieldsOfError(err error) []string {
	var e *Error
	if !errors.As(err, &e) {
		return nil
	}
	var out []string
	for _, f := range e.Fields {
		out = append(out, f.Path+": "+f.Message)
	}
	return out
}

func TestTheDecoderNamesEveryFaultByItsPath(t *testing.T) {
	patch := `{
		"client_nam": "x", "enabled": "yes", "redirect_uris": ["https://a.example/cb", 7, null], "scopes": {"a": 1},
		"access_token_ttl": "soon", "id_token_ttl": true, "labels": {"a": 1, "a b": "x"}, "client_name": "a\u0007b",
		"secrets": "ignored", "jwks": [], "settings": {"db_password": "x"}, "contacts": ["a", "a"]
	}`
	_, err := CompleteClient(nil, "acme", "web", []byte(patch))
	want := []string{
		`client_nam: unknown field (did you mean "client_name"?)`,
		`enabled: must be true or false`,
		`redirect_uris[1]: must be a string`,
		`redirect_uris[2]: must not be null`,
		`scopes: must be a list`,
		`access_token_ttl: cannot read "soon" as a duration`,
		`id_token_ttl: must be a duration such as 15m, or whole seconds`,
		`labels.a: must be a string`,
		`client_name: has the control character U+0007`,
		`jwks: must be an object`,
		`settings.db_password: looks like a secret and must not be in clear; this version cannot seal settings yet`,
		`contacts[1]: "a" is in the list already`,
		`labels["a b"]: key must be 1 to 63 of A-Z, a-z, 0-9, ".", "_", "/" and "-", the first and last a letter or digit`,
	}
	if got := fieldsOfError(err); !reflect.DeepEqual(got, want) {
		t.Errorf("faults are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheDecoderRefusesHostileText(t *testing.T) {
	deep := func(n int) string {
		return `{"settings": {"a": ` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}}`
	}
	for _, c := range []struct{ fact, patch, want string }{
		{"takes 32 levels", deep(30), ""},
		{"refuses 33 levels", deep(31), ": is nested deeper than 32"},
		{"refuses a hundred thousand levels", deep(60000), ": is nested deeper"},
		{"does not count brackets in strings", `{"display_name": "` + strings.Repeat("[", 100) + `"}`, ""},
		{"refuses what is no JSON", `{"display_name": }`, ": is not JSON: invalid character '}'"},
		{"refuses a second value", `{} {}`, ": is not JSON: invalid character '{' after"},
		{"refuses a comma too many", `{"contacts": ["a",]}`, ": is not JSON"},
		{"refuses a comment", `{} // x`, ": is not JSON"},
		{"refuses a byte order mark", "\ufeff{}", ": is not JSON"},
		{"refuses a list", `[]`, ": must be a JSON object"},
		{"refuses null", `null`, ": must be a JSON object"},
		{"refuses a string", `"acme"`, ": must be a JSON object"},
		{"takes nothing as no change", ` `, ""},
		{"refuses bad UTF-8", "{\"display_name\": \"\xff\"}", ": is not valid UTF-8"},
		{"refuses half a surrogate", `{"display_name": "\udc00"}`, "display_name: has a character that could not be decoded"},
		{"takes a whole surrogate pair", `{"display_name": "\ud83d\ude00"}`, ""},
		{"refuses a name given twice", `{"state": "active", "state": "suspended"}`, "state: is given twice"},
		{"refuses a name spelt in two ways", `{"state": "active", "st\u0061te": "suspended"}`, "state: is given twice"},
		{"refuses a deep name given twice", `{"labels": {"a": "1", "a": "2"}}`, "labels.a: is given twice"},
		{"refuses a name given twice in settings", `{"settings": {"a": [{"b": 1, "b": 1}]}}`, "settings.a[0].b: is given twice"},
		{"refuses the last of twenty names given twice", `{"labels": {` + numbered(20) + `, "k19": "2"}}`, "labels.k19: is given twice"},
		{"refuses the first of twenty names given twice", `{"labels": {` + numbered(20) + `, "k0": "2"}}`, "labels.k0: is given twice"},
		{"compares names exactly", `{"State": "active"}`, `State: unknown field (did you mean "state"?)`},
		{"refuses too much", `{"display_name": "` + strings.Repeat("x", 2*MaxDocument) + `"}`, ": is 131"},
		{"refuses what becomes too much", `{"settings": {"a": "` + strings.Repeat("x", MaxDocument-100) + `"}}`, ": is 66"},
		{"refuses a fraction for a number", `{"quotas": {"max_clients": 1.5}}`, "quotas.max_clients: must be a whole number"},
		{"refuses an exponent", `{"quotas": {"max_clients": 1e3}}`, "quotas.max_clients: must be a whole number"},
		{"refuses a number beyond its width", `{"quotas": {"max_clients": 99999999999999999999}}`, "quotas.max_clients: must be a whole number"},
		{"refuses a number as a string", `{"quotas": {"max_clients": "10"}}`, "quotas.max_clients: must be a whole number"},
		{"refuses a list for an object", `{"quotas": []}`, "quotas: must be an object"},
		{"refuses an unknown field inside", `{"quotas": {"max_client": 1}}`, `quotas.max_client: unknown field (did you mean "max_clients"?)`},
		{"offers nothing far away", `{"colour": 1}`, "colour: unknown field"},
		{"refuses an endless duration", `{"token_policy": {"id_token_ttl": "` + strings.Repeat("1h", 100) + `"}}`, "token_policy.id_token_ttl: must be a duration"},
		{"refuses a negative duration", `{"token_policy": {"id_token_ttl": -1}}`, "token_policy.id_token_ttl: is out of range"},
		{"refuses a C1 control", `{"display_name": "\u009b2J"}`, "display_name: has the control character U+009B"},
		{"refuses a line break in a title", `{"display_name": "a\nb"}`, "display_name: has the control character U+000A"},
		{"takes a line break in an annotation", `{"annotations": {"a": "b\n\tc"}}`, ""},
		{"refuses a terminal escape in an annotation", `{"annotations": {"a": "\u001b"}}`, "annotations.a: has the control character U+001B"},
		{"refuses a control in a label", `{"labels": {"a": "\t"}}`, "labels.a: has the control character U+0009"},
		{"refuses a turned direction", `{"display_name": "a\u202eb"}`, "display_name: has the control character U+202E"},
		{"takes other writings", `{"display_name": "Łódź 東京 עברית 👩‍💻"}`, ""},
	} {
		_, err := CompleteTenant(aTenant(), []byte(c.patch))
		wantFault(t, c.fact, err, c.want)
	}
}

// numbered are n members "k0" to "k<n-1>".
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d": "x",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func aTenant() *Tenant {
	t := defaultTenant()
	t.Slug, t.UID = "acme", sampleUID
	return t
}

func TestAFloodOfFaultsIsCutShort(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `"x%d": 1,`, i)
	}
	_, err := CompleteTenant(aTenant(), []byte("{"+b.String()+`"y": 1}`))
	got := fieldsOfError(err)
	if len(got) != maxFaults+1 || got[maxFaults] != ": there are more faults than these" {
		t.Errorf("%d faults, the last %q; want %d and a note", len(got), got[len(got)-1], maxFaults)
	}
	_, err = CompleteTenant(aTenant(), []byte(`{"`+strings.Repeat("é", 20000)+`": 1}`))
	if err == nil || len(err.Error()) > 1000 {
		t.Errorf("a name of 40,000 bytes is answered with %d bytes", len(err.Error()))
	}
}

func TestDocumentsShareNothingWithTheirClone(t *testing.T) {
	c := sampleClient()
	c.Settings["a"] = json.RawMessage(`{"b":1}`)
	before := Encode(c)
	d := cloneDoc(c)
	if !reflect.DeepEqual(c, d) {
		t.Errorf("the clone is %+v, want %+v", d, c)
	}
	d.Scopes[0], d.Secrets[0].Hint, d.Labels["x"], d.JWKS[0], d.Settings["a"][0] = "x", "x", "x", ' ', ' '
	d.Contacts = append(d.Contacts, "x")
	if !bytes.Equal(Encode(c), before) {
		t.Error("a change of the clone shows in the original")
	}
	ks := sampleKeyset(t)
	kc := cloneDoc(ks)
	kc.Keys[0].PrivateKey.Enc = "x"
	if ks.Keys[0].PrivateKey.Enc != "A256GCM" {
		t.Error("a change of the clone's sealed key shows in the original")
	}
	if empty := cloneDoc(&Client{}); empty.Scopes == nil || empty.Labels == nil || empty.Settings == nil || empty.JWKS != nil {
		t.Errorf("the clone of an empty client has nil lists or maps: %+v", empty)
	}
}

func FuzzForm(f *testing.F) {
	for _, s := range []string{`{}`, `{"redirect_uris": ["http://[::1"]}`, `{"jwks": {"keys": [{"kty": "EC", "crv": "P-256"}]}}`, `{"settings": {"a": {"sealed": true}, "sealed": "x", "b": [null, {"c": {}}]}}`,
		`{"labels": {"": ""}, "labels": null}`, `{"access_token_ttl": "1w2d"}`, `{"revision": 1e9, "uid": []}`, `[[[[`, `{"a":"\ud800"}`, "\xff", `{"scopes": null, "grant_types": []}`} {
		f.Add([]byte(s))
	}
	f.Add(mustView(f, Encode(sampleClient())))
	f.Fuzz(func(t *testing.T, patch []byte) {
		current := sampleClient()
		current.Settings["a"] = json.RawMessage(`{"sealed":{"ciphertext":"AAAAAAAAAAAAAAAAAAAAAA","enc":"A256GCM","key_id":"k","nonce":"AAAAAAAAAAAAAAAA"}}`)
		before := Encode(current)
		for _, cur := range []*Client{nil, current} {
			c, err := CompleteClient(cur, "acme", "web", patch)
			if !bytes.Equal(Encode(current), before) {
				t.Fatalf("%q changed the document it was applied to", patch)
			}
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e == nil || len(e.Fields) == 0 {
					t.Fatalf("%q: err = %#v", patch, err)
				}
				continue
			}
			c.UID, c.Meta = sampleUID, sampleMeta()
			if _, err := DecodeDoc(ClientPath("acme", "web"), Encode(c)); err != nil {
				t.Fatalf("%q completes to what the decoder refuses: %v", patch, err)
			}
			again, err := CompleteClient(c, "acme", "web", mustView(t, Encode(c)))
			if err != nil || !bytes.Equal(Encode(again), Encode(c)) {
				t.Fatalf("%q completes to what changes when it is given back as shown: %v", patch, err)
			}
		}
	})
}

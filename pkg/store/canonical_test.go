package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const sampleUID = "0198f0c2-6a1e-7c3b-9a55-0d1f5b7d2f10"

func sampleMeta() Meta {
	at := TimeOf(time.Date(2026, 1, 5, 10, 0, 0, 123456000, time.UTC))
	return Meta{CreateRevision: 12, Revision: 40, CreatedAt: at, UpdatedAt: at + 1, UpdatedBy: "operator/ana"}
}

func sampleTenant() *Tenant {
	t := defaultTenant()
	t.Slug, t.UID, t.DisplayName, t.Issuer = "acme", sampleUID, "Acme <Corp> & Söhne", "https://id.example.com/t/acme"
	t.Contacts, t.Labels["env"], t.Annotations["note"] = []string{"ops@acme.example"}, "prod", "two\nlines"
	t.Settings["mail"] = json.RawMessage(`{"host":"smtp.example","password":{"sealed":{"ciphertext":"` + sampleSealed().Ciphertext +
		`","enc":"A256GCM","key_id":"7f3a","nonce":"` + sampleSealed().Nonce + `"}},"ratio":1.50e+2}`)
	t.Meta = sampleMeta()
	return t
}

func sampleClient() *Client {
	c := defaultClient("acme", "web")
	c.UID, c.ClientName, c.RedirectURIs = sampleUID, "Web", []string{"https://app.acme.example/cb"}
	c.JWKS = json.RawMessage(`{"keys":[` + rfc8037Key + `]}`)
	c.AccessTokenTTL = 10 * minute
	c.Secrets = []Secret{
		{ID: "s2", State: "active", Hint: "...9fQ2", Hash: sampleHash, CreatedAt: 5},
		{ID: "s1", State: "retiring", Hint: "...k1Aa", Hash: sampleArgon, CreatedAt: 4, ExpiresAt: 9},
	}
	c.Meta = sampleMeta()
	return c
}

var (
	sampleHash  = "sha256$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43)
	sampleArgon = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + strings.Repeat("A", 43)
)

func sampleScope() *Scope {
	s := defaultScope("acme", "orders:read")
	s.UID, s.DisplayName, s.Claims, s.DependsOn = sampleUID, "Read orders", []string{"orders_tier"}, []string{"openid"}
	s.Meta = sampleMeta()
	return s
}

// samples are one document of every kind at its path.
func samples(t testing.TB) map[string]any {
	ks := sampleKeyset(t)
	var set JWKS
	if err := json.Unmarshal(JWKSOf(ks), &set); err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		TenantPath("acme"):               sampleTenant(),
		ClientPath("acme", "web"):        sampleClient(),
		ScopePath("acme", "orders:read"): sampleScope(),
		KeysetPath("acme"):               ks,
		JWKSPath("acme"):                 &set,
	}
}

func TestEveryKindSurvivesARoundTrip(t *testing.T) {
	all := samples(t)
	all[ClientPath("acme", "plain")] = plainClientOf("plain")
	for path, doc := range all {
		b := Encode(doc)
		got, err := DecodeDoc(path, b)
		if err != nil {
			t.Errorf("DecodeDoc(%s): %v\n%s", path, err, b)
			continue
		}
		if reflect.TypeOf(got) != reflect.TypeOf(doc) {
			t.Errorf("DecodeDoc(%s) is a %T, want %T", path, got, doc)
		}
		if want, err := NewDoc(path, b); err != nil {
			t.Errorf("NewDoc(%s): %v", path, err)
		} else if d, err := NewDocOf(path, b, got); err != nil || !reflect.DeepEqual(d, want) {
			t.Errorf("NewDocOf(%s) = %+v, %v; NewDoc makes %+v", path, d, err, want)
		}
		if again := Encode(got); !bytes.Equal(again, b) {
			t.Errorf("%s changes when encoded again:\n%s\nwant\n%s", path, again, b)
		}
		// Whoever reads it with the standard library must see the same.
		std := reflect.New(reflect.TypeOf(doc).Elem()).Interface()
		if err := json.Unmarshal(b, std); err != nil {
			t.Errorf("json.Unmarshal of %s: %v", path, err)
		} else if again := Encode(std); !bytes.Equal(again, b) {
			t.Errorf("%s read by encoding/json encodes to\n%s\nwant\n%s", path, again, b)
		}
	}
}

func TestEncodeWritesWhatEncodingJSONWrites(t *testing.T) {
	tenant := sampleTenant()
	tenant.Settings = map[string]json.RawMessage{"b": json.RawMessage(`[1, {"y": null, "z": []}]`), "a": json.RawMessage(`{}`)}
	tenant.Annotations["all"] = "<>&\"\\/\b\f\n\r\t\x01\x1f\x7f\u2028\u2029ñ😀"
	tenant.Quotas.MaxClients = -1
	scope := sampleScope()
	for _, doc := range []any{tenant, scope, &Keyset{Keys: []Key{{PrivateKey: sampleSealed()}, {}}}} {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(doc); err != nil {
			t.Fatal(err)
		}
		if got := Encode(doc); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("Encode of %T = %s\nwant %s", doc, got, want.Bytes())
		}
	}
}

func TestCanonicalForm(t *testing.T) {
	got := string(Encode(&Scope{FormatVersion: "1.0", Kind: "scope"}))
	want := `{
  "format_version": "1.0",
  "kind": "scope",
  "tenant": "",
  "name": "",
  "uid": "",
  "display_name": "",
  "description": "",
  "claims": [],
  "depends_on": [],
  "system": false,
  "default": false,
  "consent": "",
  "labels": {},
  "annotations": {},
  "managed_by": "",
  "create_revision": 0,
  "revision": 0,
  "created_at": null,
  "updated_at": null,
  "updated_by": ""
}
`
	if got != want {
		t.Errorf("an empty scope is\n%s\nwant\n%s", got, want)
	}
	raw := Encode(&Tenant{Settings: map[string]json.RawMessage{
		"z": json.RawMessage(`{"b":1.0,"a":1e2,"big":123456789012345678901234567890}`), "a": json.RawMessage(` "<x>" `),
	}})
	want = `  "settings": {
    "a": "<x>",
    "z": {
      "a": 1e2,
      "b": 1.0,
      "big": 123456789012345678901234567890
    }
  },
`
	if !strings.Contains(string(raw), want) {
		t.Errorf("settings are\n%s\nwant\n%s", raw, want)
	}
	// A map of a few keys is walked in order by luck one time in eight; one of
	// hundreds never is.
	labels, lines := map[string]string{}, []string{}
	for i := range 500 {
		key := fmt.Sprintf("k%03d", i)
		labels[key], lines = "", append(lines, `    "`+key+`": ""`)
	}
	if want = "  \"labels\": {\n" + strings.Join(lines, ",\n") + "\n  },\n"; !strings.Contains(string(Encode(&Scope{Labels: labels})), want) {
		t.Error("labels are not in the order of their keys")
	}
	for _, doc := range []any{&Tenant{}, &Client{}, &Keyset{}, &JWKS{}} {
		for _, line := range strings.Split(string(Encode(doc)), "\n") {
			if strings.HasSuffix(line, "null,") && !strings.Contains(line, "_at\"") && !strings.Contains(line, `"jwks"`) {
				t.Errorf("an empty %T has the line %s", doc, line)
			}
		}
	}
}

func TestEncodePanicsOnRawThatIsNotJSON(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Encode accepted raw JSON that is none")
		}
	}()
	Encode(&Tenant{Settings: map[string]json.RawMessage{"a": json.RawMessage(`{`)}})
}

func TestStampIsASpliceOfTwoNumbers(t *testing.T) {
	for path, doc := range samples(t) {
		if path == JWKSPath("acme") {
			continue // has no revisions
		}
		meta := reflect.ValueOf(doc).Elem().FieldByName("Meta").Addr().Interface().(*Meta)
		meta.CreateRevision, meta.Revision = 0, 0
		payload := Encode(doc)
		before := bytes.Clone(payload)
		got, err := Stamp(payload, 7, 18446744073709551615)
		if err != nil {
			t.Errorf("Stamp(%s): %v", path, err)
			continue
		}
		meta.CreateRevision, meta.Revision = 7, 18446744073709551615
		if want := Encode(doc); !bytes.Equal(got, want) {
			t.Errorf("Stamp(%s) = %s\nwant %s", path, got, want)
		}
		if !bytes.Equal(payload, before) {
			t.Errorf("Stamp(%s) changed its input", path)
		}
	}
}

func TestStampRefusesAPayloadWithoutItsPlace(t *testing.T) {
	tenant := sampleTenant()
	mark := "\n  \"create_revision\": 0,\n  \"revision\": 0,\n"
	for fact, payload := range map[string]string{
		"stamped already": string(Encode(tenant)),
		"empty":           "",
		"two places":      mark + mark,
		"only deeper":     strings.ReplaceAll(mark, "  ", "    "),
	} {
		if got, err := Stamp([]byte(payload), 1, 1); err == nil {
			t.Errorf("%s: Stamp = %q, want an error", fact, got)
		}
	}
}

func TestDecodeDocRefuses(t *testing.T) {
	edit := func(doc any, old, new string) []byte {
		b := string(Encode(doc))
		if !strings.Contains(b, old) {
			t.Fatalf("%T does not contain %q", doc, old)
		}
		return []byte(strings.Replace(b, old, new, 1))
	}
	tenant, client, scope := sampleTenant(), sampleClient(), sampleScope()
	tp, cp, sp, kp, jp := TenantPath("acme"), ClientPath("acme", "web"), ScopePath("acme", "orders:read"), KeysetPath("acme"), JWKSPath("acme")
	ks := sampleKeyset(t)
	for _, c := range []struct {
		fact, path string
		b          []byte
		want       string
	}{
		{"a path that is none", "tenants/../x", Encode(tenant), "path"},
		{"nothing", tp, nil, "not JSON"},
		{"null", tp, []byte("null\n"), "must not be null"},
		{"a list", tp, []byte("[]\n"), "must be an object"},
		{"a document cut short", tp, Encode(tenant)[:200], "not JSON"},
		{"two documents", tp, append(Encode(tenant), Encode(tenant)...), "not JSON"},
		{"a tenant at another's path", TenantPath("globex"), Encode(tenant), "slug"},
		{"a client of another tenant", ClientPath("globex", "web"), Encode(client), "tenant"},
		{"a client of another id", ClientPath("acme", "Web"), Encode(client), "client_id"},
		{"a scope of another name", ScopePath("acme", "orders"), Encode(scope), "name"},
		{"a keyset of another tenant", KeysetPath("global"), Encode(ks), "tenant"},
		{"a scope at a client's path", cp, Encode(scope), "unknown field"},
		{"a keyset at a tenant's path", tp, Encode(ks), "unknown field"},
		{"another kind", tp, edit(tenant, `"kind": "tenant"`, `"kind": "client"`), "kind"},
		{"an unknown field", tp, edit(tenant, `"state": "active",`, `"state": "active", "stat": 1,`), `did you mean "state"`},
		{"a missing field", tp, edit(tenant, "  \"state\": \"active\",\n", ""), "state"},
		{"a missing field that may be empty", tp, edit(tenant, "  \"managed_by\": \"\",\n", ""), "canonical"},
		{"a field given twice", tp, edit(tenant, `"state": "active",`, `"state": "active", "state": "active",`), "twice"},
		{"fields in another order", sp, edit(scope, "  \"system\": false,\n  \"default\": false,\n", "  \"default\": false,\n  \"system\": false,\n"), "canonical"},
		{"another indent", sp, edit(scope, "\n  \"kind\"", "\n    \"kind\""), "canonical"},
		{"no final newline", sp, bytes.TrimSuffix(Encode(scope), []byte("\n")), "canonical"},
		{"a second newline", sp, append(Encode(scope), '\n'), "canonical"},
		{"an escape that is not needed", sp, edit(scope, "Read", `\u0052ead`), "canonical"},
		{"null for a list", sp, edit(scope, "\"depends_on\": [\n    \"openid\"\n  ]", `"depends_on": null`), "null"},
		{"null in a list", sp, edit(scope, `"openid"`, `null`), "depends_on[0]"},
		{"a duration in another unit", tp, edit(tenant, `"15m"`, `"900s"`), "canonical"},
		{"a duration in seconds", tp, edit(tenant, `"15m"`, `900`), "canonical"},
		{"a time with an offset", tp, edit(tenant, "10:00:00.123456Z", "11:00:00.123456+01:00"), "canonical"},
		{"a time with nanoseconds", tp, edit(tenant, "10:00:00.123456Z", "10:00:00.123456789Z"), "canonical"},
		{"the time zero", tp, edit(tenant, "2026-01-05T10:00:00.123456Z", "1970-01-01T00:00:00Z"), "canonical"},
		{"a time that is a number", tp, edit(tenant, `"2026-01-05T10:00:00.123456Z"`, `1767607200`), "created_at: must be a time"},
		{"a time that is none", tp, edit(tenant, "2026-01-05T10:00:00.123456Z", "yesterday"), `created_at: cannot read "yesterday"`},
		{"a time without an end", tp, edit(tenant, "10:00:00.123456Z", "10:00:00."+strings.Repeat("1", 60)+"Z"), "created_at: must be a time"},
		{"settings not sorted", tp, edit(tenant, "\"host\": \"smtp.example\",", "\"zost\": \"smtp.example\","), "canonical"},
		{"a setting that is null", tp, edit(tenant, `"host": "smtp.example"`, `"host": null`), "settings.mail.host"},
		{"a secret setting in clear", tp, edit(tenant, `"host"`, `"api_token"`), "settings.mail.api_token"},
		{"a sealed setting that is only shown", tp, []byte(string(mustView(t, Encode(tenant)))), "settings.mail.password.sealed"},
		{"a sealed setting without its nonce", tp, edit(tenant, `"nonce"`, `"once"`), "settings.mail.password.sealed"},
		{"no uid", tp, edit(tenant, sampleUID, ""), "uid"},
		{"a uid of another version", tp, edit(tenant, "-7c3b-", "-4c3b-"), "uid"},
		{"a uid in upper case", tp, edit(tenant, sampleUID, strings.ToUpper(sampleUID)), "uid"},
		{"a revision below the first one", tp, edit(tenant, `"revision": 40`, `"revision": 11`), "create_revision"},
		{"a negative revision", tp, edit(tenant, `"revision": 40`, `"revision": -1`), "revision"},
		{"a revision with a fraction", tp, edit(tenant, `"revision": 40`, `"revision": 40.0`), "revision"},
		{"an update before the creation", tp, edit(tenant, "10:00:00.123457Z", "10:00:00.1Z"), "created_at"},
		{"an unknown actor", tp, edit(tenant, "operator/ana", "root"), "updated_by"},
		{"scopes that are not sorted", cp, edit(func() *Client { c := sampleClient(); c.Scopes = []string{"openid", "email"}; return c }(), "openid", "openid"), "sorted"},
		{"a client without its secrets' hash", cp, mustView(t, Encode(client)), "hash"},
		{"a secret with an unknown hash", cp, edit(client, "sha256$", "sha1$"), "secrets[0].hash"},
		{"a secret with a short digest", cp, edit(client, sampleHash, sampleHash[:len(sampleHash)-1]), "secrets[0].hash"},
		{"a secret with loose bits in its salt", cp, edit(client, sampleHash, "sha256$"+strings.Repeat("A", 21)+"B$"+strings.Repeat("A", 43)), "secrets[0].hash"},
		{"an argon2i hash", cp, edit(client, "$argon2id$", "$argon2i$"), "secrets[1].hash"},
		{"a retiring secret without an end", cp, edit(client, `"expires_at": "1970-01-01T00:00:00.000009Z"`, `"expires_at": null`), "secrets[1].expires_at"},
		{"two active secrets", cp, edit(client, `"state": "retiring"`, `"state": "active"`), "2 active secrets"},
		{"two secrets of one id", cp, edit(client, `"s1"`, `"s2"`), "secrets[1].id"},
		{"a secret with an odd id", cp, edit(client, `"s1"`, `"x"`), "secrets[1].id"},
		{"a secret in an unknown state", cp, edit(client, `"state": "retiring"`, `"state": "old"`), "secrets[1].state"},
		{"eleven secrets", cp, Encode(func() *Client { c := sampleClient(); c.Secrets = make([]Secret, 11); return c }()), "has 11 secrets"},
		{"65 keys in a JWKS", jp, Encode(&JWKS{Keys: slices.Repeat([]json.RawMessage{ks.Keys[0].PublicJWK}, 65)}), "has 65 keys"},
		{"a hint that shows the secret", cp, edit(client, "...9fQ2", strings.Repeat("x", 17)), "secrets[0].hint"},
		{"a keyset with a private JWK", kp, edit(ks, `"kty": "OKP"`, `"kty": "OKP", "d": "AA"`), "keys[0].public_jwk"},
		{"a keyset beyond its rules", kp, edit(ks, `"state": "next"`, `"state": "active"`), "active keys"},
		{"null for a key", kp, []byte(`{"keys": [null]}`), "keys[0]"},
		{"a JWKS with a private key", jp, edit(samples(t)[jp], `"kty": "OKP"`, `"kty": "OKP", "d": "AA"`), "keys[0]"},
		{"a JWKS with a foreign kid", jp, edit(samples(t)[jp], `"kid": "`, `"kid": "x`), "thumbprint"},
		{"a JWKS with one key twice", jp, Encode(&JWKS{Keys: []json.RawMessage{ks.Keys[0].PublicJWK, ks.Keys[0].PublicJWK}}), "earlier entry"},
		{"a document beyond its size", tp, append(bytes.Repeat([]byte(" "), MaxDocument), Encode(tenant)...), "at most 65536"},
		{"bad UTF-8", sp, edit(scope, "Read", "Re\xffad"), "UTF-8"},
		{"half a surrogate", sp, edit(scope, "Read", `\ud800`), "decoded"},
		{"a terminal escape", sp, edit(scope, "Read", `\u001b[2J`), "control character U+001B"},
		{"a turned direction", sp, edit(scope, "Read", "\u202e"), "control character U+202E"},
	} {
		doc, err := DecodeDoc(c.path, c.b)
		if doc != nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: DecodeDoc = %v, %v, want a refusal with %q", c.fact, doc, err, c.want)
		}
	}
}

func mustView(t testing.TB, doc []byte) []byte {
	b, err := View(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestANewerFormatIsNotCalledDamaged(t *testing.T) {
	for version, want := range map[string]error{"1.1": ErrNewer, "2.0": ErrNewer, "1.10": ErrNewer, "0.9": ErrInvalid, "x": ErrInvalid, "": ErrInvalid} {
		s := sampleScope()
		s.FormatVersion = version
		b := bytes.Replace(Encode(s), []byte(`"system"`), []byte(`"from_the_future": 1, "system"`), 1)
		if _, err := DecodeDoc(ScopePath("acme", "orders:read"), b); !errors.Is(err, want) {
			t.Errorf("format version %q: err = %v, want %v", version, err, want)
		}
	}
}

func FuzzDecodeDoc(f *testing.F) {
	for path, doc := range samples(f) {
		f.Add(path, Encode(doc))
		f.Add(path, bytes.Replace(Encode(doc), []byte(`"`), []byte(`\"`), 3))
	}
	f.Add(KeysetPath("acme"), []byte(`{"keys": [{"public_jwk": {"kty": "EC"}, "private_key": {}}]}`))
	f.Add(TenantPath("acme"), []byte(strings.Repeat("[", 100)))
	f.Add(ClientPath("acme", "web"), []byte(`{"jwks": {"keys": [{"kty": "RSA", "n": "", "e": ""}]}}`))
	f.Add(ClientPath("acme", "web"), Encode(plainClient()))
	f.Fuzz(func(t *testing.T, path string, b []byte) {
		sameAsParsed(t, path, b)
		doc, err := DecodeDoc(path, b)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e == nil || doc != nil {
				t.Fatalf("DecodeDoc = %v, %#v", doc, err)
			}
			return
		}
		if !bytes.Equal(Encode(doc), b) {
			t.Fatalf("DecodeDoc(%s) accepts what Encode does not write:\n%s", path, b)
		}
		shown, err := View(b)
		if err != nil || bytes.Contains(shown, []byte(`"ciphertext"`)) && !bytes.Contains(b, []byte(`ciphertext\"`)) && strings.HasPrefix(path, "keys/") {
			t.Fatalf("View(%s) = %s, %v", path, shown, err)
		}
	})
}

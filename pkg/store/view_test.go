package store

import (
	"encoding/json"
	"strings"
	"testing"
)

const sealedA = `{"sealed":{"ciphertext":"AAAAAAAAAAAAAAAAAAAAAAAA","enc":"A256GCM","key_id":"k","nonce":"AAAAAAAAAAAAAAAA"}}`

var sealedB = strings.Replace(sealedA, `"k"`, `"other"`, 1)

func TestViewHidesWhatIsSecretAndNothingElse(t *testing.T) {
	for path, doc := range samples(t) {
		b := string(Encode(doc))
		shown := string(mustView(t, []byte(b)))
		for _, secret := range []string{"sha256$", "argon2id", "ciphertext", `"private_key"`, `"nonce"`, `"hash"`} {
			if strings.Contains(shown, secret) {
				t.Errorf("View of %s shows %q:\n%s", path, secret, shown)
			}
		}
		if !strings.HasSuffix(shown, "\n}\n") || !json.Valid([]byte(shown)) {
			t.Errorf("View of %s is not a whole document:\n%s", path, shown)
		}
	}
	got := string(mustView(t, Encode(sampleClient())))
	for _, kept := range []string{`"id": "s2"`, `"hint": "...9fQ2"`, `"state": "retiring"`, `"expires_at": null`} {
		if !strings.Contains(got, kept) {
			t.Errorf("View of a client lacks %s:\n%s", kept, got)
		}
	}
	both := sampleClient() // its settings hide something too
	both.Settings = map[string]json.RawMessage{"password": json.RawMessage(sealedA)}
	if got := string(mustView(t, Encode(both))); strings.Contains(got, "hash") || strings.Contains(got, "ciphertext") || !strings.Contains(got, `"hint": "...9fQ2"`) {
		t.Errorf("View of a client with sealed settings:\n%s", got)
	}
	if b := Encode(sampleScope()); string(mustView(t, b)) != string(b) {
		t.Errorf("View of a scope is\n%s\nwant\n%s", mustView(t, b), b)
	}
	tenant := string(mustView(t, Encode(sampleTenant())))
	if want := "\"password\": {\n        \"sealed\": true\n      }"; !strings.Contains(tenant, want) {
		t.Errorf("View of a tenant lacks %s:\n%s", want, tenant)
	}
	if b, err := View([]byte(`{"kind": `)); err == nil {
		t.Errorf("View of no document = %s", b)
	}
}

func TestViewLeavesTheNamesOfOthersAlone(t *testing.T) {
	tenant := sampleTenant()
	tenant.Annotations["hash"], tenant.Annotations["sealed"] = "a", "b"
	tenant.Settings = map[string]json.RawMessage{"hash": json.RawMessage(`"c"`), "keys": json.RawMessage(`[{"hash":"d"}]`)}
	b := Encode(tenant)
	if got := mustView(t, b); string(got) != string(b) {
		t.Errorf("View = %s\nwant %s", got, b)
	}
}

func TestSecretKeys(t *testing.T) {
	for key, want := range map[string]bool{
		"password": true, "secret": true, "dsn": true, "private_key": true, "token": true,
		"smtp_password": true, "db_dsn": true, "signing_private_key": true, "API_TOKEN": true, "Secret": true,
		"passwords": false, "key": false, "public_key": false, "tokens": false, "mytoken": false, "token_url": false, "": false,
	} {
		if got := SecretKey(key); got != want {
			t.Errorf("SecretKey(%q) = %t, want %t", key, got, want)
		}
	}
}

func TestSettingsMerge(t *testing.T) {
	const current = `{"a":{"b":1,"c":{"d":2}},"l":[1,2],"mail":{"host":"x","password":` + sealedA + `},"opaque":` + sealedA + `}`
	for _, c := range []struct{ fact, patch, want string }{
		{"nothing", `{}`, current},
		{"a member inside", `{"a": {"c": {"e": 3}}}`, strings.Replace(current, `"d":2`, `"d":2,"e":3`, 1)},
		{"a member taken away", `{"a": {"c": null}}`, strings.Replace(current, `,"c":{"d":2}`, ``, 1)},
		{"a key taken away", `{"a": null}`, strings.Replace(current, `"a":{"b":1,"c":{"d":2}},`, ``, 1)},
		{"a list as a whole", `{"l": [3]}`, strings.Replace(current, `[1,2]`, `[3]`, 1)},
		{"an object for a number", `{"a": {"b": {"x": null, "y": 1}}}`, strings.Replace(current, `"b":1`, `"b":{"y":1}`, 1)},
		{"a number for an object", `{"a": 7.50}`, strings.Replace(current, `{"b":1,"c":{"d":2}}`, `7.50`, 1)},
		{"nulls inside a list stay", `{"l": [null, {"x": null}]}`, strings.Replace(current, `[1,2]`, `[null,{"x":null}]`, 1)},
		{"a sealed value kept", `{"mail": {"password": {"sealed": true}}}`, current},
		{"a sealed value replaced", `{"mail": {"password": ` + sealedB + `}}`, strings.Replace(current, sealedA, sealedB, 1)},
		{"a sealed value taken away", `{"mail": {"password": null}}`, strings.Replace(current, `,"password":`+sealedA, ``, 1)},
		{"a sealed value is not merged into", `{"opaque": {"x": 1}}`, strings.Replace(current, `"opaque":`+sealedA, `"opaque":{"x":1}`, 1)},
		{"a sealed value for an object", `{"a": ` + sealedB + `}`, strings.Replace(current, `{"b":1,"c":{"d":2}}`, sealedB, 1)},
		{"a new sealed value", `{"z": {"token": ` + sealedB + `}}`, strings.TrimSuffix(current, "}") + `,"z":{"token":` + sealedB + `}}`},
	} {
		tenant := aTenant()
		if err := json.Unmarshal([]byte(current), &tenant.Settings); err != nil {
			t.Fatal(err)
		}
		got, err := CompleteTenant(tenant, []byte(`{"settings": `+c.patch+`}`))
		if err != nil {
			t.Errorf("%s: %v", c.fact, err)
			continue
		}
		var want, have any
		b, _ := json.Marshal(got.Settings)
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatalf("%s: %v in %s", c.fact, err, c.want)
		}
		_ = json.Unmarshal(b, &have)
		w, _ := json.Marshal(want)
		h, _ := json.Marshal(have)
		if string(w) != string(h) {
			t.Errorf("%s: settings are %s, want %s", c.fact, h, w)
		}
		got.Meta = sampleMeta()
		if _, err := DecodeDoc(TenantPath("acme"), Encode(got)); err != nil {
			t.Errorf("%s: stored as what the decoder refuses: %v", c.fact, err)
		}
	}
}

func TestSettingsRefuse(t *testing.T) {
	for _, c := range []struct{ fact, settings, want string }{
		{"a secret in clear", `{"password": "x"}`, "settings.password: looks like a secret"},
		{"a secret in clear, deep down", `{"a": {"b": {"smtp_password": "x"}}}`, "settings.a.b.smtp_password: looks like a secret"},
		{"a secret in clear in other letters", `{"API_Token": "x"}`, "settings.API_Token: looks like a secret"},
		{"an empty secret", `{"dsn": ""}`, "settings.dsn: looks like a secret"},
		{"an object for a secret", `{"token": {"ttl": "5m"}}`, "settings.token: looks like a secret"},
		{"a list for a secret", `{"token": ["a"]}`, "settings.token: looks like a secret"},
		{"a secret inside a list", `{"a": [{"password": "x"}]}`, "settings.a[0].password: looks like a secret, which cannot"},
		{"a secret deep inside a list", `{"a": [[{"b": {"password": "x"}}]]}`, "settings.a[0][0].b.password: looks like a secret, which cannot"},
		{"a sealed value inside a list", `{"a": [` + sealedA + `]}`, "settings.a[0].sealed: is reserved"},
		{"a file that nobody read", `{"password": {"secret_file": "x"}}`, "settings.password: looks like a secret"},
		{"a file that nobody read, for a plain key", `{"theme": {"secret_file": "x"}}`, "settings.theme.secret_file: is reserved"},
		{"a file inside a list", `{"a": [{"secret_file": "x"}]}`, "settings.a[0].secret_file: is reserved"},
		{"to keep what is not there", `{"password": {"sealed": true}}`, "settings.password.sealed: there is no sealed value"},
		{"to keep what is not sealed", `{"plain": {"sealed": true}}`, "settings.plain.sealed: there is no sealed value"},
		{"sealed as false", `{"password": {"sealed": false}}`, "settings.password.sealed: must be a sealed value"},
		{"sealed as text", `{"password": {"sealed": "x"}}`, "settings.password.sealed: must be a sealed value"},
		{"sealed beside another member", `{"password": {"sealed": true, "x": 1}}`, "settings.password.sealed: is reserved"},
		{"the reserved name as a key", `{"sealed": {"a": 1}}`, "settings.sealed: is reserved"},
		{"an unknown member of a sealed value", `{"password": {"sealed": {"clear": "x"}}}`, "settings.password.sealed.clear: unknown field"},
		{"a sealed value without its parts", `{"password": {"sealed": {}}}`, "settings.password.sealed.nonce: must be 12"},
		{"an empty key", `{"": 1}`, `settings[""]: key must be`},
		{"an empty key inside a list", `{"a": [{"": 1}]}`, `settings.a[0][""]: key must be`},
		{"a key with a control character", `{"a\u0000": 1}`, `settings["a\x00"]: key must be`},
		{"a key of 129 bytes", `{"` + strings.Repeat("k", 129) + `": 1}`, `settings["kkk`},
	} {
		tenant := aTenant()
		tenant.Settings["plain"] = json.RawMessage(`{"x":1}`)
		_, err := CompleteTenant(tenant, []byte(`{"settings": `+c.settings+`}`))
		wantFault(t, c.fact, err, c.want)
	}
}

func TestASecretInClearIsNotRepeatedInItsRefusal(t *testing.T) {
	_, err := CompleteTenant(aTenant(), []byte(`{"settings": {"password": "hunter2", "a": [{"token": "hunter2"}]}}`))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("err = %v", err)
	}
}

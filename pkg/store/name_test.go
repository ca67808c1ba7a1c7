package store

import (
	"strings"
	"testing"
)

func TestNamesHaveOneForm(t *testing.T) {
	for _, c := range []struct {
		what  string
		check func(string) error
		name  string
		ok    bool
	}{
		{"slug", CheckSlug, "acme", true},
		{"slug of one digit", CheckSlug, "0", true},
		{"slug with dashes", CheckSlug, "a--b-1", true},
		{"slug of 63", CheckSlug, strings.Repeat("a", 63), true},
		{"slug of 64", CheckSlug, strings.Repeat("a", 64), false},
		{"empty slug", CheckSlug, "", false},
		{"slug that starts with a dash", CheckSlug, "-a", false},
		{"slug that ends with a dash", CheckSlug, "a-", false},
		{"slug in upper case", CheckSlug, "Acme", false},
		{"slug with a dot", CheckSlug, "a.b", false},
		{"slug that climbs", CheckSlug, "..", false},
		{"slug with a line break", CheckSlug, "acme\n", false},
		{"slug beyond ASCII", CheckSlug, "ácme", false},
		{"reserved slug", CheckSlug, "global", false},
		{"keyset of the platform", CheckKeysetOwner, "global", true},
		{"keyset of a tenant", CheckKeysetOwner, "acme", true},
		{"keyset of nobody", CheckKeysetOwner, "", false},

		{"client id", CheckClientID, "web", true},
		{"client id with every mark", CheckClientID, "A0._~-z", true},
		{"client id of 80", CheckClientID, strings.Repeat("Z", 80), true},
		{"client id of 81", CheckClientID, strings.Repeat("Z", 81), false},
		{"empty client id", CheckClientID, "", false},
		{"client id that starts with a dot", CheckClientID, ".web", false},
		{"client id with a slash", CheckClientID, "a/b", false},
		{"client id with a percent", CheckClientID, "a%41", false},
		{"client id with a line break", CheckClientID, "web\n", false},

		{"scope", CheckScopeName, "orders:read", true},
		{"scope that is a URL", CheckScopeName, "https://api.example/read", true},
		{"scope of every edge", CheckScopeName, "!#[]~", true},
		{"scope of 80", CheckScopeName, strings.Repeat("~", 80), true},
		{"scope of 81", CheckScopeName, strings.Repeat("~", 81), false},
		{"empty scope", CheckScopeName, "", false},
		{"scope with a space", CheckScopeName, "a b", false},
		{"scope with a quote", CheckScopeName, `a"b`, false},
		{"scope with a backslash", CheckScopeName, `a\b`, false},
		{"scope with DEL", CheckScopeName, "a\x7f", false},
		{"scope beyond ASCII", CheckScopeName, "ñ", false},

		{"request id", CheckRequestID, "A.b_c-9", true},
		{"request id of 64", CheckRequestID, strings.Repeat("a", 64), true},
		{"request id of 65", CheckRequestID, strings.Repeat("a", 65), false},
		{"empty request id", CheckRequestID, "", false},
		{"request id with a colon", CheckRequestID, "a:b", false},
	} {
		if err := c.check(c.name); (err == nil) != c.ok {
			t.Errorf("%s %q: err = %v, want ok = %v", c.what, c.name, err, c.ok)
		}
	}
}

func TestEscapedNames(t *testing.T) {
	for _, c := range []struct{ fact, name, file string }{
		{"plain names stay", "web-1_a.b", "web-1_a.b"},
		{"upper case is escaped", "Aa", "%41a"},
		{"a leading dot is escaped", ".a.b", "%2Ea.b"},
		{"only the first dot", "..", "%2E."},
		{"slash and percent", "a/%b", "a%2F%25b"},
		{"colon and tilde", "orders:read~", "orders%3Aread%7E"},
	} {
		if got := EscapeName(c.name); got != c.file {
			t.Errorf("%s: EscapeName(%q) = %q, want %q", c.fact, c.name, got, c.file)
		}
		if got, err := UnescapeName(c.file); got != c.name || err != nil {
			t.Errorf("%s: UnescapeName(%q) = %q, %v, want %q", c.fact, c.file, got, err, c.name)
		}
	}
	if a, b := EscapeName("A"), EscapeName("a"); strings.EqualFold(a, b) {
		t.Errorf("A and a meet on a disk that ignores case: %q, %q", a, b)
	}
	long := strings.Repeat("~", 80)
	if file := EscapeName(long) + ".json"; len(file) >= 255 {
		t.Errorf("the longest legal name makes a file name of %d bytes, want less than 255", len(file))
	}
	if got, err := UnescapeName(EscapeName(long)); got != long || err != nil {
		t.Errorf("UnescapeName of the longest name = %q, %v", got, err)
	}
}

func TestUnescapeRefusesSecondForms(t *testing.T) {
	for _, file := range []string{"", ".a", "%61", "%2f", "%2", "%", "a%", "a%zz", "A", "a/b", "a b", "a~", "%2e", "\x00", strings.Repeat("a", 241)} {
		if name, err := UnescapeName(file); err == nil {
			t.Errorf("UnescapeName(%q) = %q, want an error", file, name)
		}
	}
}

func TestPathsAndNamesAreInverse(t *testing.T) {
	for _, c := range []struct {
		ref        Ref
		path, name string
	}{
		{Ref{"tenant", "acme", ""}, "tenants/acme/tenant.json", "tenant/acme"},
		{Ref{"client", "acme", "Web"}, "tenants/acme/clients/%57eb.json", "client/acme/Web"},
		{Ref{"client", "acme", "web.json"}, "tenants/acme/clients/web.json.json", "client/acme/web.json"},
		{Ref{"scope", "acme", "orders:read"}, "tenants/acme/scopes/orders%3Aread.json", "scope/acme/orders:read"},
		{Ref{"scope", "acme", "../x"}, "tenants/acme/scopes/%2E.%2Fx.json", "scope/acme/../x"},
		{Ref{"keyset", "global", ""}, "keys/global/keyset.json", "keyset/global"},
		{Ref{"jwks", "acme", ""}, "keys/acme/jwks.json", "jwks/acme"},
	} {
		if got := c.ref.Path(); got != c.path {
			t.Errorf("Path of %v = %q, want %q", c.ref, got, c.path)
		}
		if got, err := ParsePath(c.path); got != c.ref || err != nil {
			t.Errorf("ParsePath(%q) = %+v, %v, want %+v", c.path, got, err, c.ref)
		}
		if got := c.ref.String(); got != c.name {
			t.Errorf("String of %+v = %q, want %q", c.ref, got, c.name)
		}
		if got, err := ParseRef(c.name); got != c.ref || err != nil {
			t.Errorf("ParseRef(%q) = %+v, %v, want %+v", c.name, got, err, c.ref)
		}
	}
	kid := "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
	if got, err := ParseRef("key/global/" + kid); got != (Ref{"key", "global", kid}) || err != nil {
		t.Errorf("ParseRef of a key = %+v, %v", got, err)
	}
	if got := (Ref{"key", "acme", kid}).Path(); got != "keys/acme/keyset.json" {
		t.Errorf("Path of a key = %q, want that of its keyset", got)
	}
	if got := (Ref{Kind: "nothing"}).Path(); got != "" {
		t.Errorf("Path of an unknown kind = %q", got)
	}
}

var hostilePaths = []string{
	"", "/", ".", "..", "tenants", "tenants/acme", "/tenants/acme/tenant.json", "tenants//tenant.json", "./tenants/acme/tenant.json",
	"tenants/../tenant.json", "tenants/acme/../tenant.json", "tenants/acme/tenant.json/", "tenants/acme/tenant.json\x00", "tenants/Acme/tenant.json",
	"tenants/global/tenant.json", "tenants/global/clients/web.json", "tenants/acme/clients/web", "tenants/acme/clients/.json",
	"tenants/acme/clients/../../x.json", "tenants/acme/clients/a/b.json", "tenants/acme/clients/%77eb.json", "tenants/acme/clients/%2fb.json",
	"tenants/acme/clients/%2E.json", "tenants/acme/clients/a%2Fb.json", "tenants/acme/clients/Web.json", "tenants/acme/clients/.web.json",
	"tenants/acme/scopes/a%20b.json", "tenants/acme/scopes/a%5Cb.json", `tenants\acme\tenant.json`, "tenants/acme/scope/a.json",
	"tenants/acme/scopes/" + strings.Repeat("a", 81) + ".json", "keys/acme/keyset.json.tmp", "keys/acme/private.json", "keys/-/jwks.json",
	"keys/../jwks.json", "KEYS/acme/jwks.json", "system/level.json", "tenants/acme/clients/web.JSON",
}

func TestParsePathRefusesHostilePaths(t *testing.T) {
	for _, path := range hostilePaths {
		if ref, err := ParsePath(path); err == nil {
			t.Errorf("ParsePath(%q) = %+v, want an error", path, ref)
		} else if len(err.Error()) > 1000 {
			t.Errorf("ParsePath(%.20q...) answers with %d bytes", path, len(err.Error()))
		}
	}
}

func TestParseRefRefuses(t *testing.T) {
	for _, s := range []string{"", "acme", "tenant/", "tenant/acme/x", "tenant/global", "keyset/acme/x", "jwks/acme/", "client/acme", "client/acme/",
		"client/global/web", "client/acme/a/b", "scope/acme/a b", "scope//openid", "key/acme", "key/acme/a/b", "key/Acme/k", "user/acme", "Tenant/acme"} {
		if ref, err := ParseRef(s); err == nil {
			t.Errorf("ParseRef(%q) = %+v, want an error", s, ref)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, path := range hostilePaths {
		f.Add(path)
	}
	f.Add("tenants/acme/clients/%57eb.json")
	f.Fuzz(func(t *testing.T, path string) {
		ref, err := ParsePath(path)
		if err != nil {
			return
		}
		if got := ref.Path(); got != path {
			t.Fatalf("ParsePath(%q) = %+v, whose path is %q", path, ref, got)
		}
		if again, err := ParseRef(ref.String()); again != ref || err != nil {
			t.Fatalf("ParseRef(%q) = %+v, %v, want %+v", ref, again, err, ref)
		}
		for _, part := range strings.Split(path, "/") {
			if part == "" || part[0] == '.' || len(part) >= 255 || strings.ToLower(part) != part && !strings.Contains(part, "%") {
				t.Fatalf("ParsePath(%q) accepts the part %q", path, part)
			}
		}
	})
}

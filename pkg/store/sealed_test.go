package store

import (
	"strings"
	"testing"
)

func sealedText(s Sealed, indent string) string {
	return strings.ReplaceAll(`{
  "enc": "`+s.Enc+`",
  "key_id": "`+s.KeyID+`",
  "nonce": "`+s.Nonce+`",
  "ciphertext": "`+s.Ciphertext+`"
}`, "\n", "\n"+indent)
}

func TestSealedValuesAreFoundWhereTheyCanBe(t *testing.T) {
	a, b := Sealed{"A256GCM", "k1", "n1", "c1"}, Sealed{"A256GCM", "k2", "n2", "c2"}
	value := sealedText(a, "") // the form of the document does not matter here
	for _, c := range []struct {
		fact, path, doc string
		want            []Sealed
	}{
		{"of a keyset", "keys/acme/keyset.json", `{"keys":[{"private_key":` + value + `},{"private_key":null},{"private_key":` + sealedText(b, "") + `}]}`, []Sealed{a, b}},
		{"of settings", "tenants/acme/tenant.json", `{"settings":{"smtp":{"password":{"sealed":` + value + `}}}}`, []Sealed{a}},
		{"not what only looks like one", "tenants/acme/tenant.json", `{"settings":{"x":` + value + `}}`, nil},
		{"below system anywhere", "system/cluster.json", `{"a":[` + value + `],"b":{"c":` + sealedText(b, "") + `}}`, []Sealed{a, b}},
		{"not with a member more", "system/x.json", `{"a":` + strings.Replace(value, "{", `{"more":1,`, 1) + `}`, nil},
		{"not with a member of another type", "system/x.json", `{"a":` + strings.Replace(value, `"n1"`, `1`, 1) + `}`, nil},
		{"not in what is no JSON", "system/x.json", `{"ciphertext"`, nil},
	} {
		t.Run(c.fact, func(t *testing.T) {
			got := SealedIn(c.path, []byte(c.doc))
			if len(got) != len(c.want) {
				t.Fatalf("found %v, want %v", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("found %v, want %v", got[i], c.want[i])
				}
			}
			for _, key := range []string{"k1", "k2"} {
				want := false
				for _, s := range c.want {
					want = want || s.KeyID == key
				}
				if SealedUnder(c.path, []byte(c.doc), key) != want {
					t.Errorf("sealed under %s: %v, want %v", key, !want, want)
				}
			}
		})
	}
}

func TestResealChangesOneValueAndNothingElse(t *testing.T) {
	a, b := Sealed{"A256GCM", "k1", "n1", "c1"}, Sealed{"A256GCM", "k1", "n2", "c2"}
	now := Sealed{"A256GCM", "k3", "n3", "a longer one"}
	doc := func(first, second Sealed) string {
		return "{\n  \"x\": \"k1\",\n  \"a\": " + sealedText(first, "  ") + ",\n  \"b\": " + sealedText(second, "  ") + "\n}\n"
	}
	if got, err := Reseal([]byte(doc(a, b)), b, now); string(got) != doc(a, now) || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := Reseal([]byte(doc(a, b)), a, now); string(got) != doc(now, b) || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	for fact, c := range map[string]struct {
		doc string
		old Sealed
	}{
		"one that is not there":        {doc(a, b), now},
		"one that is there twice":      {doc(a, a), a},
		"one with another nonce":       {doc(a, b), Sealed{"A256GCM", "k1", "n9", "c1"}},
		"one whose parts are the same": {doc(Sealed{"A256GCM", "k1", "k1", "c1"}, b), Sealed{"A256GCM", "k1", "k1", "c1"}},
		"one that is no object":        {`"c1"`, a},
		"one that does not end":        {`{"ciphertext": "c1"`, a},
	} {
		if got, err := Reseal([]byte(c.doc), c.old, now); err == nil {
			t.Errorf("%s was replaced: %s", fact, got)
		}
	}
}

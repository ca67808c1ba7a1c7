package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestTheDataSetHasWhatItsSizeSays(t *testing.T) {
	for _, size := range []Size{
		Full,
		{Tenants: 1, Clients: 3, Scopes: 4, Rotations: 1},
		{Tenants: 7, Clients: 100, Scopes: 90, Rotations: 3},
		{Tenants: 2},
	} {
		t.Run(fmt.Sprintf("%+v", size), func(t *testing.T) {
			got, seen := map[string]int{}, map[store.Ref]bool{}
			for _, i := range New(size) {
				got[i.Ref.Kind]++
				if seen[i.Ref] && i.Ref.Kind != "keyset" {
					t.Errorf("%s is there twice", i.Ref)
				}
				seen[i.Ref] = true
			}
			for kind, want := range map[string]int{
				"tenant": size.Tenants, "client": size.Clients, "scope": size.Scopes, "keyset": size.Rotations * (size.Tenants + 1),
			} {
				if got[kind] != want {
					t.Errorf("%d of kind %s, want %d", got[kind], kind, want)
				}
			}
		})
	}
}

// The sum stands for every byte: figures and failures of one day can be compared
// with those of another. Whoever changes the data set changes it here.
func TestTheDataSetIsTheSameEverywhere(t *testing.T) {
	const want = "c3917c427394f960fbb5cfc708e23ef4bb4bf5fea5effe3e7fe8b7d7da5a71bf"
	h := sha256.New()
	for _, i := range New(Full) {
		fmt.Fprintf(h, "%d %q %s\n", i.Stage, i.Args(), i.Document)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("sum %s, want %s", got, want)
	}
}

func TestEveryRedirectURIBelongsToOneClient(t *testing.T) {
	of := map[string]store.Ref{}
	for _, i := range New(Full) {
		var d struct {
			RedirectURIs []string `json:"redirect_uris"`
			Type         string   `json:"application_type"`
		}
		if i.Ref.Kind != "client" {
			continue
		}
		if err := json.Unmarshal(i.Document, &d); err != nil {
			t.Fatal(err)
		}
		for _, uri := range d.RedirectURIs {
			if other, taken := of[uri]; taken {
				t.Errorf("%s is of %s and of %s", uri, other, i.Ref)
			}
			of[uri] = i.Ref
			if err := store.CheckRedirectURI(d.Type, uri); err != nil {
				t.Errorf("%s: %s %v", i.Ref, uri, err)
			}
		}
	}
	if len(of) < 2000 {
		t.Errorf("%d redirect URIs for 2,000 clients", len(of))
	}
}

func TestWhatADocumentNeedsIsMadeInAStageBefore(t *testing.T) {
	items := New(Full)
	made := map[string]int{} // name -> stage
	for n, i := range items {
		if n > 0 && i.Stage < items[n-1].Stage {
			t.Fatalf("item %d is of stage %d, the one before it of %d", n, i.Stage, items[n-1].Stage)
		}
		var needs []string
		var d struct {
			Scopes    []string `json:"scopes"`
			DependsOn []string `json:"depends_on"`
		}
		if i.Document != nil {
			if err := json.Unmarshal(i.Document, &d); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range append(d.Scopes, d.DependsOn...) {
			needs = append(needs, "scope/"+i.Ref.Tenant+"/"+s)
		}
		if i.Ref.Kind != "tenant" && i.Ref.Tenant != store.GlobalOwner {
			needs = append(needs, "tenant/"+i.Ref.Tenant)
		}
		for _, need := range needs {
			if stage, there := made[need]; !there || stage >= i.Stage {
				t.Errorf("%s (stage %d) needs %s, which comes in stage %d (made: %t)", i.Ref, i.Stage, need, stage, there)
			}
		}
		made[i.Ref.String()] = i.Stage
		if i.Ref.Kind == "tenant" {
			for _, s := range systemScopes {
				made["scope/"+i.Ref.Tenant+"/"+s] = i.Stage
			}
		}
	}
}

func TestTheDataSetHasSomethingOfEverything(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range New(Full) {
		var d map[string]any
		if i.Document == nil {
			continue
		}
		if err := json.Unmarshal(i.Document, &d); err != nil {
			t.Fatal(err)
		}
		for member, v := range d {
			seen[i.Ref.Kind+"."+member] = true
			if s, ok := v.(string); ok && len(s) < 40 {
				seen[i.Ref.Kind+"."+member+"="+s] = true
			}
		}
		if store.EscapeName(i.Ref.Name) != i.Ref.Name {
			seen[i.Ref.Kind+" with an escaped name"] = true
		}
		if policy, ok := d["key_policy"].(map[string]any); ok {
			seen["alg="+policy["alg"].(string)] = true
		}
	}
	want := []string{
		"alg=RS256", "alg=PS256", "alg=ES256", "alg=ES384", "alg=EdDSA",
		"tenant.token_policy", "tenant.quotas", "tenant.annotations", "tenant.settings", "tenant.state=suspended", "tenant.default_language=es",
		"scope.depends_on", "scope.claims", "scope.default", "scope.consent=required", "scope.consent=implicit", "scope.consent=never",
		"scope with an escaped name", "client with an escaped name",
		"client.token_endpoint_auth_method=none", "client.token_endpoint_auth_method=private_key_jwt",
		"client.token_endpoint_auth_method=client_secret_post", "client.application_type=native", "client.allowed_cors_origins",
		"client.enabled", "client.access_token_ttl", "client.identity_providers", "client.settings", "client.audience", "client.jwks_uri",
	}
	for _, w := range want {
		if !seen[w] {
			t.Errorf("nothing has %s", w)
		}
	}
}

func TestItemsAreWhatAnOperatorWouldType(t *testing.T) {
	tests := []struct {
		ref  store.Ref
		want []string
	}{
		{store.Ref{Kind: "tenant", Tenant: "acme"}, []string{"tenant", "create", "acme", "-f", "-"}},
		{store.Ref{Kind: "scope", Tenant: "acme", Name: "a:b"}, []string{"scope", "create", "a:b", "-t", "acme", "-f", "-"}},
		{store.Ref{Kind: "client", Tenant: "acme", Name: "web"}, []string{"client", "create", "web", "-t", "acme", "-f", "-"}},
		{store.Ref{Kind: "keyset", Tenant: "acme"}, []string{"key", "rotate", "-t", "acme"}},
		{store.Ref{Kind: "keyset", Tenant: "global"}, []string{"key", "rotate", "--global"}},
	}
	for _, tt := range tests {
		i := Item{Ref: tt.ref, Document: json.RawMessage(`{}`)}
		if got := i.Args(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.ref, got, tt.want)
		}
		if r := i.Request(); r.Op == "" || r.Tenant != tt.ref.Tenant {
			t.Errorf("%s: request %+v", tt.ref, r)
		}
	}
}

package attacks

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// ways out of a directory, into another name, or past a screen.
var ways = []string{
	".", "..", "...", "../x", "a/../../x", "/etc/passwd", "a/b", "a//b", "./a", "a/", `a\b`, `..\x`,
	"a\x00b", "\x00", "a\nb", "a\tb", "a\x1b[2Jb", "a\u202eb", "a\u200bb", "\ufeffa", "аcme", "ａcme", "acmé", "ac\u0301me", "\U0001f511",
	"a b", " acme", "acme ", "%2e%2e", "%2e%2e%2fx", "a%00b", "~root/x", "$HOME", "*", "a;b", "'a'", `"a"`, "<a>", "a|b",
	"tenants/globex/tenant.json", "globex/clients/web", "../../keys/acme/keyset", strings.Repeat("a", 300), strings.Repeat("../", 100) + "x",
}

// Names are names, whatever they look like: nothing of them leads to another
// file than their own, and the wire checks them as the command line does.
func TestPathTricksInEveryName(t *testing.T) {
	t.Parallel()
	c := found(t, 1)
	server := c.Nodes[0].Server()
	c.Must(server, "client", "create", "web", "-t", "acme", "--redirect-uri", "https://app.example/cb")
	c.Settled()
	before, outside := live.Tree(t, c.Nodes[0].Data()), names(t, c.Dir)
	w := c.dial(t, c.person(access.Admin, "ada", ""), 0, rpc.ProtocolRPC)
	socket := c.socket(t, 0)
	number := 0
	write := func(r mutation.Request) attempt {
		number++
		return attempt{string(r.Op), "Cluster.Write", request(fmt.Sprint("n", number), r)}
	}
	client := json.RawMessage(`{"token_endpoint_auth_method":"none","redirect_uris":["https://app.example/cb"],"grant_types":["authorization_code"]}`)
	read := rpc.ReadOptions{Stale: true}
	for _, name := range append(ways, "Acme", "ACME", "-acme", "acme-", "acme.", ".acme", "con:", "global", "") {
		tries := []attempt{
			write(mutation.Request{Op: mutation.OpTenantCreate, Name: name}),
			write(mutation.Request{Op: mutation.OpTenantUpdate, Name: name}),
			write(mutation.Request{Op: mutation.OpTenantDelete, Name: name}),
			write(mutation.Request{Op: mutation.OpClientCreate, Tenant: name, Name: "app", Patch: client}),
			write(mutation.Request{Op: mutation.OpClientDelete, Tenant: name, Name: "web"}),
			write(mutation.Request{Op: mutation.OpScopeCreate, Tenant: name, Name: "app"}),
			write(mutation.Request{Op: mutation.OpScopeDelete, Tenant: name, Name: "openid"}),
			{"get a tenant", "Cluster.Get", rpc.GetArgs{Kind: "tenant", Name: name, Read: read}},
			{"get a client of", "Cluster.Get", rpc.GetArgs{Kind: "client", Tenant: name, Name: "web", Read: read}},
			{"get a document of kind", "Cluster.Get", rpc.GetArgs{Kind: name, Tenant: "acme", Name: "web", Read: read}},
			{"list clients of", "Cluster.List", rpc.ListArgs{Kind: "client", Tenant: name, Read: read}},
			{"list documents of kind", "Cluster.List", rpc.ListArgs{Kind: name, Tenant: "acme", Read: read}},
			{"a token bound to", "Cluster.CreateToken", tokenArgs("ana", name+"x/")},
			{"revoke the token", "Cluster.RevokeToken", rpc.TokenRef{ID: name}},
			{"remove the node", "Cluster.Remove", rpc.RemoveArgs{Name: name}},
		}
		if name != "global" { // the platform has keys, but is no tenant
			tries = append(tries, write(mutation.Request{Op: mutation.OpKeyRotate, Tenant: name}),
				attempt{"get the keys of", "Cluster.Get", rpc.GetArgs{Kind: "keyset", Tenant: name, Read: read}},
				attempt{"get the public keys of", "Cluster.Get", rpc.GetArgs{Kind: "jwks", Tenant: name, Read: read}})
		}
		c.refused(t, w, name, tries)
	}
	for _, name := range append(ways, "-web", ".web", "~web", strings.Repeat("a", 81)) {
		c.refused(t, w, name, []attempt{
			write(mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: name, Patch: client}),
			write(mutation.Request{Op: mutation.OpClientUpdate, Tenant: "acme", Name: name, Patch: client}),
			write(mutation.Request{Op: mutation.OpClientDelete, Tenant: "acme", Name: name}),
			write(mutation.Request{Op: mutation.OpClientSecretRotate, Tenant: "acme", Name: name}),
			write(mutation.Request{Op: mutation.OpClientSecretRevoke, Tenant: "acme", Name: "web", SecretID: name}),
			write(mutation.Request{Op: mutation.OpKeyRevoke, Tenant: "acme", KID: name}),
			{"get a client", "Cluster.Get", rpc.GetArgs{Kind: "client", Tenant: "acme", Name: name, Read: read}},
			{"a token for", "Cluster.CreateToken", tokenArgs(name, "")},
			{"a token of the role", "Cluster.CreateToken", rpc.TokenArgs{ID: "0123456789abcdef", Hash: strings.Repeat("a", 64), Role: name, Name: "x", TTL: store.Duration(time.Hour)}},
		})
		c.refused(t, socket, name, []attempt{ // where alone a node is enrolled without a token
			{"enrol a node", "Cluster.Enrol", enrolment(t, name, "4e1b6a52-5a39-4d34-9c5e-0b8b2d1f0a11")},
			{"enrol a node with the id", "Cluster.Enrol", enrolment(t, "n9", name)},
		})
	}
	for _, id := range ways { // a request id may be "." or ".."; it names no file
		if strings.Trim(id, ".") == "" {
			continue
		}
		c.refused(t, w, id, []attempt{{"the request id", "Cluster.Write", request(id, mutation.Request{Op: mutation.OpTenantUpdate, Name: "acme"})}})
	}
	c.Settled()
	live.SameTree(t, "after the tricks", live.Tree(t, c.Nodes[0].Data()), before)

	// A continuation is a place in a list, and no way out of it.
	for _, name := range ways {
		for _, kind := range []string{"client", "scope", "tenant"} {
			a, err := w.call("Cluster.List", args(t, rpc.ListArgs{Kind: kind, Tenant: "acme", Continue: name, Read: read}, nil))
			if err != nil {
				t.Fatalf("list after %q: %v, %v", name, a, err)
			}
			for _, item := range a.documents {
				var d struct{ Kind, Tenant string }
				if err := json.Unmarshal(item, &d); err != nil || d.Kind != kind || kind != "tenant" && d.Tenant != "acme" {
					t.Errorf("the list of each %s after %q has %.100s", kind, name, item)
				}
			}
		}
	}

	// A scope may be called almost anything; its file is its own all the same.
	for _, name := range []string{"..", "../x", "../../x/tenant.json", "/etc/passwd", "a/b", "A", "a", "%2e%2e", "*", "~root"} {
		if a, err := w.call("Cluster.Write", args(t, request("scope-"+fmt.Sprintf("%x", name), mutation.Request{Op: mutation.OpScopeCreate, Tenant: "acme", Name: name}), nil)); err != nil || a.Err != nil {
			t.Errorf("a scope called %q: %v, %v", name, a, err)
		}
		c.Settled()
		if _, err := os.Stat(filepath.Join(c.Nodes[0].Data(), filepath.FromSlash(store.ScopePath("acme", name)))); err != nil {
			t.Errorf("a scope called %q: %v", name, err)
		}
	}
	scopes, err := os.ReadDir(filepath.Join(c.Nodes[0].Data(), "tenants", "acme", "scopes"))
	if err != nil || len(scopes) != len(store.SystemScopes("acme"))+10 {
		t.Errorf("%d scopes, %v; each has a file of its own", len(scopes), err)
	}
	for _, name := range names(t, c.Dir) {
		if !slices.Contains(outside, name) && !strings.HasPrefix(name, "n1/data/tenants/acme/scopes/") && !strings.HasPrefix(name, "n1/restore.tmp") && !strings.HasPrefix(name, "n1/raft/") {
			t.Errorf("%s has appeared", name)
		}
	}
}

// refused checks that each attempt is refused for what it is.
func (c *city) refused(t *testing.T, w *wire, name string, tries []attempt) {
	t.Helper()
	for _, try := range tries {
		a, err := w.call(try.method, args(t, try.args, nil))
		if err != nil {
			t.Fatalf("%s %q: %v", try.name, name, err)
		}
		if a.Err == nil || a.Err.Code != store.CodeInvalid && a.Err.Code != store.CodeNotFound {
			t.Errorf("%s %q: %s", try.name, name, a)
		} else if shown := strings.ToLower(a.Err.Message); strings.ContainsAny(shown, "\x00\x1b\n\u202e\u200b") && !strings.Contains(shown, "\n  ") {
			t.Errorf("%s %q: the answer shows it as it is: %q", try.name, name, a.Err.Message)
		}
	}
}

func tokenArgs(name, tenant string) rpc.TokenArgs {
	return rpc.TokenArgs{ID: "0123456789abcdef", Hash: strings.Repeat("a", 64), Role: "operator", Name: name, Tenant: tenant, TTL: store.Duration(time.Hour)}
}

func enrolment(t *testing.T, name, id string) rpc.EnrolArgs {
	t.Helper()
	csr, _, err := pki.NewCSR("x")
	if err != nil {
		t.Fatal(err)
	}
	return rpc.EnrolArgs{NodeID: id, Name: name, CSR: csr}
}

// names lists everything below a directory.
func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // on its way
		}
		name, _ := filepath.Rel(dir, path)
		out = append(out, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

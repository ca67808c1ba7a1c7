package attacks

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// renamed is a change of a tenant that any number of callers may make.
func renamed(slug string, n int) *mutation.Request {
	return &mutation.Request{Op: mutation.OpTenantUpdate, Name: slug, Patch: json.RawMessage(fmt.Sprintf(`{"display_name":"name %d"}`, n))}
}

// request is a change as a hostile client sends it.
func request(id string, r mutation.Request) mutation.Request {
	r.ID, r.NoTime, r.Seed = id, true, make([]byte, 32)
	return r
}

// attempt is a call that has to be denied, or unknown.
type attempt struct {
	name   string
	method string
	args   any
}

// writes are every kind of change of a tenant and what belongs to it.
func writes(slug string) (out []attempt) {
	client := json.RawMessage(`{"token_endpoint_auth_method":"none","redirect_uris":["https://evil.example/cb"],"grant_types":["authorization_code"]}`)
	for i, r := range []mutation.Request{
		{Op: mutation.OpClientCreate, Tenant: slug, Name: "evil", Patch: client},
		{Op: mutation.OpClientUpdate, Tenant: slug, Name: "web", Patch: client},
		{Op: mutation.OpClientDelete, Tenant: slug, Name: "web"},
		{Op: mutation.OpClientDelete, Tenant: slug, Name: "web", DryRun: true},
		{Op: mutation.OpClientSecretRotate, Tenant: slug, Name: "web"},
		{Op: mutation.OpClientSecretRevoke, Tenant: slug, Name: "web", SecretID: "s1"},
		{Op: mutation.OpScopeCreate, Tenant: slug, Name: "evil"},
		{Op: mutation.OpScopeUpdate, Tenant: slug, Name: "openid"},
		{Op: mutation.OpScopeDelete, Tenant: slug, Name: "email", Detach: true},
		{Op: mutation.OpKeyRotate, Tenant: slug},
		{Op: mutation.OpKeyRevoke, Tenant: slug, KID: "k"},
	} {
		out = append(out, attempt{string(r.Op) + " of " + slug, "Cluster.Write", request(fmt.Sprint("w", i), r)})
	}
	return out
}

// tenantWrites are every kind of change of a tenant itself.
func tenantWrites(slug string) []attempt {
	return []attempt{
		{"tenant.create of " + slug + "-2", "Cluster.Write", request("t1", mutation.Request{Op: mutation.OpTenantCreate, Name: slug + "-2"})},
		{"tenant.create in a document", "Cluster.Write", request("t2", mutation.Request{Op: mutation.OpTenantCreate, Patch: json.RawMessage(`{"slug":"` + slug + `-3"}`)})},
		{"tenant.create, naming one's own beside it", "Cluster.Write", request("t3", mutation.Request{Op: mutation.OpTenantCreate, Tenant: "acme", Name: slug + "-4"})},
		{"tenant.update of " + slug, "Cluster.Write", request("t4", mutation.Request{Op: mutation.OpTenantUpdate, Tenant: "acme", Name: slug, Patch: json.RawMessage(`{}`)})},
		{"tenant.delete of " + slug, "Cluster.Write", request("t5", mutation.Request{Op: mutation.OpTenantDelete, Tenant: "acme", Name: slug})},
	}
}

// admins are the calls of administrators, and those between nodes.
func admins() []attempt {
	return []attempt{
		{"to check and repair", "Cluster.Check", rpc.CheckArgs{Repair: true}},
		{"to remove a member", "Cluster.Remove", rpc.RemoveArgs{Name: "n2"}},
		{"to have a node leave", "Cluster.Leave", rpc.LeaveArgs{RequestID: "evil-leaves"}},
		{"to give a member a vote", "Cluster.Promote", rpc.MemberRef{Name: "n2"}},
		{"lost members removed", "Cluster.SetAutoremove", rpc.AutoremoveArgs{Set: &rpc.Autoremove{}}},
		{"to hand leadership over", "Cluster.Transfer", rpc.TransferArgs{Name: "n2"}},
		{"to enrol a node", "Cluster.Enrol", rpc.EnrolArgs{NodeID: "evil", Name: "evil", CSR: []byte("x")}},
		{"to admit a node", "Cluster.Admit", rpc.AdmitArgs{NodeID: "evil", Address: "127.0.0.1:1"}},
		{"to export a private key", "Cluster.Export", rpc.ExportArgs{Tenant: "acme"}},
		{"to make a token", "Cluster.CreateToken", tokenArgs("eve", "")},
		{"to revoke a token", "Cluster.RevokeToken", rpc.TokenRef{ID: "0123456789abcdef"}},
		{"to list tokens", "Cluster.ListTokens", rpc.ReadOptions{}},
		{"to list certificates", "Cluster.Certs", rpc.ReadOptions{}},
		{"to revoke a certificate", "Cluster.Revoke", rpc.RevokeArgs{Serial: strings.Repeat("0", 32)}},
		{"to roll the authority over", "Cluster.Rotate", rpc.RotateArgs{}},
		{"to see how far that is", "Cluster.Rotate", rpc.RotateArgs{Look: true}},
		{"a new cluster key", "Cluster.Rekey", rpc.RekeyArgs{Roll: "4e1b6a52-5a39-4d34-9c5e-0b8b2d1f0a11"}},
		{"to read the audit log", "Cluster.Audit", rpc.AuditArgs{}},
		{"to check the audit log", "Cluster.AuditCheck", rpc.AuditCheckArgs{}},
		{"the cluster key", "Peer.ClusterKey", rpc.ClusterKeyArgs{}},
		{"a node's certificate", "Peer.Renew", rpc.RenewArgs{}},
		{"a forwarded write", "Peer.Write", request("p1", mutation.Request{Op: mutation.OpTenantDelete, Name: "globex"})},
		{"a forwarded transfer", "Peer.Transfer", rpc.TransferArgs{Name: "n2"}},
		{"a node's readiness", "Peer.Ready", struct{}{}},
		{"a forwarded removal", "Peer.Remove", rpc.RemoveArgs{Name: "n2"}},
		{"a forwarded promotion", "Peer.Promote", rpc.MemberRef{Name: "n2"}},
		{"lost members removed, forwarded", "Peer.SetAutoremove", rpc.AutoremoveArgs{Set: &rpc.Autoremove{}}},
		{"a forwarded enrolment", "Peer.Enrol", rpc.EnrolArgs{NodeID: "evil", Name: "evil"}},
		{"a forwarded export", "Peer.Export", rpc.ExportArgs{Tenant: "acme"}},
		{"a node's progress", "Peer.Progress", struct{}{}},
		{"a node's read index", "Peer.ReadIndex", struct{}{}},
	}
}

// made is the id of the request that made a tenant's client.
func made(slug string) string { return "made-" + slug }

// reads of another tenant.
func reads(slug string) []attempt {
	stale := rpc.ReadOptions{Stale: true}
	return []attempt{
		{"to get the tenant", "Cluster.Get", rpc.GetArgs{Kind: "tenant", Tenant: "acme", Name: slug}},
		{"to get a client", "Cluster.Get", rpc.GetArgs{Kind: "client", Tenant: slug, Name: "web"}},
		{"to get a scope", "Cluster.Get", rpc.GetArgs{Kind: "scope", Tenant: slug, Name: "openid", Read: stale}},
		{"to get the keyset", "Cluster.Get", rpc.GetArgs{Kind: "keyset", Tenant: slug}},
		{"to get the public keys", "Cluster.Get", rpc.GetArgs{Kind: "jwks", Tenant: slug}},
		{"to get the platform's keys", "Cluster.Get", rpc.GetArgs{Kind: "keyset", Tenant: store.GlobalOwner}},
		{"to list clients", "Cluster.List", rpc.ListArgs{Kind: "client", Tenant: slug, Read: stale}},
		{"to list scopes", "Cluster.List", rpc.ListArgs{Kind: "scope", Tenant: slug}},
		{"to list tenants", "Cluster.List", rpc.ListArgs{Kind: "tenant"}},
		{"to list tenants, naming one's own", "Cluster.List", rpc.ListArgs{Kind: "tenant", Tenant: "acme"}},
		{"to list tenants after one's own", "Cluster.List", rpc.ListArgs{Kind: "tenant", Tenant: "acme", Continue: "acme"}},
		{"the members", "Cluster.Status", struct{}{}},
		{"the members' addresses", "Cluster.Roster", struct{}{}},
		{"when members are removed", "Cluster.SetAutoremove", rpc.AutoremoveArgs{}},
		{"to know what became of a request", "Cluster.Request", rpc.RequestArgs{ID: made(slug)}},
	}
}

// Nobody gets more than the role and the tenant of their certificate allow,
// whatever they say about themselves, and on whichever node.
func TestNobodyDoesMoreThanTheyMay(t *testing.T) {
	t.Parallel()
	c := found(t, 2)
	b := c.write(t)
	for _, slug := range []string{"acme", "globex"} {
		c.Must(c.Servers(0), "client", "create", "web", "-t", slug, "--redirect-uri", "https://app.example/cb", "--request-id", made(slug))
	}
	leader := 0
	for i, n := range c.Nodes {
		if n == c.Leader() {
			leader = i
		}
	}
	b.end(t)
	forged := []any{
		nil,
		access.Local("0"),
		access.Actor{Role: access.Admin, Name: "root"},
		access.Actor{Role: access.Node, Name: "n1"},
	}
	cases := []struct {
		who  string
		cert pki.Credentials
		may  []attempt
		not  [][]attempt
	}{
		{"a reader", c.person(access.Reader, "ci", ""), nil, [][]attempt{writes("acme"), writes("globex"), writes(store.GlobalOwner)[9:], tenantWrites("globex"), admins()}},
		{"a reader of acme", c.person(access.Reader, "ci", "acme"), nil, [][]attempt{writes("acme"), writes("globex"), tenantWrites("globex"), reads("globex"), admins()}},
		{"an operator of acme", c.person(access.Operator, "ana", "acme"), nil, [][]attempt{writes("globex"), writes(store.GlobalOwner)[9:], tenantWrites("globex"), tenantWrites("acme"), reads("globex"), admins()}},
		{"an operator", c.person(access.Operator, "ana", ""), nil, [][]attempt{admins()}},
	}
	before := c.Settled()
	for _, tt := range cases {
		for node := range c.Nodes {
			w := c.dial(t, tt.cert, node, rpc.ProtocolRPC)
			for _, list := range tt.not {
				for i, try := range list {
					from := forged[(i+node)%len(forged)]
					a, err := w.call(try.method, args(t, try.args, from))
					if err != nil {
						t.Fatalf("%s wants %s: %v", tt.who, try.name, err)
					}
					peer := strings.HasPrefix(try.method, "Peer.")
					if peer && !strings.Contains(a.wire, "can't find service") || !peer && (a.Err == nil || a.Err.Code != store.CodeDenied) {
						t.Errorf("%s at node %d (the leader is %d), who claims to be %v, wants %s and hears %s", tt.who, node+1, leader+1, from, try.name, a)
					}
				}
			}
		}
	}
	after := c.Settled()
	if after.CommitIndex != before.CommitIndex || after.Nodes[0].StateDigest != before.Nodes[0].StateDigest {
		t.Errorf("something changed: index %d, it was %d", after.CommitIndex, before.CommitIndex)
	}
	// And what they may do, they can.
	for role, who := range map[string]pki.Credentials{"an operator of acme": c.person(access.Operator, "ana", "acme"), "an operator": c.person(access.Operator, "ana", "")} {
		for node := range c.Nodes {
			w := c.dial(t, who, node, rpc.ProtocolRPC)
			for i, try := range []mutation.Request{
				{Op: mutation.OpClientUpdate, Tenant: "acme", Name: "web", Patch: json.RawMessage(`{"client_name":"` + role + `"}`)},
				{Op: mutation.OpKeyRotate, Tenant: "acme"},
			} {
				id := fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(role, " ", "-"), node, i)
				if a, err := w.call("Cluster.Write", args(t, request(id, try), access.Local("0"))); err != nil || a.Err != nil || a.wire != "" {
					t.Errorf("%s was refused %s: %v, %v", role, try.Op, a, err)
				}
			}
		}
	}
	var d struct {
		UpdatedBy string `json:"updated_by"`
	}
	get := c.Must(c.Servers(0), "client", "get", "web", "-t", "acme", "-o", "json")
	if err := json.Unmarshal(get.Stdout, &d); err != nil || !strings.HasPrefix(d.UpdatedBy, "operator/ana") {
		t.Errorf("updated by %q, %v: want who it was, not who they claimed to be", d.UpdatedBy, err)
	}
}

// A document that names another tenant goes nowhere but where its caller may write.
func TestADocumentDoesNotLeadIntoAnotherTenant(t *testing.T) {
	t.Parallel()
	c := found(t, 1)
	c.Must(c.Servers(0), "client", "create", "web", "-t", "globex", "--redirect-uri", "https://app.example/cb")
	w := c.dial(t, c.person(access.Operator, "ana", "acme"), 0, rpc.ProtocolRPC)
	before := c.Settled()
	doc := func(members string) json.RawMessage {
		return json.RawMessage(`{"kind":"client","client_id":"web",` + members + `"token_endpoint_auth_method":"none","redirect_uris":["https://evil.example/cb"],"grant_types":["authorization_code"]}`)
	}
	value := json.RawMessage(`"globex"`)
	for name, r := range map[string]mutation.Request{
		"a tenant in the document":         {Op: mutation.OpClientCreate, Tenant: "acme", Name: "web", Patch: doc(`"tenant":"globex",`)},
		"a tenant in capital letters":      {Op: mutation.OpClientCreate, Tenant: "acme", Name: "web", Patch: doc(`"TENANT":"globex",`)},
		"a tenant, twice":                  {Op: mutation.OpClientCreate, Tenant: "acme", Name: "web", Patch: doc(`"tenant":"acme","tenant":"globex",`)},
		"a tenant by a field of its own":   {Op: mutation.OpClientCreate, Tenant: "acme", Name: "web", Patch: doc(""), Set: []store.Element{{Path: "tenant", Value: value}}},
		"no tenant, and one in a document": {Op: mutation.OpClientCreate, Name: "web", Patch: doc(`"tenant":"globex",`)},
		"a keyset in place of a client":    {Op: mutation.OpClientCreate, Tenant: "acme", Name: "web", Patch: json.RawMessage(`{"kind":"keyset","tenant":"globex","keys":[]}`)},
		"an operation that is none":        {Op: "sys.found", Tenant: "acme", Name: "acme"},
		"an operation of the cluster":      {Op: "sys.stage.commit", Tenant: "acme"},
		"a tenant with a tail":             {Op: mutation.OpClientUpdate, Tenant: "acme/../globex", Name: "web", Patch: doc("")},
		"a client with a way out":          {Op: mutation.OpClientUpdate, Tenant: "acme", Name: "../../globex/clients/web", Patch: doc("")},
	} {
		a, err := w.call("Cluster.Write", args(t, request("d-"+strings.ReplaceAll(name, " ", "-")[:8], r), nil))
		if err != nil {
			t.Fatal(err)
		}
		if a.Err == nil || a.Err.Code != store.CodeInvalid && a.Err.Code != store.CodeDenied && a.Err.Code != store.CodeNotFound {
			t.Errorf("%s: %v", name, a)
		}
	}
	if after := c.Settled(); after.Nodes[0].StateDigest != before.Nodes[0].StateDigest {
		t.Error("something changed")
	}
}

// element is one field, by its path.
func element(path string, value json.RawMessage) store.Element {
	return store.Element{Path: path, Value: value}
}

// Every call that there is stands in one of the lists above, but the three that
// are everybody's.
func TestEveryCallIsTried(t *testing.T) {
	tried := map[string]bool{"Cluster.Health": true, "Cluster.Ping": true, "Cluster.Renew": true}
	for _, list := range [][]attempt{writes("acme"), admins(), reads("globex")} {
		for _, a := range list {
			tried[a.method] = true
		}
	}
	calls := reflect.TypeFor[*rpc.Cluster]()
	for i := range calls.NumMethod() {
		if name := "Cluster." + calls.Method(i).Name; !tried[name] {
			t.Errorf("nobody tries %s", name)
		}
	}
	if calls.NumMethod() < 15 {
		t.Errorf("%d calls", calls.NumMethod())
	}
}

package attacks

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"net"
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
	"github.com/cpctl/cpctl/test/live"
)

// canaries are what must be nowhere, and what has to be there, or the search
// would prove nothing.
type canaries struct {
	secrets map[string][][]byte // name -> spellings
	known   map[string]string   // place -> what is in it
	places  map[string][]byte
}

func (c *canaries) add(t *testing.T, name string, secret []byte) {
	t.Helper()
	if len(secret) < 16 {
		t.Fatalf("%s has %d bytes: it would be found by chance", name, len(secret))
	}
	c.secrets[name] = spellings(secret)
}

// addKey adds a private key: the file, and the number in it.
func (c *canaries) addKey(t *testing.T, name string, der []byte) {
	t.Helper()
	c.add(t, name, der)
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if k, ok := key.(*ecdsa.PrivateKey); ok {
			b, err := k.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			c.add(t, name+", its number", b)
		}
	}
}

// search looks for every secret in every place, and for what has to be there.
func (c *canaries) search(t *testing.T) {
	t.Helper()
	for _, place := range slices.Sorted(maps.Keys(c.places)) {
		for name, secret := range c.secrets {
			if holds(c.places[place], secret) {
				t.Errorf("%s is in %s", name, place)
			}
		}
	}
	for place, text := range c.known {
		b, there := c.places[place]
		if !there || !bytes.Contains(b, []byte(text)) {
			t.Errorf("%q is not in %s (%d bytes): the search would find nothing", text, place, len(b))
		}
	}
}

// A secret that was put into whatever may hold one is nowhere else: not in the
// log, a snapshot, the files, an archive, a log, a command line, an environment,
// or on the wire.
func TestNoSecretIsAnywhere(t *testing.T) {
	c, taps := foundTapped(t)
	n1 := c.Nodes[0]
	processes := watchProcesses(t)
	can := &canaries{secrets: map[string][][]byte{}, known: map[string]string{}, places: map[string][]byte{}}

	// People, who work over the wire that is listened to.
	ada, ana := c.enrol(t, can, access.Admin, "ada"), c.enrol(t, can, access.Operator, "ana")
	admin, operator := c.client(ada, 0), c.client(ana, 1)

	// Clients with secrets of either kind.
	const visible = "https://canary.example/callback-that-is-no-secret"
	patch := json.RawMessage(`{"redirect_uris":["` + visible + `"],"grant_types":["authorization_code"]}`)
	must := func(client *rpc.Client, r mutation.Request) *mutation.Answer {
		t.Helper()
		a, err := client.Write(t.Context(), &r)
		if err != nil {
			t.Fatalf("%s %s: %v", r.Op, r.Name, err)
		}
		return a
	}
	imported := "imported-Canary/secret+of+people-0001"
	weak := "canary-in-a-field-that-may-not-hold-it-0002"
	must(operator, mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: "imported", Patch: patch, Secret: &imported})
	can.add(t, "an imported secret", []byte(imported))
	for i, client := range []*rpc.Client{operator, admin} {
		name := fmt.Sprint("generated-", i)
		for step, a := range []*mutation.Answer{
			must(client, mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: name, Patch: patch}),
			must(client, mutation.Request{Op: mutation.OpClientSecretRotate, Tenant: "acme", Name: name}),
		} {
			what := fmt.Sprintf("generated secret %d of client %d", step+1, i+1)
			can.add(t, what, []byte(a.Secret))
			raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(a.Secret, pki.SecretPrefix))
			if err != nil {
				t.Fatal(err)
			}
			can.add(t, what+", its bytes", raw)
		}
	}
	secretFile := filepath.Join(c.Dir, "..", filepath.Base(c.Dir)+".secret")
	fromFile := "canary-from-a-file-of-the-command-line-0003"
	if err := os.WriteFile(secretFile, []byte(fromFile+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(secretFile)
	can.add(t, "a secret from a file", []byte(fromFile))
	c.Must(n1.Server(), "client", "create", "from-file", "-t", "acme", "--grant-type", "client_credentials", "--secret-file", secretFile, "-v")

	// Where none may be, one is refused, and leaves no trace in being so.
	can.add(t, "a secret in a wrong place", []byte(weak))
	quoted := json.RawMessage(`"` + weak + `"`)
	for field, r := range map[string]mutation.Request{
		"settings":        {Op: mutation.OpTenantUpdate, Name: "acme", Patch: json.RawMessage(`{"settings":{"smtp_password":"` + weak + `"}}`)},
		"a client's":      {Op: mutation.OpClientUpdate, Tenant: "acme", Name: "imported", Patch: json.RawMessage(`{"settings":{"db":{"dsn":"` + weak + `"}}}`)},
		"a secret member": {Op: mutation.OpClientUpdate, Tenant: "acme", Name: "imported", Patch: json.RawMessage(`{"client_secret":"` + weak + `"}`)},
		"a hash":          {Op: mutation.OpClientUpdate, Tenant: "acme", Name: "imported", Patch: json.RawMessage(`{"secrets":[{"id":"s1","hash":"` + weak + `"}]}`)},
		"a private key":   {Op: mutation.OpClientUpdate, Tenant: "acme", Name: "imported", Patch: json.RawMessage(`{"jwks":{"keys":[{"kty":"oct","k":"` + weak + `"}]}}`)},
		"one field":       {Op: mutation.OpTenantUpdate, Name: "acme", Patch: json.RawMessage(`{}`)},
		"a list":          {Op: mutation.OpTenantUpdate, Name: "acme", Patch: json.RawMessage(`{"settings":{"list":[{"password":"` + weak + `"}]}}`)},
	} {
		if field == "one field" {
			r.Set = append(r.Set, element("settings.api_token", quoted))
		}
		if a, err := operator.Write(t.Context(), &r); err == nil && a.Outcome != mutation.Unchanged { // what the server sets is not taken from anybody
			t.Errorf("%s: %s", field, a.Outcome)
		}
	}

	// Keys that sign, of every algorithm, and the platform's.
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		must(admin, mutation.Request{Op: mutation.OpKeyRotate, Tenant: "globex", Alg: alg})
		must(admin, mutation.Request{Op: mutation.OpKeyRotate, Tenant: "globex", Alg: alg}) // the one made before becomes active
		c.export(t, can, "globex", alg)
	}
	must(admin, mutation.Request{Op: mutation.OpKeyRotate, Tenant: "global", Alg: "ES256"})
	c.export(t, can, "global", "ES256")

	// The keys of the cluster and its nodes, old and new.
	for _, when := range []string{"before", "after"} {
		for _, n := range c.Nodes {
			c.clusterKeys(t, can, n, when)
		}
		if when == "before" {
			c.Must(n1.Server(), "cluster", "rekey", "-v")
		}
	}
	can.addKey(t, "the authority's key", c.caKey)

	// What reads, too.
	out := c.Must(n1.Server(), "client", "get", "imported", "-t", "acme", "-o", "json").Stdout
	out = append(out, c.Must(n1.Server(), "key", "list", "-t", "globex", "-o", "json").Stdout...)
	out = append(out, c.Must(n1.Server(), "token", "list", "-o", "json").Stdout...)
	out = append(out, c.Must(n1.Server(), "cluster", "status", "-o", "json").Stdout...)
	can.places["what commands print"] = out
	can.known["what commands print"] = visible
	var archive bytes.Buffer
	if _, err := admin.Snapshot(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	can.places["an archive"] = unpacked(t, archive.Bytes())
	can.known["an archive"] = visible
	c.Settled()
	live.Until(t, "every node has taken a snapshot of its log", func() bool {
		for _, n := range c.Nodes {
			if found, err := filepath.Glob(filepath.Join(n.Dir, "raft", "snapshots", "*", "*")); err != nil || len(found) == 0 {
				return false
			}
		}
		return true
	})
	can.places["command lines and environments"] = processes()
	can.known["command lines and environments"] = "--secret-file"
	for _, client := range []*rpc.Client{admin, operator} {
		client.Close()
	}
	for _, n := range c.Nodes {
		n.Kill() // as they are, without a last word
	}
	for i, p := range taps {
		place := fmt.Sprintf("what was heard in front of node n%d", i+1)
		can.places[place] = p.all()
		can.known[place] = rpc.ProtocolRPC // ALPN, which comes before there are keys
	}
	for _, n := range c.Nodes {
		c.files(t, can, n)
		can.known[n.Name+"/raft/raft.db"] = visible
		can.known[n.Name+"/data/tenants/acme/clients/imported.json"] = visible
		log, err := os.ReadFile(n.Log)
		if err != nil {
			t.Fatal(err)
		}
		can.places["the log of node "+n.Name] = log
		can.known["the log of node "+n.Name] = "level=DEBUG"
	}
	can.search(t)
	if len(can.secrets) < 40 || len(can.places) < 40 {
		t.Errorf("%d secrets were looked for in %d places", len(can.secrets), len(can.places))
	}
	total := 0
	for _, b := range can.places {
		total += len(b)
	}
	t.Logf("%d secrets, in all spellings, in %d places of %d KiB", len(can.secrets), len(can.places), total>>10)

	// And the same search finds each of them, if it is there.
	for name, secret := range can.secrets {
		for _, s := range secret {
			if !holds(append([]byte("x"), append(s, 'x')...), secret) {
				t.Errorf("%s would not be found", name)
			}
		}
	}
}

// foundTapped makes three nodes that reach each other through somebody who
// listens, and that joined over the network, the cluster key with them.
func foundTapped(t *testing.T) (*city, []*tap) {
	t.Helper()
	c := &city{Cluster: live.New(t), t: t, address: map[string]string{}}
	var taps []*tap
	for i := range 3 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.7:0", 200+i, os.Getpid()%250))
		if err != nil {
			t.Fatal(err)
		}
		listen := ln.Addr().String()
		ln.Close()
		p := newTap(t, listen)
		taps = append(taps, p)
		n := c.Add("--listen", listen, "--advertise", p.address(), "--log-level", "debug", "--snapshot-threshold", "8", "--snapshot-interval", "1s")
		if i == 0 {
			n.Start()
			c.Await(n)
			continue
		}
		file := filepath.Join(c.Dir, n.Name+".token")
		c.Must(c.Nodes[0].Server(), "token", "create", "--role", "node", "--name", n.Name, "--out", file)
		n.Flags = append(n.Flags, "--join", taps[0].address(), "--token-file", file)
		n.Start()
		c.Await(n)
	}
	c.Voting()
	c.learn()
	for _, slug := range []string{"acme", "globex"} {
		c.Must(c.Servers(0), "tenant", "create", slug)
	}
	return c, taps
}

// enrol gives somebody a certificate for a token; both hold secrets.
func (c *city) enrol(t *testing.T, can *canaries, role access.Role, name string) pki.Credentials {
	t.Helper()
	token := c.token(t, role, name)
	can.add(t, "the token of "+name, token.Secret[:])
	can.add(t, "the token of "+name+" as text", bytes.TrimSpace(token.Encode()))
	csr, key, err := pki.NewCSR(name)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(keyPEM)
	can.addKey(t, "the key of "+name, block.Bytes)
	e, err := rpc.Enrol(t.Context(), []string{c.at(0)}, token, rpc.EnrolArgs{CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	return pki.Credentials{CertPEM: e.CertPEM, KeyPEM: keyPEM, CAPEM: e.CAPEM}
}

// export takes note of the active key of a tenant, as its private JWK has it.
func (c *city) export(t *testing.T, can *canaries, tenant, alg string) {
	t.Helper()
	local := rpc.NewClient(rpc.Options{Servers: []string{c.Nodes[0].Server()}})
	defer local.Close()
	e, err := local.Export(t.Context(), rpc.ExportArgs{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	var jwk map[string]any
	if err := json.Unmarshal(e.Key, &jwk); err != nil || jwk["alg"] != alg {
		t.Fatalf("the key of %s is for %v, want %s: %v", tenant, jwk["alg"], alg, err)
	}
	for _, member := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		if text, ok := jwk[member].(string); ok {
			raw, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			can.add(t, fmt.Sprintf("%s of an %s key of %s", member, alg, tenant), raw)
		} else if member == "d" {
			t.Fatalf("the %s key of %s has no private part", alg, tenant)
		}
	}
}

// clusterKeys takes note of what a node keeps in files of its own.
func (c *city) clusterKeys(t *testing.T, can *canaries, n *live.Node, when string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(n.Dir, "cluster.key"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := pki.ParseKeyring(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ring.Keys() {
		can.add(t, "the cluster key "+k.ID(), k[:])
	}
	b, err = os.ReadFile(filepath.Join(n.Dir, "tls", "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("node %s has no key", n.Name)
	}
	can.addKey(t, "the key of node "+n.Name+" "+when, block.Bytes)
}

// files are those of a node but the two that are secret as a whole.
func (c *city) files(t *testing.T, can *canaries, n *live.Node) {
	t.Helper()
	secret := []string{"cluster.key", filepath.Join("tls", "node.key")}
	err := filepath.WalkDir(n.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(n.Dir, path)
		if err != nil || slices.Contains(secret, name) {
			return err
		}
		b, err := os.ReadFile(path)
		can.places[n.Name+"/"+filepath.ToSlash(name)] = unpacked(t, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// watchProcesses collects the command lines and environments of all processes of
// cpctl, until it is asked for them.
func watchProcesses(t *testing.T) func() []byte {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan []byte, 1)
	go func() {
		seen := map[string]bool{}
		var all []byte
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			found, _ := filepath.Glob("/proc/[0-9]*")
			for _, dir := range found {
				if exe, err := os.Readlink(dir + "/exe"); err != nil || exe != live.Self() {
					continue
				}
				for _, file := range []string{"cmdline", "environ"} {
					b, _ := os.ReadFile(dir + "/" + file)
					if !seen[string(b)] {
						seen[string(b)] = true
						all = append(append(all, b...), '\n')
					}
				}
			}
			select {
			case <-ctx.Done():
				tick.Stop()
				done <- all
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(stop)
	return func() []byte { stop(); return <-done }
}

package attacks

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/test/live"
)

// city is a cluster with people who hold certificates of it.
type city struct {
	*live.Cluster
	t       *testing.T
	ca      *pki.Authority
	key     pki.ClusterKey
	caKey   []byte // PKCS#8
	id      string // of the cluster
	address map[string]string
	clients []*rpc.Client
	people  map[string]pki.Credentials // role/name: the last certificate
}

// found makes a cluster of n nodes, with the tenants acme and globex. The test
// signs certificates itself: it may read the first node's files, which an
// attacker may not.
func found(t *testing.T, n int, flags ...string) *city {
	t.Helper()
	c := &city{Cluster: live.Found(t, n, flags...), t: t, address: map[string]string{}}
	c.learn()
	for _, slug := range []string{"acme", "globex"} {
		c.Must(c.Servers(0), "tenant", "create", slug)
		c.Must(c.Servers(0), "key", "rotate", "-t", slug, "--alg", "EdDSA")
	}
	return c
}

// learn opens the cluster's authority with the file cluster.key of a node.
func (c *city) learn() {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.Nodes[0].Dir, "cluster.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.key, err = pki.ParseClusterKey(b); err != nil {
		c.t.Fatal(err)
	}
	var archive bytes.Buffer
	admin := rpc.NewClient(rpc.Options{Servers: []string{c.Nodes[0].Server()}})
	defer admin.Close()
	if _, err := admin.Snapshot(c.t.Context(), &archive); err != nil {
		c.t.Fatal(err)
	}
	contents, err := snapshot.Read(&archive, snapshot.Limits{})
	if err != nil {
		c.t.Fatal(err)
	}
	var f mutation.Found
	if !contents.Image.System(applier.ClusterPath, &f) {
		c.t.Fatal("the archive does not say who the cluster is")
	}
	if c.caKey, err = c.key.Open(f.CAKey, "cpctl ca private key", f.ClusterID); err != nil {
		c.t.Fatal(err)
	}
	if c.ca, err = pki.LoadAuthority([]byte(f.CA), c.caKey); err != nil {
		c.t.Fatal(err)
	}
	c.id = f.ClusterID
	for _, m := range c.Status().Nodes {
		c.address[m.Name] = m.Address
	}
}

// at is the port of the nth node.
func (c *city) at(n int) string { return c.address[c.Nodes[n].Name] }

// person lets somebody in with a token, as an administrator at the socket does.
// Asked for once more, it is their next certificate.
func (c *city) person(role access.Role, name, tenant string) pki.Credentials {
	c.t.Helper()
	if tenant != "" {
		name += "-of-" + tenant // names are taken once in a role
	}
	who := string(role) + "/" + name
	csr, key, err := pki.NewCSR(name)
	if err != nil {
		c.t.Fatal(err)
	}
	var e *rpc.Enrolment
	if known, ok := c.people[who]; ok {
		client := rpc.NewClient(rpc.Options{Servers: []string{c.at(0)}, Credentials: &known})
		defer client.Close()
		e, err = client.Renew(c.t.Context(), csr)
	} else {
		args := []string{"token", "create", "--role", string(role), "--name", name}
		if tenant != "" {
			args = append(args, "--tenant", tenant)
		}
		var token pki.Token
		if token, err = pki.ParseToken(c.Must(c.Nodes[0].Server(), args...).Stdout); err == nil {
			e, err = rpc.Enrol(c.t.Context(), []string{c.at(0)}, token, rpc.EnrolArgs{CSR: csr})
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(key)
	if err != nil {
		c.t.Fatal(err)
	}
	cred := pki.Credentials{CertPEM: e.CertPEM, KeyPEM: keyPEM, CAPEM: e.CAPEM}
	if c.people == nil {
		c.people = map[string]pki.Credentials{}
	}
	c.people[who] = cred
	return cred
}

// certify signs a certificate of one hour from a moment on.
func certify(t *testing.T, ca *pki.Authority, id pki.Identity, from time.Time) pki.Credentials {
	t.Helper()
	csr, key, err := pki.NewCSR(id.Name)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := ca.Sign(csr, id, time.Hour, from)
	if err != nil {
		t.Fatal(err)
	}
	return pki.Credentials{CertPEM: cert, KeyPEM: keyPEM, CAPEM: ca.CertPEM()}
}

// client is somebody's at the ports of the nodes, the nth first.
func (c *city) client(who pki.Credentials, n int) *rpc.Client {
	servers := []string{}
	for i := range c.Nodes {
		servers = append(servers, c.at((n+i)%len(c.Nodes)))
	}
	client := rpc.NewClient(rpc.Options{Servers: servers, Credentials: &who})
	c.clients = append(c.clients, client)
	c.t.Cleanup(func() { client.Close() })
	return client
}

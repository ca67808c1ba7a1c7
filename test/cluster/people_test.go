package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

type certificates struct {
	Items []rpc.CertInfo `json:"items"`
}

// certs are the certificates of a node, the newest last.
func (c *cluster) certs(name string) (out []rpc.CertInfo) {
	c.t.Helper()
	for _, i := range live.Decode[certificates](c.t, c.Must(c.Servers(0), "cert", "list", "-o", "json")).Items {
		if i.Name == name {
			out = append(out, i)
		}
	}
	return out
}

func (c *cluster) address(n *live.Node) string {
	c.t.Helper()
	for _, m := range c.Status().Nodes {
		if m.Name == n.Name {
			return m.Address
		}
	}
	c.t.Fatalf("%s is no member", n.Name)
	return ""
}

// login makes a person of a token, as the holder of the certificate.
func (c *cluster) login(role, name string) *pki.Credentials {
	c.t.Helper()
	return c.loginWith(c.token(role, name), name)
}

func (c *cluster) token(role, name string) pki.Token {
	c.t.Helper()
	r := c.Must(c.Servers(0), "token", "create", "--role", role, "--name", name)
	token, err := pki.ParseToken([]byte(strings.TrimSpace(string(r.Stdout))))
	if err != nil {
		c.t.Fatalf("%v\n%s", err, r.Stdout)
	}
	return token
}

func (c *cluster) loginWith(token pki.Token, name string) *pki.Credentials {
	c.t.Helper()
	own, err := c.tryLogin(token, name)
	if err != nil {
		c.t.Fatal(err)
	}
	return own
}

func (c *cluster) tryLogin(token pki.Token, name string) (*pki.Credentials, error) {
	c.t.Helper()
	csr, signer, err := pki.NewCSR(name)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	e, err := rpc.Enrol(ctx, []string{c.address(c.Leader())}, token, rpc.EnrolArgs{CSR: csr})
	if err != nil {
		return nil, err
	}
	key, err := pki.EncodeKeyPEM(signer)
	return &pki.Credentials{CertPEM: e.CertPEM, KeyPEM: key, CAPEM: e.CAPEM}, err
}

// as is a client with a certificate, to one node.
func (c *cluster) client(own *pki.Credentials, n *live.Node) *rpc.Client {
	c.t.Helper()
	client := rpc.NewClient(rpc.Options{Servers: []string{c.address(n)}, Credentials: own})
	c.t.Cleanup(func() { client.Close() })
	return client
}

// open is an idle connection of somebody to a node.
func (c *cluster) open(own *pki.Credentials, n *live.Node, protocol string) *tls.Conn {
	c.t.Helper()
	id, err := own.Identity()
	if err != nil {
		c.t.Fatal(err)
	}
	cfg, err := pki.ClientTLS(*own, id.ClusterID, id.Generation, nil, protocol, "")
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", c.address(n), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(100 * time.Millisecond)) // the server judges after the handshake
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("a connection of %s does not stay open: %v", id, err)
	}
	return conn
}

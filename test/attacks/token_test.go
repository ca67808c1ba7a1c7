package attacks

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"

	"crypto/tls"
)

// token makes one, as an administrator does.
func (c *city) token(t *testing.T, role access.Role, name string, more ...string) pki.Token {
	t.Helper()
	r := c.Must(c.Servers(0), append([]string{"token", "create", "--role", string(role), "--name", name}, more...)...)
	token, err := pki.ParseToken([]byte(strings.TrimSpace(string(r.Stdout))))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A token that was used, by whomever, lets nobody else in; neither does one that
// was altered, or that is for somebody else.
func TestATokenIsNotReplayed(t *testing.T) {
	t.Parallel()
	c := found(t, 2)
	b := c.write(t)
	servers := []string{c.at(0), c.at(1)}
	csr := func() []byte {
		b, _, err := pki.NewCSR("x")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ana := csr()
	token := c.token(t, access.Operator, "ana")
	first, err := rpc.Enrol(t.Context(), servers, token, rpc.EnrolArgs{CSR: ana})
	if err != nil {
		t.Fatal(err)
	}
	if len(first.ClusterKey) != 0 {
		t.Error("a person was given the cluster key")
	}
	again, err := rpc.Enrol(t.Context(), servers, token, rpc.EnrolArgs{CSR: ana})
	if err != nil || string(again.CertPEM) != string(first.CertPEM) {
		t.Errorf("the same request again, as after a lost answer: %v", err)
	}
	altered, forged, elsewhere := token, c.token(t, access.Operator, "bob"), token
	altered.Secret[0] ^= 1
	forged.ID = token.ID
	elsewhere.CA[0] ^= 1
	open := c.token(t, access.Operator, "carl")
	for name, try := range map[string]struct {
		token pki.Token
		req   rpc.EnrolArgs
	}{
		"the same token for another key":          {token, rpc.EnrolArgs{CSR: csr()}},
		"with another secret":                     {altered, rpc.EnrolArgs{CSR: csr()}},
		"with the secret of another":              {forged, rpc.EnrolArgs{CSR: csr()}},
		"of another authority":                    {elsewhere, rpc.EnrolArgs{CSR: csr()}},
		"a person's token for a node":             {open, rpc.EnrolArgs{CSR: csr(), NodeID: "4e1b6a52-5a39-4d34-9c5e-0b8b2d1f0a11", Name: "carl", Voter: true}},
		"a node's token with a node's id as path": {c.token(t, access.Node, "n9"), rpc.EnrolArgs{CSR: csr(), NodeID: "../../n1", Name: "n9"}},
		"a node's token for a person":             {c.token(t, access.Node, "n8"), rpc.EnrolArgs{CSR: csr()}},
	} {
		if e, err := rpc.Enrol(t.Context(), servers, try.token, try.req); !errors.Is(err, store.ErrDenied) && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
	c.Must(c.Servers(0), "token", "revoke", "--yes", open.ID)
	if _, err := rpc.Enrol(t.Context(), servers, open, rpc.EnrolArgs{CSR: csr()}); !errors.Is(err, store.ErrDenied) {
		t.Errorf("a token that was revoked: %v", err)
	}
	b.goesOn(t, 5)
}

// Newcomers that say nothing, little at a time, or too much are let go of, and
// keep no other newcomer out.
func TestNewcomersThatAreSlowOrMany(t *testing.T) {
	t.Parallel()
	c := found(t, 1)
	b := c.write(t)
	before := loadOf(t, c.Nodes[0])
	token := c.token(t, access.Reader, "ci")
	enter := func() net.Conn {
		conn, err := tls.Dial("tcp", c.at(0), pki.NewcomerTLS(token.CA, rpc.ProtocolEnrol))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	gib := enter()
	gib.Write([]byte{0x40, 0, 0, 0, '{'})
	wantEnd(t, "a newcomer's request of 1 GiB", gib, 4*time.Second)
	slow := enter()
	gone := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for _, says := range append([]byte{0, 0, 4, 0}, make([]byte, 1024)...) {
			if _, err := slow.Write([]byte{says}); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-gone:
				return
			}
		}
	}()
	var idle []net.Conn
	for range 500 {
		idle = append(idle, enter())
	}
	csr, _, err := pki.NewCSR("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Enrol(t.Context(), []string{c.at(0)}, token, rpc.EnrolArgs{CSR: csr}); err != nil {
		t.Errorf("an honest newcomer among them: %v", err)
	}
	wantEnd(t, "a newcomer that sends a byte a second", slow, 10*time.Second)
	close(gone)
	b.goesOn(t, 5)
	for _, conn := range idle {
		wantEnd(t, "a newcomer that says nothing", conn, 10*time.Second)
		conn.Close()
	}
	settles(t, c.Nodes[0], before)
	wantBounded(t, c.Nodes[0], before, 64)
	c.nothingLeft(t, b, before)
}

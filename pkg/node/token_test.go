package node

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// makeToken has the leader take a token that is good for an hour.
func (c *trio) makeToken(role access.Role, name, tenant string) pki.Token {
	c.t.Helper()
	t, err := pki.NewToken()
	if err != nil {
		c.t.Fatal(err)
	}
	a, err := c.leader().CreateToken(c.soon(), TokenRequest{ID: t.ID, Hash: t.Hash(), Role: string(role), Name: name, Tenant: tenant, TTL: store.Duration(time.Hour)}, access.Local("0"))
	if err != nil {
		c.t.Fatal(err)
	}
	if t.CA, err = pki.Fingerprint([]byte(a.CA)); err != nil {
		c.t.Fatal(err)
	}
	return t
}

func (c *trio) soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c.t.Cleanup(cancel)
	return ctx
}

// show is what the holder of a token asks for; a node has an id.
func show(t *testing.T, token pki.Token, nodeID, name string) EnrolRequest {
	t.Helper()
	csr, _, err := pki.NewCSR(name)
	if err != nil {
		t.Fatal(err)
	}
	return EnrolRequest{NodeID: nodeID, Name: name, CSR: csr, Voter: nodeID != "", Token: token.ID, Secret: token.Secret[:]}
}

func (c *trio) use(req EnrolRequest) (*Enrolment, error) {
	return c.leader().Enrol(c.soon(), req, access.Newcomer(req.Token, "10.0.0.9:4711"))
}

func TestATokenLetsOneNewcomerIn(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))

	token := c.makeToken(access.Operator, "ana", "acme")
	req := show(t, token, "", "")
	e, err := c.use(req)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := pki.CheckEnrolment(token.CA, req.CSR, e.CertPEM, e.CAPEM); err != nil || id.String() != "operator/ana@acme" || id.ClusterID != c.leader().ClusterID() || id.Generation != e.Generation {
		t.Errorf("the certificate is of %s, %v", id, err)
	}
	if e.ClusterKey != nil {
		t.Error("a person got the cluster key")
	}
	again, err := c.use(req)
	if err != nil || !bytes.Equal(again.CertPEM, e.CertPEM) {
		t.Errorf("asked again: another certificate, %v", err)
	}
	for _, name := range []string{"ana", ""} {
		if _, err := c.use(show(t, token, "", name)); !errors.Is(err, store.ErrDenied) || !strings.Contains(err.Error(), "was used already") {
			t.Errorf("another key: %v", err)
		}
	}

	token = c.makeToken(access.Node, "n2", "")
	req = show(t, token, uuid.NewString(), "n2")
	if e, err = c.use(req); err != nil {
		t.Fatal(err)
	}
	if id, err := pki.CheckEnrolment(token.CA, req.CSR, e.CertPEM, e.CAPEM); err != nil || id.String() != "node/n2" || id.NodeID != req.NodeID {
		t.Errorf("the certificate is of %s, %v", id, err)
	}
	if !bytes.Equal(e.ClusterKey, c.leader().ring().Encode()) {
		t.Error("a node did not get the cluster key")
	}
	if _, ok := c.leader().records()[""]; ok || len(c.leader().records()) != 2 {
		t.Errorf("a person is among the nodes: %v", c.leader().records())
	}

	// A node that was removed does not get the cluster key once more.
	if _, err := c.leader().Remove(c.soon(), RemoveRequest{Name: "n2"}, access.Local("0")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.use(req); !errors.Is(err, store.ErrDenied) || !strings.Contains(err.Error(), "is no longer good") {
		t.Errorf("a removed node asks again: %v", err)
	}
}

func TestATokenThatIsNotGoodIsRefused(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	newcomer := func(t *testing.T, token pki.Token) EnrolRequest { return show(t, token, "", "") }
	for _, tt := range []struct {
		fact string
		req  func(t *testing.T) EnrolRequest
		code store.Code
		says string
		hint string
	}{
		{"an unknown token", func(t *testing.T) EnrolRequest {
			token, err := pki.NewToken()
			if err != nil {
				t.Fatal(err)
			}
			return newcomer(t, token)
		}, store.CodeDenied, "is not known to this cluster", "cpctl token create"},
		{"another secret", func(t *testing.T) EnrolRequest {
			token := c.makeToken(access.Operator, "bea", "")
			token.Secret[0] ^= 1
			return newcomer(t, token)
		}, store.CodeDenied, "is not known to this cluster", ""},
		{"no secret", func(t *testing.T) EnrolRequest {
			req := newcomer(t, c.makeToken(access.Operator, "bea", ""))
			req.Secret = nil
			return req
		}, store.CodeDenied, "is not known to this cluster", ""},
		{"the hash as the secret", func(t *testing.T) EnrolRequest {
			token := c.makeToken(access.Operator, "bea", "")
			req := newcomer(t, token)
			req.Secret = []byte(token.Hash())
			return req
		}, store.CodeDenied, "is not known to this cluster", ""},
		{"a path for an id", func(t *testing.T) EnrolRequest {
			req := newcomer(t, c.makeToken(access.Operator, "bea", ""))
			req.Token = "../certs/1"
			return req
		}, store.CodeDenied, "is not known to this cluster", ""},
		{"a revoked token", func(t *testing.T) EnrolRequest {
			token := c.makeToken(access.Operator, "bea", "")
			if _, err := c.leader().RevokeToken(c.soon(), token.ID, access.Local("0")); err != nil {
				t.Fatal(err)
			}
			return newcomer(t, token)
		}, store.CodeDenied, "was revoked at", "make another"},
		{"a node with a person's token", func(t *testing.T) EnrolRequest {
			return show(t, c.makeToken(access.Operator, "bea", ""), uuid.NewString(), "n7")
		}, store.CodeDenied, `is for the operator "bea", and no node joins with it`, "--role node --name n7"},
		{"a person with a node's token", func(t *testing.T) EnrolRequest {
			return show(t, c.makeToken(access.Node, "n7", ""), "", "")
		}, store.CodeDenied, `is for the node "n7", and nobody logs in with it`, "cpctl node --name n7"},
		{"a node of another name", func(t *testing.T) EnrolRequest {
			return show(t, c.makeToken(access.Node, "n7", ""), uuid.NewString(), "n8")
		}, store.CodeDenied, `is for a node named "n7", not "n8"`, "--name n7"},
		{"a node whose id is none", func(t *testing.T) EnrolRequest {
			return show(t, c.makeToken(access.Node, "n7", ""), "n1@10.0.0.1:7700", "n7")
		}, store.CodeInvalid, "cannot be the id of a node", ""},
		{"the id of another node", func(t *testing.T) EnrolRequest {
			return show(t, c.makeToken(access.Node, "n7", ""), c.leader().ID(), "n7")
		}, store.CodeExists, `is taken by node "n1"`, "empty data directory"},
		{"a name that was taken since", func(t *testing.T) EnrolRequest {
			first, second := c.makeToken(access.Reader, "ci", ""), c.makeToken(access.Reader, "ci", "")
			if _, err := c.use(newcomer(t, first)); err != nil {
				t.Fatal(err)
			}
			return newcomer(t, second)
		}, store.CodeExists, `the name "ci" is taken`, "cpctl cert revoke"},
		{"a request that proves nothing", func(t *testing.T) EnrolRequest {
			req := newcomer(t, c.makeToken(access.Operator, "bea", ""))
			req.CSR[len(req.CSR)-1] ^= 1
			return req
		}, store.CodeInvalid, "certificate request", ""},
		{"no token at all", func(t *testing.T) EnrolRequest {
			req := newcomer(t, pki.Token{})
			req.Token = ""
			return req
		}, store.CodeDenied, "may not admit", ""},
		{"an expired token", func(t *testing.T) EnrolRequest {
			token := c.makeToken(access.Operator, "bea", "")
			c.clock.Add(int64(time.Hour))
			return newcomer(t, token)
		}, store.CodeDenied, "expired at", "make another"},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			req := tt.req(t)
			before := c.leader().Image()
			_, err := c.use(req)
			var refusal *store.Error
			if !errors.As(err, &refusal) || refusal.Code != tt.code || !strings.Contains(refusal.Message, tt.says) || !strings.Contains(refusal.Hint, tt.hint) {
				t.Fatalf("%#v, want %s that says %q and %q", err, tt.code, tt.says, tt.hint)
			}
			if after := c.leader().Image(); after.StateDigest() != before.StateDigest() {
				t.Error("it left a trace")
			}
		})
	}
}

func TestOnlyAdministratorsMakeTokens(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	token, err := pki.NewToken()
	if err != nil {
		t.Fatal(err)
	}
	good := TokenRequest{ID: token.ID, Hash: token.Hash(), Role: "operator", Name: "ana", TTL: store.Duration(time.Hour)}
	for _, who := range []access.Actor{{Role: access.Operator, Name: "ana"}, {Role: access.Reader, Name: "ci"}, {Role: access.Node, Name: "n1"}, access.Newcomer(token.ID, ""), {}} {
		if _, err := c.leader().CreateToken(c.soon(), good, who); !errors.Is(err, store.ErrDenied) {
			t.Errorf("%s makes a token: %v", who, err)
		}
		if _, err := c.leader().RevokeToken(c.soon(), token.ID, who); !errors.Is(err, store.ErrDenied) {
			t.Errorf("%s revokes a token: %v", who, err)
		}
	}
	first, err := c.leader().CreateToken(c.soon(), good, access.Local("0"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.leader().CreateToken(c.soon(), good, access.Local("0"))
	if err != nil || again.Record != first.Record || again.Record.CreatedBy != "unix/0" {
		t.Errorf("made again it is %+v, was %+v, %v", again, first, err)
	}
	for fact, edit := range map[string]func(*TokenRequest){
		"no id":               func(r *TokenRequest) { r.ID = "" },
		"a path for an id":    func(r *TokenRequest) { r.ID = "../certs/0" },
		"no hash":             func(r *TokenRequest) { r.Hash = "" },
		"a hash in capitals":  func(r *TokenRequest) { r.Hash = strings.Repeat("AB", 32) },
		"no role":             func(r *TokenRequest) { r.Role = "" },
		"a role that is none": func(r *TokenRequest) { r.Role = "owner" },
		"a token's own role":  func(r *TokenRequest) { r.Role = "token" },
		"no name":             func(r *TokenRequest) { r.Name = "" },
		"a name with a slash": func(r *TokenRequest) { r.Name = "a/b" },
		"a name as bound":     func(r *TokenRequest) { r.Name = "ana@acme" },
		"a long name":         func(r *TokenRequest) { r.Name = strings.Repeat("a", 65) },
		"a bound admin":       func(r *TokenRequest) { r.Role, r.Tenant = "admin", "acme" },
		"a bound node":        func(r *TokenRequest) { r.Role, r.Tenant = "node", "acme" },
		"no time":             func(r *TokenRequest) { r.TTL = 0 },
		"less than no time":   func(r *TokenRequest) { r.TTL = -1 },
		"more than a week":    func(r *TokenRequest) { r.TTL = store.Duration(maxTokenLife) + 1 },
	} {
		req := good
		edit(&req)
		if _, err := c.leader().CreateToken(c.soon(), req, access.Local("0")); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", fact, err)
		}
	}
	bound := good
	bound.ID, bound.Name, bound.Tenant = "00112233445566ff", "bob", "nobody"
	if _, err := c.leader().CreateToken(c.soon(), bound, access.Local("0")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("bound to no tenant there is: %v", err)
	}
	if _, err := c.leader().RevokeToken(c.soon(), "no id", access.Local("0")); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no id is revoked: %v", err)
	}
}

// TestTheSecretOfATokenIsNowhere: used or not, the directory of a node holds
// nothing of it.
func TestTheSecretOfATokenIsNowhere(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	used, open := c.makeToken(access.Operator, "ana", ""), c.makeToken(access.Operator, "bob", "")
	if _, err := c.use(show(t, used, "", "")); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(c.dirs["n1"], func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, token := range []pki.Token{used, open} {
			text := strings.Split(string(token.Encode()), ":")[2]
			if bytes.Contains(b, token.Secret[:]) || bytes.Contains(b, []byte(text)) {
				t.Errorf("the secret of a token is in %s", path)
			}
			if filepath.Base(path) == "raft.db" && !bytes.Contains(b, []byte(token.Hash())) {
				t.Errorf("not even the hash is in %s", path)
			}
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
}

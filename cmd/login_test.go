package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/config"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// lodge is a world with a cluster that answers one token, as package node does:
// again for the same key, and never for another.
type lodge struct {
	*world
	t     *testing.T
	ca    issuer
	token pki.Token
	file  string // of the token
	as    pki.Identity
	asked [][]byte // certificate requests
	used  []byte
	lose  bool // the next answer
}

func newLodge(t *testing.T, contexts ...config.Context) *lodge {
	l := &lodge{world: newWorld().at(t, contexts...), t: t, ca: newIssuer(t), as: ana()}
	var err error
	if l.token, err = pki.NewToken(); err != nil {
		t.Fatal(err)
	}
	if l.token.CA, err = pki.Fingerprint(l.ca.CertPEM()); err != nil {
		t.Fatal(err)
	}
	l.file = l.world.file(t, "ana.token", string(l.token.Encode()))
	l.enrol = l.answer
	return l
}

func (l *lodge) answer(_ context.Context, servers []string, token pki.Token, req rpc.EnrolArgs) (*rpc.Enrolment, error) {
	if token != l.token || strings.Join(servers, ",") != "h:1,h:2" {
		l.t.Errorf("asked %v", servers)
	}
	l.asked = append(l.asked, req.CSR)
	key, err := pki.CSRKey(req.CSR)
	if err != nil {
		l.t.Fatal(err)
	}
	if l.used != nil && string(l.used) != key {
		return nil, store.Errorf(store.CodeDenied, "token %s was used already", token.ID)
	}
	l.used = []byte(key)
	if l.lose {
		l.lose = false
		return nil, store.Errorf(store.CodeUnavailable, "cannot connect to h:1")
	}
	return l.ca.sign(req.CSR, l.as, noon, quarter), nil
}

func (l *lodge) login(more ...string) result {
	return l.run(append([]string{"login", "h:1,h:2", "--token-file", l.file, "--name", "prod"}, more...)...)
}

// leftovers are the files beside that of the contexts.
func (l *lodge) leftovers() (names []string) {
	entries, _ := os.ReadDir(filepath.Dir(l.config()))
	for _, e := range entries {
		if e.Name() != "config.yaml" && e.Name() != "config.yaml.lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestLoginMakesTheCurrentContext(t *testing.T) {
	l := newLodge(t, config.Context{Name: "other"})
	l.as.Tenant = "acme"
	l.login().want(t, 0, "logged in as operator/ana@acme, cluster c-1, until 2026-05-12T00:00:00Z\n",
		"context \"prod\" is the current one, in "+l.config()+"\n")
	f := l.kept(t)
	c := f.Find("prod")
	if f.Current != "prod" || c == nil || f.Find("other") == nil || strings.Join(c.Servers, ",") != "h:1,h:2" || c.Tenant != "acme" {
		t.Fatalf("kept: current %s, %+v", f.Current, c)
	}
	own := pki.Credentials{CAPEM: []byte(c.CA), CertPEM: []byte(c.Certificate), KeyPEM: []byte(c.Key)}
	if id, _, err := own.Check(); err != nil || id.String() != "operator/ana@acme" {
		t.Errorf("its credentials: %v, %v", id, err)
	}
	if left := l.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if bytes.Contains(l.asked[0], []byte("PRIVATE")) || l.docs == nil {
		t.Error("the key went along")
	}

	l = newLodge(t)
	l.stdin, l.file = string(l.token.Encode()), "-"
	r := l.login("-o", "json", "-t", "globex")
	var doc struct {
		Kind, Name, Tenant string
		Current            bool
		Identity           struct {
			Role, Name string
			NotAfter   string `json:"not_after"`
		}
	}
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil || doc.Kind != "context" || doc.Name != "prod" || !doc.Current ||
		doc.Tenant != "globex" || doc.Identity.Name != "ana" || strings.Contains(r.out, "KEY") {
		t.Errorf("exit %d, %v, %s%s", r.code, err, r.out, r.err)
	}
	l.env["CPCTL_SERVER"], l.env["CPCTL_CONTEXT"] = "unix:/s", "other"
	fresh := newLodge(t)
	fresh.env["CPCTL_SERVER"], fresh.env["CPCTL_CONTEXT"] = "unix:/s", "other"
	if r := fresh.login(); r.code != 0 || !strings.HasSuffix(r.err, "CPCTL_SERVER is set, and goes before it\nCPCTL_CONTEXT is set, and goes before it\n") {
		t.Errorf("what goes before the new context: exit %d, %s", r.code, r.err)
	}
	if r := l.login("--replace"); r.code != 7 { // the token was used with a key that is gone
		t.Errorf("a token that was used: exit %d, %s", r.code, r.err)
	}
}

func TestLoginTouchesNoContextThatIsThere(t *testing.T) {
	l := newLodge(t)
	old := l.ca.issue("prod", ana(), noon, quarter)
	l.world.at(t, old)
	l.file = l.world.file(t, "ana.token", string(l.token.Encode()))
	l.login().want(t, 4, "", "cpctl: context \"prod\" already exists\n  choose another --name, or pass --replace to log in anew in its place\n")
	if len(l.asked) > 0 || len(l.leftovers()) > 0 {
		t.Errorf("the token was used up for nothing; left behind: %v", l.leftovers())
	}
	if l.kept(t).Find("prod").Key != old.Key {
		t.Error("the context is another one")
	}
	if r := l.login("--replace"); r.code != 0 || l.kept(t).Find("prod").Key == old.Key || !strings.Contains(r.err, "cpctl cert revoke "+contextHolder(&old).Serial+"\n") {
		t.Errorf("with --replace: exit %d, %s", r.code, r.err)
	}
}

func TestALostAnswerDoesNotCostTheToken(t *testing.T) {
	l := newLodge(t)
	l.lose = true
	r := l.login()
	if r.code != 10 || !strings.Contains(r.err, "the token is not lost: the same command again goes on where this one ended") {
		t.Fatalf("exit %d, %s", r.code, r.err)
	}
	if left := l.leftovers(); len(left) != 1 || left[0] != "config.yaml.login-"+l.token.ID {
		t.Fatalf("kept for another attempt: %v", left)
	}
	if r := l.login(); r.code != 0 || !bytes.Equal(l.asked[0], l.asked[1]) {
		t.Fatalf("again: exit %d, %s", r.code, r.err)
	}
	if left := l.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	// Nor does a process that was killed between the two, or at the very end.
	l = newLodge(t)
	l.lose = true
	l.login()
	kept, err := os.ReadFile(config.PendingFile(l.config(), l.token.ID))
	if err != nil {
		t.Fatal(err)
	}
	if r := l.login(); r.code != 0 {
		t.Fatalf("exit %d, %s", r.code, r.err)
	}
	if err := os.WriteFile(config.PendingFile(l.config(), l.token.ID), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := l.login(); r.code != 0 || len(l.leftovers()) > 0 {
		t.Errorf("after it had been kept: exit %d, %s, left %v", r.code, r.err, l.leftovers())
	}
	if err := os.WriteFile(config.PendingFile(l.config(), l.token.ID), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := l.login("--name", "more"); r.code != 2 || !strings.Contains(r.err, "is damaged") {
		t.Errorf("a damaged key: exit %d, %s", r.code, r.err)
	}
}

func TestLoginUsesNoTokenUpWhoseAnswerItCannotKeep(t *testing.T) {
	l := newLodge(t)
	blocked := l.world.file(t, "blocked", "")
	if r := l.login("--config", filepath.Join(blocked, "config.yaml")); r.code != 2 || !strings.Contains(r.err, "cannot ") || !strings.Contains(r.err, "--config FILE") {
		t.Errorf("below a file: exit %d, %s", r.code, r.err)
	}
	l.env["HOME"] = ""
	if r := l.login(); r.code != 2 || !strings.Contains(r.err, "set HOME") {
		t.Errorf("nowhere: exit %d, %s", r.code, r.err)
	}
	l.env["XDG_CONFIG_HOME"] = "/proc/self"
	if r := l.login(); r.code != 2 || !strings.Contains(r.err, "/proc/self/cpctl") {
		t.Errorf("where nothing can be made: exit %d, %s", r.code, r.err)
	}
	l.world.at(t, config.Context{Name: "x"})
	if err := os.Chmod(l.config(), 0o640); err != nil {
		t.Fatal(err)
	}
	delete(l.env, "XDG_CONFIG_HOME")
	if r := l.login(); r.code != 8 || !strings.Contains(r.err, "chmod 600") {
		t.Errorf("a file that others can read: exit %d, %s", r.code, r.err)
	}
	if len(l.asked) > 0 {
		t.Error("the token was used up")
	}
}

func TestLoginIsToldWhatItNeeds(t *testing.T) {
	l := newLodge(t)
	for args, want := range map[string]string{
		"login":                                  "missing HOST:PORT",
		"login h:1 --name x":                     "with which token?",
		"login h:1 --token-file " + l.file:       "under which name",
		"login unix:/s --token-file x --name x":  "is a socket, at which nobody logs in",
		"login h --token-file x --name x":        `server "h" is not an address`,
		"login h:1,,h:2 --token-file x --name x": "server has an empty address",
		"login h:1 --token-file x --name a/b":    `"a/b" is no name of a context`,
		"login h:1 --token-file none --name x":   "--token-file none: no such file",
	} {
		if r := l.run(strings.Fields(args)...); r.code != 2 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit %d, %s, want %q", args, r.code, r.err, want)
		}
	}
	if len(l.asked) > 0 {
		t.Error("the token was used up")
	}
}

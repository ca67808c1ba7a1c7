package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// tokenWorld is a cluster that takes tokens.
func tokenWorld(t *testing.T) (*world, [32]byte) {
	t.Helper()
	ca, err := pki.NewAuthority("c1", noon)
	if err != nil {
		t.Fatal(err)
	}
	print, err := pki.Fingerprint(ca.CertPEM())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	w.status = &rpc.ClusterStatus{Nodes: []rpc.NodeStatus{{Name: "n1", Address: "10.0.0.1:7700"}, {Name: "n3", Address: "10.0.0.3:7700"}}}
	made := rpc.Token{ID: "00112233445566ff", Role: "node", Name: "n2", State: "open", ExpiresAt: store.TimeOf(noon.Add(time.Hour)), CreatedAt: store.TimeOf(noon), CreatedBy: "unix/0"}
	used := rpc.Token{ID: "ff112233445566ff", Role: "reader", Name: "ci", Tenant: "acme", State: "used", ExpiresAt: store.TimeOf(noon.Add(-time.Hour)), UsedAt: store.TimeOf(noon.Add(-2 * time.Hour)), Serial: "0a"}
	w.token = &rpc.TokenReply{Token: made, Index: 12, CA: string(ca.CertPEM())}
	w.listed = []rpc.Token{made, used}
	return w, print
}

func TestATokenGoesAloneToStdout(t *testing.T) {
	w, print := tokenWorld(t)
	w.env["CPCTL_TENANT"] = "acme" // not given by the flag: it binds nobody
	r := w.run("token", "create", "--role", "node", "--name", "n2")
	token, err := pki.ParseToken([]byte(r.out))
	if r.code != 0 || err != nil || token.CA != print {
		t.Fatalf("exit %d, %q, %v; %s", r.code, r.out, err, r.err)
	}
	want := rpc.TokenArgs{ID: token.ID, Hash: token.Hash(), Role: "node", Name: "n2", TTL: store.Duration(time.Hour)}
	if len(w.tokens) != 1 || w.tokens[0] != want {
		t.Errorf("asked for %+v, want %+v", w.tokens, want)
	}
	if !strings.Contains(r.err, "good once, until 2026-02-11T01:00:00Z; next, on the new node: cpctl node --name n2 --listen HOST:PORT --join 10.0.0.1:7700,10.0.0.3:7700 --token-file FILE") || strings.Contains(r.err, r.out[30:60]) {
		t.Errorf("says %q", r.err)
	}
	r = w.run("token", "create", "--role", "reader", "--name", "ci", "-t", "acme", "--ttl", "15m", "-o", "json")
	var doc struct{ Kind, ID, State, Token string }
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil || doc.Kind != "token" || doc.State != "open" {
		t.Fatalf("%s, %v", r.out, err)
	}
	if token, err = pki.ParseToken([]byte(doc.Token)); err != nil || w.tokens[1].Tenant != "acme" || w.tokens[1].TTL != store.Duration(15*time.Minute) || w.tokens[1].Hash != token.Hash() {
		t.Errorf("asked for %+v, %v", w.tokens[1], err)
	}
	if !strings.Contains(r.err, "where ci works: cpctl login ") {
		t.Errorf("says %q", r.err)
	}
}

func TestATokenGoesIntoAFileOfItsOwn(t *testing.T) {
	w, print := tokenWorld(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "n2.token")
	r := w.run("token", "create", "--role", "node", "--name", "n2", "--out", file)
	b, err := os.ReadFile(file)
	st, statErr := os.Stat(file)
	if err != nil || statErr != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v, %v", st.Mode(), err, statErr)
	}
	token, err := pki.ParseToken(b)
	if err != nil || token.CA != print {
		t.Fatalf("%q: %v", b, err)
	}
	if r.code != 0 || r.out != "token/"+token.ID+" created, in "+file+"\n" || !strings.Contains(r.err, "--token-file "+file) {
		t.Errorf("exit %d, %q, %q", r.code, r.out, r.err)
	}
	more := filepath.Join(dir, "more.token")
	if r = w.run("token", "create", "--role", "node", "--name", "n2", "--out", more, "-o", "json"); r.code != 0 || strings.Contains(r.out, "cpctl-token") || !strings.Contains(r.out, `"file": "`+more) {
		t.Errorf("exit %d, %s", r.code, r.out)
	}
	w.fail = store.Errorf(store.CodeExists, "taken")
	if r = w.run("token", "create", "--role", "node", "--name", "n2", "--out", filepath.Join(dir, "none.token")); r.code != 4 {
		t.Errorf("exit %d", r.code)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestATokenIsWrittenOverNothing: an unused token in the file would be lost, and
// so would notes. It is found out before one is made.
func TestATokenIsWrittenOverNothing(t *testing.T) {
	w, _ := tokenWorld(t)
	dir := t.TempDir()
	file, link := filepath.Join(dir, "notes.txt"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, []byte("before"), 0o644), os.Symlink("notes.txt", link)); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{file, link} {
		w.run("token", "create", "--role", "node", "--name", "n2", "--out", at).want(t, 4, "",
			"cpctl: "+at+" exists already, and is not written over\n  name another file, or remove it first\n")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "before" || len(w.tokens) > 0 {
		t.Errorf("%q, %v; asked for %v", b, err, w.tokens)
	}
}

func TestATokenIsMadeForSomebody(t *testing.T) {
	for args, says := range map[string]string{
		"--name n2":                        "cpctl: which role?\n",
		"--role node":                      "cpctl: for whom?\n",
		"--role node --name n2 -o name":    "cpctl: -o name shows no token\n",
		"--role node --name n2 --ttl soon": `cpctl: "soon" is no value of --ttl`,
		"--role node --name n2 --out /":    "cpctl: / is a directory\n",
		"n2":                               "cpctl: ",
	} {
		w, _ := tokenWorld(t)
		if r := w.run(append([]string{"token", "create"}, strings.Fields(args)...)...); r.code != 2 || !strings.HasPrefix(r.err, says) || r.out != "" || len(w.tokens) > 0 {
			t.Errorf("%s: exit %d, %q, %q", args, r.code, r.out, r.err)
		}
	}
}

func TestTokensAreListedAndRevoked(t *testing.T) {
	w, _ := tokenWorld(t)
	w.run("token", "list").want(t, 0,
		"ID                 ROLE     NAME   TENANT   STATE   EXPIRES\n"+
			"00112233445566ff   node     n2     -        open    in 1h\n"+
			"ff112233445566ff   reader   ci     acme     used    1h\n", "")
	w.run("tokens", "ls", "-o", "name").want(t, 0, "token/00112233445566ff\ntoken/ff112233445566ff\n", "")
	var l struct {
		Kind  string
		Items []map[string]any
	}
	if r := w.run("token", "list", "-o", "json"); json.Unmarshal([]byte(r.out), &l) != nil || l.Kind != "token_list" || len(l.Items) != 2 ||
		l.Items[1]["state"] != "used" || l.Items[1]["tenant"] != "acme" || l.Items[0]["kind"] != "token" || l.Items[0]["expires_at"] != "2026-02-11T01:00:00Z" || l.Items[0]["used_at"] != nil {
		t.Errorf("listed as %s", r.out)
	}
	w.run("token", "revoke", "00112233445566ff").want(t, 2, "", "cpctl: refusing to revoke token \"00112233445566ff\" without confirmation; pass --yes\n")
	w.token.State = "revoked"
	w.run("token", "revoke", "token/00112233445566ff", "--yes").want(t, 0, "token/00112233445566ff revoked\n", "")
	if len(w.revoked) != 1 || w.revoked[0] != "00112233445566ff" {
		t.Errorf("revoked %v", w.revoked)
	}
}

func TestATokenFileIsNobodyElses(t *testing.T) {
	token, err := pki.NewToken()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, mode os.FileMode, b []byte) string {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(file, b, 0o600), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	env := &Env{In: strings.NewReader(string(token.Encode()))}
	for _, file := range []string{"-", write("good", 0o600, token.Encode()), write("read-only", 0o400, token.Encode())} {
		if got, err := env.readToken(file); err != nil || got != token {
			t.Errorf("%s: %v", file, err)
		}
	}
	altered := token.Encode()
	altered[40] ^= 1
	for _, c := range []struct {
		file       string
		code       store.Code
		says, hint string
	}{
		{write("group", 0o640, token.Encode()), store.CodeRefused, "has mode 0640: others can read the token", "chmod 600 " + dir},
		{write("others", 0o604, token.Encode()), store.CodeRefused, "has mode 0604", "cpctl token revoke"},
		{write("altered", 0o600, altered), store.CodeDenied, "altered: the token is not as it was made", "copy it again"},
		{write("empty", 0o600, nil), store.CodeInvalid, "empty: not a token", "cpctl token create"},
		{write("large", 0o600, make([]byte, 300)), codeUsage, "is larger than 256", ""},
		{filepath.Join(dir, "none"), codeUsage, "no such file", ""},
		{"-", store.CodeInvalid, "stdin: not a token", ""}, // it was read already
	} {
		_, err := env.readToken(c.file)
		var refusal *store.Error
		if !errors.As(err, &refusal) || refusal.Code != c.code || !strings.Contains(refusal.Message, c.says) || !strings.Contains(refusal.Hint, c.hint) {
			t.Errorf("%s: %#v", c.file, err)
		}
	}
}

func TestWhomANodeJoins(t *testing.T) {
	for join, says := range map[string]string{
		"":                                  "",
		"unix:/srv/n1/cpctl.sock":           "",
		"10.0.0.1:7700,[fd00::2]:7700":      "",
		"unix:":                             "is neither HOST:PORT nor unix:PATH",
		"10.0.0.1":                          "is neither",
		":7700":                             "is neither",
		"10.0.0.1:":                         "is neither",
		"10.0.0.1:0":                        "is neither",
		"10.0.0.1:7700,":                    "is neither",
		"/srv/n1/cpctl.sock":                "is neither",
		"unix:/srv/cpctl.sock,10.0.0.1:770": "names sockets and addresses",
	} {
		f := nodeFlags{join: join}
		_, err := f.joining(&Env{}, nil)
		if (err == nil) != (says == "") || err != nil && (exitCode(err) != 2 || !strings.Contains(err.Error(), says)) {
			t.Errorf("--join %q: %v, want %q", join, err, says)
		}
	}
	f := nodeFlags{join: "10.0.0.1:7700"}
	j, err := f.joining(&Env{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Enrol(t.Context(), node.EnrolRequest{}); exitCode(err) != 2 || !strings.Contains(err.Error(), "needs a token") {
		t.Errorf("without a token: %v", err)
	}
}

// TestATokenAloneFoundsNoCluster: whoever forgets --join gets no second cluster,
// and a unit file that lost it still starts its member.
func TestATokenAloneFoundsNoCluster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "n2")
	w := newWorld()
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second) // of a node that does start
	defer stop()
	w.ctx = ctx
	r := w.run("node", "--data-dir", dir, "--listen", "127.0.0.1:0", "--token-file", "n2.token")
	r.want(t, 2, "", "cpctl: --token-file needs --join\n  name members of the cluster: --join HOST:PORT[,HOST:PORT]; to found a new cluster, leave out --token-file\n")
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "node.json"), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	f, env := nodeFlags{tokenFile: "n2.token"}, &Env{}
	env.flags.dataDir = dir
	if j, err := f.joining(env, slog.New(slog.NewTextHandler(&said, nil))); j != nil || err != nil || !strings.Contains(said.String(), "--token-file is ignored") {
		t.Errorf("in the directory of a member: %v, %v, says %q", j, err, &said)
	}
}

package main_test

import (
	"bufio"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cpctl/cpctl/cmd"
)

const patience = time.Minute

// The test's own binary is cpctl when it is called so.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "cpctl" {
		os.Exit(cmd.Main(cmd.System(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// place is a directory with a node, cpctl, and the example beside it.
type place struct {
	t   *testing.T
	dir string
	at  string // URL of the example
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "cpctl-as") // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "cpctl"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return &place{t: t, dir: dir}
}

func (p *place) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(p.dir, name), args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "CPCTL_DATA_DIR="+p.dir+"/n", "CPCTL_TENANT=acme", "CPCTL_TIMEOUT="+patience.String(), "GORACE=atexit_sleep_ms=0")
	return c
}

// cpctl runs a command that succeeds, and returns its stdout.
func (p *place) cpctl(args ...string) string {
	p.t.Helper()
	out, err := p.command("cpctl", args...).Output()
	if err != nil {
		p.t.Fatalf("cpctl %s: %v\n%s", strings.Join(args, " "), err, err.(*exec.ExitError).Stderr)
	}
	return strings.TrimSpace(string(out))
}

// start runs a program until the test ends and returns the rest of the line in
// which it says that it is ready.
func (p *place) start(c *exec.Cmd, output func() (io.ReadCloser, error)) string {
	p.t.Helper()
	out, err := output()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		c.Wait() // its exit code says nothing
	})
	hung := time.AfterFunc(patience, func() { c.Process.Kill() })
	defer hung.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "ready: "); ok {
			go io.Copy(io.Discard, out)
			return rest
		}
	}
	p.t.Fatalf("%s is never ready", c.Args[0])
	return ""
}

// token asks for one and returns the status and the answer.
func (p *place) token(id, secret string) (int, map[string]any) {
	p.t.Helper()
	req, err := http.NewRequest("POST", p.at+"/t/acme/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	status, body := p.do(req)
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		p.t.Fatalf("%d %q: %v", status, body, err)
	}
	return status, answer
}

func (p *place) do(req *http.Request) (int, []byte) {
	p.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, body
}

func (p *place) jwks(tenant string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequest("GET", p.at+"/t/"+tenant+"/jwks.json", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	status, body := p.do(req)
	return status, string(body)
}

// until waits for a condition that the example comes to by itself.
func (p *place) until(what string, holds func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("never: %s", what)
		}
	}
}

// verified checks a token as a relying party does, against the served key set,
// and returns its kid and claims.
func (p *place) verified(token string) (kid string, claims map[string]any) {
	p.t.Helper()
	part := strings.Split(token, ".")
	var header struct{ Alg, Kid string }
	p.decode(part[0], &header)
	p.decode(part[1], &claims)
	_, set := p.jwks("acme")
	var keys struct {
		Keys []struct{ Kid, Alg, N string }
	}
	if err := json.Unmarshal([]byte(set), &keys); err != nil {
		p.t.Fatal(err)
	}
	signature, err := base64.RawURLEncoding.DecodeString(part[2])
	if err != nil {
		p.t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(part[0] + "." + part[1]))
	for _, k := range keys.Keys {
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if k.Kid == header.Kid && err == nil && k.Alg == header.Alg &&
			rsa.VerifyPKCS1v15(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, crypto.SHA256, digest[:], signature) == nil {
			return header.Kid, claims
		}
	}
	p.t.Fatalf("no key of the served set verifies the token of key %s", header.Kid)
	return "", nil
}

func (p *place) decode(s string, v any) {
	p.t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		p.t.Fatalf("%s: %v", s, err)
	}
}

// The example follows what operators do, and is never restarted.
func TestTheExampleFollowsItsNode(t *testing.T) {
	p := newPlace(t)
	if out, err := exec.Command("go", "build", "-o", filepath.Join(p.dir, "authserver"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	node := p.command("cpctl", "node", "--listen", "127.0.0.1:0")
	p.start(node, node.StdoutPipe)
	p.cpctl("tenant", "create", "acme", "--issuer", "https://id.acme.example")
	p.cpctl("client", "create", "batch", "--grant-type", "client_credentials", "--secret-out", "batch.secret")
	p.cpctl("key", "rotate")
	p.cpctl("key", "export", "--out", "acme.jwk")
	b, err := os.ReadFile(filepath.Join(p.dir, "batch.secret"))
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimSpace(string(b))

	example := p.command("authserver", "-data-dir", p.dir+"/n", "-listen", "127.0.0.1:0", "-key", "acme="+p.dir+"/acme.jwk")
	p.at = p.start(example, example.StderrPipe)
	status, answer := p.token("batch", secret)
	if status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	old, _ := answer["access_token"].(string)
	first, claims := p.verified(old)
	if claims["iss"] != "https://id.acme.example" || claims["sub"] != "batch" {
		t.Errorf("the claims are %v", claims)
	}
	for _, bad := range [][2]string{{"batch", secret + "x"}, {"batch", ""}, {"nobody", secret}, {"../batch", secret}} {
		if status, answer := p.token(bad[0], bad[1]); status != 401 || answer["error"] != "invalid_client" {
			t.Errorf("%v gets %d %v", bad, status, answer)
		}
	}
	if status, _ := p.jwks("nobody"); status != 404 {
		t.Errorf("the key set of nobody: %d", status)
	}

	// a rotation: the set is the new one with the answer, tokens wait for the new key
	p.cpctl("key", "rotate")
	if status, set := p.jwks("acme"); status != 200 || set != p.cpctl("key", "jwks")+"\n" {
		t.Errorf("the key set is %d %s", status, set)
	}
	if kid, _ := p.verified(old); kid != first {
		t.Errorf("a token of key %s verifies with %s", first, kid)
	}
	p.until("a key that retires signs no more", func() bool { status, _ := p.token("batch", secret); return status == 503 })
	p.cpctl("key", "export", "--out", "acme.jwk")
	status, answer = p.token("batch", secret)
	if status != 200 {
		t.Fatalf("with the new key: %d %v", status, answer)
	}
	if kid, _ := p.verified(answer["access_token"].(string)); kid == first {
		t.Error("the old key signs on")
	}

	// what operators change is so with their answer
	p.cpctl("client", "update", "batch", "--set", "enabled=false")
	if status, _ := p.token("batch", secret); status != 401 {
		t.Errorf("a disabled client gets %d", status)
	}
	p.cpctl("client", "update", "batch", "--set", "enabled=true")
	p.cpctl("tenant", "update", "acme", "--state", "suspended")
	p.until("a suspended tenant gives no tokens", func() bool { status, _ := p.token("batch", secret); return status == 401 })
	p.cpctl("tenant", "update", "acme", "--state", "active")
	p.until("an active one does", func() bool { status, _ := p.token("batch", secret); return status == 200 })

	// the files outlive the node
	node.Process.Kill()
	node.Wait() // killed
	if status, answer := p.token("batch", secret); status != 200 {
		t.Errorf("without the node: %d %v", status, answer)
	}
}

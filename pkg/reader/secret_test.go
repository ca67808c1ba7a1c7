package reader

import (
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
)

var (
	now  = time.Date(2026, time.February, 11, 12, 0, 0, 0, time.UTC)
	salt = [16]byte{1, 2, 3}
)

func TestASecretIsGoodWhileItsStateSaysSo(t *testing.T) {
	const secret = "cps_the-one-that-was-generated-for-it"
	sha, argon := pki.HashSecret(secret, salt), pki.HashImported(secret, salt)
	client := func(method string, secrets ...Secret) *Client {
		return &Client{Enabled: true, TokenEndpointAuthMethod: method, Secrets: secrets}
	}
	disabled := client("client_secret_basic", Secret{State: "active", Hash: sha})
	disabled.Enabled = false
	for _, c := range []struct {
		fact   string
		client *Client
		good   bool
	}{
		{"the active one", client("client_secret_basic", Secret{State: "active", Hash: sha}), true},
		{"in the body of the request", client("client_secret_post", Secret{State: "active", Hash: sha}), true},
		{"one that was imported", client("client_secret_basic", Secret{State: "active", Hash: argon}), true},
		{"the second of two", client("client_secret_basic", Secret{State: "active", Hash: pki.HashSecret("another", salt)},
			Secret{State: "retiring", Hash: sha, ExpiresAt: now.Add(time.Second)}), true},
		{"a retiring one whose time is over", client("client_secret_basic", Secret{State: "retiring", Hash: sha, ExpiresAt: now}), false},
		{"an active one whose time is over", client("client_secret_basic", Secret{State: "active", Hash: sha, ExpiresAt: now.Add(-time.Second)}), false},
		{"a state of a later version", client("client_secret_basic", Secret{State: "suspended", Hash: sha}), false},
		{"another secret", client("client_secret_basic", Secret{State: "active", Hash: pki.HashSecret(secret+"x", salt)}), false},
		{"no secret", client("client_secret_basic"), false},
		{"a public client with one left over", client("none", Secret{State: "active", Hash: sha}), false},
		{"a client that has keys", client("private_key_jwt", Secret{State: "active", Hash: sha}), false},
		{"a disabled client", disabled, false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			if got := c.client.CheckSecret([]byte(secret), now); got != c.good {
				t.Errorf("it is %v", got)
			}
			if c.client.CheckSecret(nil, now) {
				t.Error("an empty secret is good")
			}
		})
	}
}

// What the node would take for the hash of a secret, and only that, is one here.
func TestHashesAreReadAsTheNodeReadsThem(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	agreed := 0
	for _, hash := range []string{pki.HashSecret(secret, salt), pki.HashImported(secret, salt)} {
		for i := range hash {
			for _, other := range []string{hash[:i] + hash[i+1:], hash[:i] + "A" + hash[i+1:], hash[:i] + "$" + hash[i:], hash[:i] + "\n" + hash[i:]} {
				if strings.HasPrefix(hash, "$argon2id$") && i%9 > 0 { // each costs some 30 ms twice
					continue
				}
				got, want := verify(other, []byte(secret)), pki.VerifySecret(other, secret)
				if got != want {
					t.Fatalf("%q is a hash of it: %v, for the node %v", other, got, want)
				}
				if got {
					agreed++
				}
			}
		}
	}
	for _, hash := range []string{pki.HashSecret(secret, salt), pki.HashImported(secret, salt)} { // bits that no byte has
		end := len(hash) - 1
		for bit := range 7 {
			other := hash[:end] + string(rune(hash[end]^1<<bit))
			if verify(other, []byte(secret)) != pki.VerifySecret(other, secret) {
				t.Errorf("%q is read in another way", other)
			}
		}
	}
	t.Logf("%d changes did not matter", agreed)
}

func TestAHashCannotAskForTooMuch(t *testing.T) {
	good := pki.HashImported("x", salt)
	began := time.Now()
	for _, cost := range []string{"m=4294967295,t=1,p=1", "m=262145,t=1,p=1", "m=19456,t=17,p=1", "m=19456,t=2,p=255",
		"m=7,t=1,p=1", "m=19456,t=0,p=1", "m=19456,t=2,p=0", "m=019456,t=2,p=1", "m=19456, t=2,p=1"} {
		if verify(strings.Replace(good, "m=19456,t=2,p=1", cost, 1), []byte("x")) {
			t.Errorf("%s is taken", cost)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if !verify(good, []byte("x")) {
		t.Error("the one that asks for what is usual is not")
	}
}

func TestRedirectsAreComparedCharacterByCharacter(t *testing.T) {
	web := &Client{ApplicationType: "web", RedirectURIs: []string{"https://a.example/cb", "http://127.0.0.1/cb"}}
	native := &Client{ApplicationType: "native", RedirectURIs: []string{"com.example.app:/cb", "http://127.0.0.1/cb", "http://[::1]:7000/cb?x=1", "http://localhost/cb"}}
	for _, c := range []struct {
		client *Client
		uri    string
		want   bool
	}{
		{web, "https://a.example/cb", true},
		{web, "https://a.example/cb/", false},
		{web, "https://a.example/cb?x", false},
		{web, "https://A.example/cb", false},
		{web, "", false},
		{web, "http://127.0.0.1/cb", true},
		{web, "http://127.0.0.1:5000/cb", false}, // a server has one port
		{native, "com.example.app:/cb", true},
		{native, "http://127.0.0.1/cb", true},
		{native, "http://127.0.0.1:5000/cb", true},
		{native, "http://127.0.0.1:5000/cb2", false},
		{native, "http://127.0.0.1:5000", false},
		{native, "http://127.0.0.1:/cb", false},
		{native, "http://127.0.0.1:123456/cb", false},
		{native, "http://127.0.0.1:5000@evil.example/cb", false},
		{native, "http://127.0.0.1.evil.example/cb", false},
		{native, "http://127.0.0.1:5000.evil.example/cb", false},
		{native, "https://127.0.0.1:5000/cb", false},
		{native, "http://[::1]:9/cb?x=1", true},
		{native, "http://[::1]/cb?x=1", true},
		{native, "http://[::1]:9/cb?x=2", false},
		{native, "http://localhost:5000/cb", false}, // a name is not the address (RFC 8252 section 8.3)
	} {
		if got := c.client.AllowsRedirect(c.uri); got != c.want {
			t.Errorf("%s for %s: %v", c.client.ApplicationType, c.uri, got)
		}
	}
}

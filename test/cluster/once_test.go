package cluster

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// Invariant 2: a write whose answer was lost took effect exactly once. The
// command asks again by itself, with the same request id; so may a later one.
func TestALostAnswerIsFoundOutByAskingAgain(t *testing.T) {
	c := found(t, 3)
	server := c.Nodes[0].Server()
	c.Must(server, "tenant", "create", "acme")
	c.Must(server, "client", "create", "old", "-t", "acme", "--redirect-uri", "https://old.acme.example/cb")
	c.Must(server, "scope", "create", "orders:read", "-t", "acme")
	c.Must(server, "key", "rotate", "-t", "acme", "--alg", "ES256")
	fresh := func() string {
		id, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		return id.String()
	}
	tests := []struct {
		name    string
		id      string // "": the command makes one
		args    []string
		other   []string // another change, which must not pass under the same id
		path    string   // of the document, below data/
		secrets int      // that the client holds afterwards
		keys    int      // that the keyset holds afterwards
	}{
		{"a client with a generated secret", "ci-1742-create",
			[]string{"client", "create", "web", "-t", "acme", "--redirect-uri", "https://web.acme.example/cb"},
			[]string{"client", "create", "web2", "-t", "acme", "--redirect-uri", "https://web.acme.example/cb"},
			store.ClientPath("acme", "web"), 1, 0},
		{"a client under an id that the command makes", "",
			[]string{"client", "create", "cli", "-t", "acme", "--redirect-uri", "https://cli.acme.example/cb"}, nil,
			store.ClientPath("acme", "cli"), 1, 0},
		{"an update", fresh(),
			[]string{"client", "update", "old", "-t", "acme", "--name", "Old"},
			[]string{"client", "update", "old", "-t", "acme", "--name", "Older"},
			store.ClientPath("acme", "old"), 1, 0},
		{"an update that would add twice", "ci-1742-add",
			[]string{"client", "update", "old", "-t", "acme", "--add", "redirect_uris=https://old.acme.example/cb2"},
			[]string{"client", "update", "old", "-t", "acme", "--add", "redirect_uris=https://old.acme.example/cb3"},
			store.ClientPath("acme", "old"), 1, 0},
		{"a rotation of keys", "ci-1742-rotate",
			[]string{"key", "rotate", "-t", "acme"},
			[]string{"key", "rotate", "-t", "acme", "--alg", "EdDSA"},
			store.KeysetPath("acme"), 0, 3},
		{"a rotation of a client's secret", fresh(),
			[]string{"client", "secret", "rotate", "old", "-t", "acme", "--overlap", "1h"},
			[]string{"client", "secret", "rotate", "old", "-t", "acme", "--overlap", "2h"},
			store.ClientPath("acme", "old"), 2, 0},
		{"a deletion", "ci-1742-delete",
			[]string{"scope", "delete", "orders:read", "-t", "acme", "--yes"},
			[]string{"scope", "delete", "orders:write", "-t", "acme", "--yes"},
			store.ScopePath("acme", "orders:read"), 0, 0},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := c.as(t)
			n := c.Nodes[i%len(c.Nodes)] // the leader, or one that forwards
			proxy, through := dropAnswer(t, n)
			args := append(tt.args, "-o", "json")
			other := append(tt.other, "-o", "json")
			if tt.id != "" {
				args, other = append(args, "--request-id", tt.id), append(other, "--request-id", tt.id)
			}
			before := c.Settled().Nodes[0].Revision

			r := c.Cpctl(through, nil, args...)
			lost, writes := proxy.seen(t)
			if r.Exit != 0 || lost == nil || writes != 2 {
				t.Fatalf("exit %d after %d requests, the lost answer is %+v\n%s", r.Exit, writes, lost, r.Stderr)
			}
			got := live.Decode[live.Written](t, r)
			if !got.Replayed || got.Index != lost.Index || got.Revision != lost.Revision || got.Revision != before+1 {
				t.Errorf("answered %+v; lost was revision %d at index %d, and before it the state was at %d", got, lost.Revision, lost.Index, before)
			}
			if got.ClientSecret != lost.Secret {
				t.Errorf("the secret is %q, in the lost answer %q", got.ClientSecret, lost.Secret)
			}

			if tt.id != "" {
				// A later process with the same id gets the answer and no secret.
				later := c.Must(n.Server(), args...)
				if got := live.Decode[live.Written](t, later); !got.Replayed || got.Revision != lost.Revision || got.ClientSecret != "" {
					t.Errorf("a later process was answered %+v", got)
				}
				if lost.Secret != "" && strings.Contains(string(later.Stdout)+later.Stderr, lost.Secret) {
					t.Errorf("a later process was shown the secret")
				}
				if r := c.Cpctl(n.Server(), nil, other...); r.Exit != 6 {
					t.Errorf("another change under the same id: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
				}
			}
			for _, m := range c.Settled().Nodes {
				if m.Revision != before+1 {
					t.Errorf("node %s is at revision %d, %d before", m.Name, m.Revision, before)
				}
			}
			for _, n := range c.Nodes {
				wantHeld(t, filepath.Join(n.Data(), tt.path), tt.secrets, tt.keys, got.ClientSecret)
			}
		})
	}
	c.Identical()
}

// wantHeld looks into a document: how many secrets and keys it holds, and
// whether the newest secret is the one that was shown.
func wantHeld(t *testing.T, file string, secrets, keys int, shown string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if secrets == 0 && keys == 0 {
		if !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", file, err)
		}
		return
	}
	var d struct {
		Secrets []store.Secret    `json:"secrets"`
		Keys    []json.RawMessage `json:"keys"`
	}
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil || len(d.Secrets) != secrets || len(d.Keys) != keys {
		t.Errorf("%s holds %d secrets and %d keys, want %d and %d (%v)", file, len(d.Secrets), len(d.Keys), secrets, keys, err)
		return
	}
	if shown == "" {
		return
	}
	part := strings.Split(d.Secrets[0].Hash, "$") // sha256, salt, digest
	if len(part) != 3 {
		t.Fatalf("hash %q", d.Secrets[0].Hash)
	}
	salt, err := base64.RawURLEncoding.DecodeString(part[1])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append(salt, shown...))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != part[2] {
		t.Errorf("%s: the secret that was shown is not the one that is kept", file)
	}
}

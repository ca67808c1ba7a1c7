package enrol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/test/live"
)

// A node whose token does not let it in ends at once, says why and what to do,
// and leaves the cluster as it was.
func TestANodeWithoutAGoodTokenEnds(t *testing.T) {
	c, other := one(t), one(t)
	n1 := c.Nodes[0]
	at := address(t, c, n1)

	spare := token(t, c, n1, "node", "n2") // before the name is taken
	used := token(t, c, n1, "node", "n2")
	n2 := c.Add("--join", at, "--token-file", used)
	n2.Start()
	c.Await(n2)
	c.Voting()

	expired := token(t, c, n1, "node", "n5", "--ttl", "1ms")
	live.Until(t, "the token expires", func() bool { return state(t, c, n1, "n5").State == "expired" })
	revoked := token(t, c, n1, "node", "n6")
	c.Must(n1.Server(), "token", "revoke", state(t, c, n1, "n6").ID, "--yes")
	good := token(t, c, n1, "node", "n7")
	person := token(t, c, n1, "operator", "ana")
	foreign := token(t, other, other.Nodes[0], "node", "n9")
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(c.Dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	altered := file("altered", strings.Replace(string(whole), ":", ":0", 2), 0o600)
	guess, err := pki.ParseToken(whole)
	if err != nil {
		t.Fatal(err)
	}
	guess.Secret[0] ^= 1 // with a checksum that is right: anybody can make that
	guessed := file("guessed", string(guess.Encode()), 0o600)
	open := file("open", string(whole), 0o644)

	before := c.Settled()
	elsewhere := live.New(t)
	for _, tt := range []struct {
		fact, name string
		flags      []string
		exit       int
		says       []string
	}{
		{"a used token", "n2", []string{"--token-file", used}, 7, []string{"was used already, at", "make another: cpctl token create"}},
		{"an expired token", "n5", []string{"--token-file", expired}, 7, []string{"expired at", "cpctl token create"}},
		{"a revoked token", "n6", []string{"--token-file", revoked}, 7, []string{"was revoked at", "cpctl token create"}},
		{"an altered token", "n7", []string{"--token-file", altered}, 7, []string{"is not as it was made", "copy it again"}},
		{"a token with another secret", "n7", []string{"--token-file", guessed}, 7, []string{"is not known to this cluster", "cpctl token create"}},
		{"a token of another cluster", "n9", []string{"--token-file", foreign}, 7, []string{"is not of the cluster that the token is for", "nothing was said to the server"}},
		{"a token of a person", "n8", []string{"--token-file", person}, 7, []string{`is for the operator "ana"`, "--role node --name n8"}},
		{"a token of another name", "n8", []string{"--token-file", good}, 7, []string{`is for a node named "n7", not "n8"`, "--name n7"}},
		{"a name that is taken", "n2", []string{"--token-file", spare}, 4, []string{`a node named "n2" is in the cluster already`, "cpctl cluster remove n2"}},
		{"no token", "n8", nil, 2, []string{"needs a token", "cpctl token create --role node"}},
		{"a file that is not there", "n8", []string{"--token-file", filepath.Join(c.Dir, "none")}, 2, []string{"no such file"}},
		{"a file of everybody's", "n7", []string{"--token-file", open}, 8, []string{"has mode 0644", "chmod 600"}},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			n := elsewhere.As(t).Add(append([]string{"--join", at}, tt.flags...)...)
			n.Name, n.Dir, n.Log = tt.name, filepath.Join(elsewhere.Dir, "d"), filepath.Join(elsewhere.Dir, strings.ReplaceAll(tt.fact, " ", "-"))
			n.Start()
			n.Ends(tt.exit)
			log := n.LogTail()
			for _, s := range tt.says {
				if !strings.Contains(log, s) {
					t.Errorf("it does not say %q:\n%s", s, log)
				}
			}
			if _, err := os.Lstat(filepath.Join(n.Dir, "cluster.key")); err == nil {
				t.Error("it has a cluster key")
			}
		})
	}
	after := c.Settled()
	if len(after.Nodes) != 2 || after.Nodes[0].StateDigest != before.Nodes[0].StateDigest || after.CommitIndex != before.CommitIndex {
		t.Errorf("the refused have changed the cluster: %+v, it was %+v", after, before)
	}
	for _, id := range []string{"was used already", "expired at", "was revoked at"} {
		b, err := os.ReadFile(n1.Log)
		if err != nil || !strings.Contains(string(b), id) || !strings.Contains(string(b), "refused a newcomer") {
			t.Errorf("the member's log does not say that one %s, %v", id, err)
		}
	}

	// The directory that was refused so often is as good as new.
	n7 := c.Add("--join", at, "--token-file", good)
	n7.Name, n7.Dir = "n7", filepath.Join(elsewhere.Dir, "d")
	n7.Start()
	c.Await(n7)
	c.Voting()
	c.Identical()
}

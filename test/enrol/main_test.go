package enrol

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// one founds a cluster of one node.
func one(t *testing.T) *live.Cluster {
	t.Helper()
	c := live.New(t)
	n := c.Add()
	n.Start()
	c.Await(n)
	return c
}

// address is where a node listens for others.
func address(t *testing.T, c *live.Cluster, n *live.Node) string {
	t.Helper()
	for _, m := range c.StatusAt(n).Nodes {
		if m.Name == n.Name {
			return m.Address
		}
	}
	t.Fatalf("node %s is not in its own status", n.Name)
	return ""
}

// token makes one at a node, and returns its file.
func token(t *testing.T, c *live.Cluster, at *live.Node, role, name string, more ...string) string {
	t.Helper()
	file := filepath.Join(c.Dir, role+"-"+name+".token")
	for n := 2; ; n++ {
		if _, err := os.Lstat(file); err != nil {
			break
		}
		file = filepath.Join(c.Dir, role+"-"+name+string(rune('0'+n))+".token")
	}
	c.Must(at.Server(), append([]string{"token", "create", "--role", role, "--name", name, "--out", file}, more...)...)
	return file
}

// record is what `token list` says of a token.
type record struct{ ID, Role, Name, State, Serial string }

func tokens(t *testing.T, c *live.Cluster, at *live.Node) []record {
	t.Helper()
	return live.Decode[struct{ Items []record }](t, c.Must(at.Server(), "token", "list", "-o", "json")).Items
}

// state is that of the token of a name; the last one that was made if there are
// more is anybody's guess, so tests make one.
func state(t *testing.T, c *live.Cluster, at *live.Node, name string) record {
	t.Helper()
	for _, r := range tokens(t, c, at) {
		if r.Name == name {
			return r
		}
	}
	return record{}
}

// identity is what node.json says.
func identity(t *testing.T, n *live.Node) (id struct {
	NodeID string `json:"node_id"`
	Phase  string `json:"phase"`
}) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(n.Dir, "node.json"))
	if err == nil {
		err = json.Unmarshal(b, &id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// TestAKeyThatOthersCanReadStartsNoNode: a check says so while the node runs, and
// puts it right if it is told to.
func TestAKeyThatOthersCanReadStartsNoNode(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n, dir := c.leader(), c.dirs["n1"]
	open := map[string]fs.FileMode{"cluster.key": 0o666, "tls/node.key": 0o640, "tls": 0o777, "tls/ca.crt": 0o646}
	set := func(name string, mode fs.FileMode) {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range open {
		set(name, mode)
	}
	wide := []string{"cluster.key: has mode 0666", "tls: has mode 0777", "tls/node.key: has mode 0640", "tls/ca.crt: has mode 0646"}
	check := n.Check(context.Background(), false)
	wantFound(t, check, wide...)
	if check.Hint != "" {
		t.Errorf("a mode is nothing to rejoin for: %s", check.Hint)
	}
	n.Check(context.Background(), true)
	wantFound(t, n.Check(context.Background(), false))
	set("tls/node.crt", 0o644) // is no secret
	wantFound(t, n.Check(context.Background(), false))

	c.close("n1")
	cfg := Config{Dir: dir, Name: "n1", Listen: "127.0.0.1:0", Stop: func(error) {}}
	for name, mode := range open {
		before, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		set(name, mode)
		n, err := Open(context.Background(), cfg)
		var refusal *store.Error
		if !errors.As(err, &refusal) || refusal.Code != store.CodeRefused || !strings.Contains(refusal.Message, name+" has mode 0") || !strings.Contains(refusal.Hint, "chmod 0") {
			t.Errorf("%s with mode %04o: %v", name, mode, err)
			if err == nil {
				n.Close()
			}
		}
		set(name, before.Mode().Perm())
	}
}

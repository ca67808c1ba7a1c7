package enrol

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// Three nodes on three addresses form a cluster by token alone, the third
// through a follower, and a person gets a certificate as well.
func TestThreeNodesFormAClusterByTokenAlone(t *testing.T) {
	c := one(t)
	n1 := c.Nodes[0]
	first := token(t, c, n1, "node", "n2")
	n2 := c.Add("--join", address(t, c, n1), "--token-file", first)
	n2.Start()
	c.Await(n2)
	c.Voting()
	second := token(t, c, n2, "node", "n3") // made at a follower, too
	n3 := c.Add("--join", address(t, c, n2))
	n3.Env = []string{"CPCTL_TOKEN_FILE=" + second}
	n3.Start()
	c.Await(n3)
	c.Voting()
	addresses := map[string]bool{}
	for _, m := range c.Status().Nodes {
		host, _, _ := strings.Cut(m.Address, ":")
		addresses[host] = true
	}
	if len(addresses) != 3 {
		t.Errorf("the nodes are at %v", addresses)
	}
	c.Must(n3.Server(), "tenant", "create", "acme")
	c.Must(n3.Server(), "key", "rotate", "-t", "acme")
	if files := c.Identical(); files["keys/acme/keyset.json"] == nil {
		t.Errorf("%d files, and no keys", len(files))
	}
	key, err := os.ReadFile(filepath.Join(n1.Dir, "cluster.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if got, err := os.ReadFile(filepath.Join(n.Dir, "cluster.key")); err != nil || !bytes.Equal(got, key) {
			t.Errorf("node %s has another cluster key, %v", n.Name, err)
		}
	}
	for _, r := range tokens(t, c, n3) {
		if r.State != "used" || r.Role != "node" {
			t.Errorf("token %s is %s", r.ID, r.State)
		}
	}

	// One unit file serves for ever: the token is gone, and so is who it led to.
	if err := errors.Join(os.Remove(first), os.Remove(second)); err != nil {
		t.Fatal(err)
	}
	n2.Stop()
	n2.Flags = []string{"--join", "127.0.0.1:1", "--token-file", first}
	n2.Start()
	c.Await(n2)
	c.Voting()
	if log := n2.LogTail(); !strings.Contains(log, "--join and --token-file are ignored") {
		t.Errorf("the log does not say that the flags are ignored\n%s", log)
	}

	// Any one node may be lost, so the votes are real.
	n1.Kill()
	c.Must(n3.Server(), "tenant", "create", "globex")
	n1.Start()
	c.Await(n1)

	ana := enrol(t, c, []string{address(t, c, n2)}, token(t, c, n1, "operator", "ana", "-t", "acme"))
	operator := rpc.NewClient(rpc.Options{Servers: []string{address(t, c, n3)}, Credentials: ana})
	defer operator.Close()
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	write := func(tenant string) error {
		_, err := operator.Write(ctx, &mutation.Request{Op: mutation.OpScopeCreate, Tenant: tenant, Name: "orders"})
		return err
	}
	if err := write("acme"); err != nil {
		t.Errorf("the operator of acme cannot work there: %v", err)
	}
	if err := write("globex"); !errors.Is(err, store.ErrDenied) {
		t.Errorf("and elsewhere: %v", err)
	}
	c.Identical()
	secretsAreNowhere(t, c)
}

// enrol is a person who shows a token.
func enrol(t *testing.T, c *live.Cluster, servers []string, file string) *pki.Credentials {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := pki.ParseToken(b)
	if err != nil {
		t.Fatal(err)
	}
	csr, key, err := pki.NewCSR("a person")
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	e, err := rpc.Enrol(ctx, servers, shown, rpc.EnrolArgs{CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	if e.ClusterKey != nil {
		t.Error("a person got the cluster key")
	}
	return &pki.Credentials{CertPEM: e.CertPEM, KeyPEM: keyPEM, CAPEM: e.CAPEM}
}

// secretsAreNowhere looks for those of the tokens that are left in all that the
// nodes keep and say.
func secretsAreNowhere(t *testing.T, c *live.Cluster) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.token"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tokens, %v", err)
	}
	var secrets [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := pki.ParseToken(b)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, shown.Secret[:], bytes.Split(b, []byte(":"))[2])
	}
	searched := 0
	err = filepath.WalkDir(c.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || slices.Contains(files, path) {
			return err
		}
		b, err := os.ReadFile(path)
		searched++
		for _, s := range secrets {
			if bytes.Contains(b, s) {
				t.Errorf("the secret of a token is in %s", path)
			}
		}
		return err
	})
	if err != nil || searched < 10 {
		t.Errorf("%d files were searched, %v", searched, err)
	}
}

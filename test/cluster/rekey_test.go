package cluster

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

var rekeyedLine = regexp.MustCompile(`^cluster rekeyed: key ([0-9a-f]{16}), [0-9]+ values sealed anew, old key ([0-9a-f]{16}) retired\n$`)

// TestAClusterIsRekeyedUnderLoad: clients write and keys are rotated while the
// cluster goes over to a new key, through a node that does not lead. Then nothing
// is under the old key, nobody has it, and the private keys are what they were.
func TestAClusterIsRekeyedUnderLoad(t *testing.T) {
	c := found(t, 3, "--snapshot-interval", "1s", "--snapshot-threshold", "8")
	away := c.Add("--join", c.Nodes[0].Server(), "--non-voter", "--snapshot-interval", "1s", "--snapshot-threshold", "8")
	away.Start()
	c.Await(away)
	for i := range 6 {
		c.Must(c.Nodes[0].Server(), "tenant", "create", tenantOf(i))
		c.Must(c.Nodes[0].Server(), "key", "rotate", "-t", tenantOf(i), "--alg", "ES256")
	}
	c.Must(c.Nodes[0].Server(), "key", "rotate", "--global", "--alg", "EdDSA")
	before := c.export(c.Nodes[1], tenantOf(5))
	archive := filepath.Join(c.Dir, "before.tgz")
	c.save(archive)
	old := c.clusterKey(c.Nodes[0])
	away.Stop()

	stop := c.clientsAndKeys(4)
	var calls sync.WaitGroup
	said := make([]string, 2) // the second one joins
	for i, n := range c.Followers()[:2] {
		calls.Go(func() { said[i] = string(c.Must(n.Server(), "cluster", "rekey", "-q").Stdout) })
	}
	calls.Wait()
	stop()
	m := rekeyedLine.FindStringSubmatch(said[0])
	if m == nil || m[2] != old.ID() || said[1] != said[0] {
		t.Fatalf("the two calls said %q, old key %s", said, old.ID())
	}
	away.Start()
	c.Await(away)
	c.wantOneKey(m[1])
	now := c.clusterKey(away)
	for _, n := range c.Nodes {
		if got := c.export(n, tenantOf(5)); !bytes.Equal(got, before) {
			t.Errorf("through node %s the private key is another one", n.Name)
		}
	}
	after := filepath.Join(c.Dir, "after.tgz")
	if ids := c.save(after).SealKeyIDs; len(ids) != 1 || ids[0] != m[1] {
		t.Errorf("a new archive is sealed under %v", ids)
	}
	r := c.Cpctl(c.Nodes[0].Server(), nil, "restore", archive, "--yes")
	if r.Exit != 11 || !strings.Contains(r.Stderr, "sealed under the cluster key "+m[2]) || !strings.Contains(r.Stderr, "the old cluster.key, of id "+m[2]+", is needed") {
		t.Errorf("an archive of the old key: exit %d\n%s", r.Exit, r.Stderr)
	}
	c.wrongKey(c.Nodes[2])
	c.Identical()
	for _, n := range c.Nodes {
		live.Until(t, "node "+n.Name+" has a snapshot", func() bool {
			states, err := filepath.Glob(filepath.Join(n.Dir, "raft", "snapshots", "*", "state.bin"))
			return err == nil && len(states) > 0
		})
	}
	c.wantNowhere(old, now)
}

func tenantOf(i int) string { return fmt.Sprintf("tenant-%d", i) }

// clientsAndKeys writes clients and rotates keys of the first tenants until it is
// stopped. Nothing of it may fail.
func (c *cluster) clientsAndKeys(tenants int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var busy sync.WaitGroup
	for i := range tenants {
		conn := rpc.NewClient(rpc.Options{Servers: strings.Split(c.Servers(i), ",")})
		busy.Go(func() {
			defer conn.Close()
			for n := 0; ctx.Err() == nil; n++ {
				id, patch := live.Flooded(tenantOf(i), n)
				reqs := []*mutation.Request{{Op: mutation.OpClientCreate, Tenant: tenantOf(i), Name: id, Patch: patch}}
				if n < 50 { // a keyset has at most 64 live keys
					reqs = append(reqs, &mutation.Request{Op: mutation.OpKeyRotate, Tenant: tenantOf(i)})
				}
				for _, req := range reqs {
					within, done := context.WithTimeout(context.Background(), live.Patience)
					if _, err := conn.Write(within, req); err != nil {
						c.t.Errorf("%s of %s: %v", req.Op, tenantOf(i), err)
					}
					done()
				}
			}
		})
	}
	return func() { cancel(); busy.Wait() }
}

func (c *cluster) clusterKey(n *live.Node) pki.ClusterKey {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(n.Dir, "cluster.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	key, err := pki.ParseClusterKey(b)
	if err != nil {
		c.t.Fatalf("cluster.key of node %s: %v", n.Name, err)
	}
	return key
}

func (c *cluster) export(n *live.Node, tenant string) []byte {
	c.t.Helper()
	file := filepath.Join(c.Dir, "exported.jwk")
	c.Must(n.Server(), "key", "export", "-t", tenant, "--out", file)
	b, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// wantOneKey waits until every node has that key alone, and looks for it beside
// everything that is sealed in their files.
func (c *cluster) wantOneKey(id string) {
	c.t.Helper()
	live.Until(c.t, "every node has the new key alone", func() bool {
		for _, n := range c.Nodes {
			b, err := os.ReadFile(filepath.Join(n.Dir, "cluster.key"))
			if err != nil || bytes.Count(b, []byte("\n")) != 1 || !bytes.HasSuffix(b, []byte(":"+id+"\n")) {
				return false
			}
		}
		return true
	})
	sealed := 0
	for path, b := range c.Identical() {
		if filepath.Base(path) != "keyset.json" {
			continue
		}
		var ks store.Keyset
		if err := json.Unmarshal(b, &ks); err != nil {
			c.t.Fatal(err)
		}
		for _, k := range ks.Keys {
			if k.PrivateKey == nil {
				continue
			}
			if sealed++; k.PrivateKey.KeyID != id {
				c.t.Errorf("%s: key %s is sealed under %s", path, k.KID, k.PrivateKey.KeyID)
			}
		}
	}
	if sealed != 14 {
		c.t.Errorf("%d keys are sealed, want 14", sealed)
	}
}

// wrongKey gives a node the key of another cluster: it says so and ends, and is
// well again with its own.
func (c *cluster) wrongKey(n *live.Node) {
	c.t.Helper()
	n.Stop()
	path := filepath.Join(n.Dir, "cluster.key")
	own, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	foreign, err := pki.NewClusterKey()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, b := range [][]byte{foreign.Encode(), own} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			c.t.Fatal(err)
		}
		n.Start()
		if !bytes.Equal(b, own) {
			n.Ends(11)
			if !strings.Contains(n.LogTail(), "is the key of another cluster: its id is "+foreign.ID()) {
				c.t.Errorf("it says\n%s", n.LogTail())
			}
		}
	}
	c.Await(n)
}

// wantNowhere looks for keys, in every spelling that they might be in, through
// all that the nodes have written but cluster.key.
func (c *cluster) wantNowhere(keys ...pki.ClusterKey) {
	c.t.Helper()
	var spellings [][]byte
	for _, k := range keys {
		spellings = append(spellings, k[:], []byte(hex.EncodeToString(k[:])), []byte(base64.RawURLEncoding.EncodeToString(k[:])), []byte(base64.RawStdEncoding.EncodeToString(k[:])))
	}
	files, snapshots := 0, 0
	err := filepath.WalkDir(c.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "cluster.key" {
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		files++
		if strings.Contains(path, "/snapshots/") {
			snapshots++
		}
		for _, s := range spellings {
			if bytes.Contains(b, s) {
				c.t.Errorf("%s holds a cluster key", path)
			}
		}
		return err
	})
	if err != nil || files < 50 || snapshots == 0 {
		c.t.Errorf("%d files were read, %d of snapshots: %v", files, snapshots, err)
	}
}

// TestALeaderIsKilledWhileTheClusterIsRekeyed, again and again: the call goes on
// with the next one, and what the last call says is true.
func TestALeaderIsKilledWhileTheClusterIsRekeyed(t *testing.T) {
	c := found(t, 3)
	for i := range 4 {
		c.Must(c.Nodes[0].Server(), "tenant", "create", tenantOf(i))
		c.Must(c.Nodes[0].Server(), "key", "rotate", "-t", tenantOf(i), "--alg", "ES256")
	}
	before := c.export(c.Nodes[0], tenantOf(0))
	for range 3 {
		done := make(chan *live.Result, 1)
		go func() {
			r, err := live.Run(c.Dir, nil, "cluster", "rekey", "-q", "-s", c.Servers(0), "--timeout", live.Patience.String())
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
		leader := c.Leader()
		leader.Kill()
		leader.Start()
		r := <-done
		m := rekeyedLine.FindSubmatch(r.Stdout)
		if r.Exit != 0 || m == nil {
			t.Fatalf("exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
		}
		c.Await(c.Nodes...)
		live.Until(t, "every node has the new key alone", func() bool {
			for _, n := range c.Nodes {
				b, err := os.ReadFile(filepath.Join(n.Dir, "cluster.key"))
				if err != nil || !bytes.HasPrefix(b, []byte("cpctl-cluster-key-1:")) || !bytes.HasSuffix(b, append([]byte(":"), append(m[1], '\n')...)) || bytes.Count(b, []byte("\n")) != 1 {
					return false
				}
			}
			return true
		})
		for _, n := range c.Nodes {
			if got := c.export(n, tenantOf(0)); !bytes.Equal(got, before) {
				t.Errorf("through node %s the private key is another one", n.Name)
			}
		}
	}
	c.Identical()
}

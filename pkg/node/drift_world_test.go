package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// mishearing is a fault between raft and the state machine: while it is on, this
// node takes one word in an entry for another of the same length.
type mishearing struct {
	raft.BatchingFSM
	on       *atomic.Bool
	was, now string
}

func (m mishearing) ApplyBatch(entries []*raft.Log) []any {
	if !m.on.Load() {
		return m.BatchingFSM.ApplyBatch(entries)
	}
	heard := make([]*raft.Log, len(entries))
	for i, e := range entries {
		c := *e // the log itself is as it was
		c.Data = bytes.ReplaceAll(e.Data, []byte(m.was), []byte(m.now))
		heard[i] = &c
	}
	return m.BatchingFSM.ApplyBatch(heard)
}

func (m mishearing) Apply(e *raft.Log) any { return m.ApplyBatch([]*raft.Log{e})[0] }

// mishear makes nodes that are opened from now on mishear while the returned switch is on.
func (c *trio) mishear(was, now string, names ...string) *atomic.Bool {
	on := new(atomic.Bool)
	if c.between == nil {
		c.between = map[string]func(raft.BatchingFSM) raft.BatchingFSM{}
	}
	for _, name := range names {
		c.between[name] = func(f raft.BatchingFSM) raft.BatchingFSM { return mishearing{f, on, was, now} }
	}
	return on
}

func (c *trio) digestAt(ctx context.Context, m Member, index uint64, own string) (string, error) {
	for _, n := range c.running() {
		if n.ID() == m.ID {
			return n.DigestAt(ctx, index, own)
		}
	}
	return "", fmt.Errorf("%s does not run", m.Name)
}

func (c *trio) fetchState(ctx context.Context, m Member, behind uint64, take func(snapshot.Manifest, io.Reader) error) error {
	for _, n := range c.running() {
		if n.ID() != m.ID {
			continue
		}
		if err := n.WaitApplied(ctx, behind); err != nil {
			return err
		}
		img := n.Image()
		var b bytes.Buffer
		if err := snapshot.Write(&b, img, n.ClusterID()); err != nil {
			return err
		}
		return take(snapshot.ManifestOf(img, n.ClusterID()), &b)
	}
	return fmt.Errorf("%s does not run", m.Name)
}

func (c *trio) node(name string) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[name]
}

// lead makes a node the leader.
func (c *trio) lead(name string) {
	c.t.Helper()
	c.until(name+" to lead", func() error {
		leader := c.leader()
		if leader.Name() == name {
			return nil
		}
		n := c.node(name)
		leader.raft().LeadershipTransferToServer(raft.ServerID(n.ID()), joinAddress(n.ID(), n.Address())).Error()
		return errors.New(leader.Name() + " leads")
	})
}

// restarted opens nodes again, so that what was put between them and raft is there.
func (c *trio) restarted(names ...string) {
	c.t.Helper()
	for _, name := range names {
		c.close(name)
		c.open(name, false)
	}
	c.leader()
	c.agree()
}

// drifts waits until a node has found out that it is the odd one.
func (c *trio) drifts(name string) *Drift {
	c.t.Helper()
	var d *Drift
	c.until(name+" to find that it drifted", func() error {
		if d = c.node(name).Drifted(); d == nil || !strings.Contains(appliedState(c.dirs[name]), publish.StateWithdrawn) {
			return fmt.Errorf("%+v, its files are %s", d, appliedState(c.dirs[name]))
		}
		return nil
	})
	return d
}

func appliedState(dir string) string {
	a, err := publish.ReadApplied(filepath.Join(dir, "data"))
	return fmt.Sprintf("%s %t %v", a.State, a.BootID == "", err)
}

// silent checks that nothing is answered from the state of a node.
func silent(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for what, err := range map[string]error{"a stale read": n.Readable(), "a read": n.WaitApplied(ctx, 1), "a call": n.sound()} {
		if !errors.Is(err, store.ErrIntegrity) || !strings.Contains(err.Error(), n.Name()) {
			t.Errorf("%s at %s: %v", what, n.Name(), err)
		}
	}
	if err := n.WaitPublished(ctx, n.Image().Index); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the files of %s: %v", n.Name(), err)
	}
	if _, err := n.leading(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%s leads: %v", n.Name(), err)
	}
	if p := n.Progress(); !p.Drifted || !p.Degraded || p.Reason != "drift" || p.Split {
		t.Errorf("%s says %+v", n.Name(), p)
	}
}

// snapshotsOf lists the snapshots of a node with the digests in them.
func snapshotsOf(t *testing.T, n *Node) (digests []string) {
	t.Helper()
	snaps, err := n.snapshots()
	if err != nil {
		t.Fatal(err)
	}
	metas, err := snaps.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range metas {
		c, err := readSnapshot(snaps, m, n.ClusterID())
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, c.Image.StateDigest())
	}
	return digests
}

// marked reports whether the mark of a drift is on a node's disk.
func marked(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, driftFile))
	return err == nil
}

func described(name string) *mutation.Request {
	return &mutation.Request{Op: mutation.OpTenantUpdate, Name: "acme", Patch: []byte(`{"display_name":"` + name + `"}`)}
}

func shownName(n *Node) string {
	return n.Image().Get(store.TenantPath("acme")).Head.(*store.Tenant).DisplayName
}

func others(c *trio, but string) (out []*Node) {
	for _, n := range c.running() {
		if n.Name() != but {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *Node) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// misled makes a member hear something else than the others while a node leads, and
// waits until it has found out.
func (c *trio) misled(name, leader string) *Drift {
	c.t.Helper()
	heard := c.mishear("Sunday", "Monday", name)
	c.restarted(name)
	c.lead(leader)
	heard.Store(true)
	defer heard.Store(false)
	c.must(described("Sunday"))
	return c.drifts(name)
}

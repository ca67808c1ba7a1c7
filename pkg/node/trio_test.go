package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// patience is how long a test waits for what must come; two slow cores and the
// race detector take their time.
const patience = 60 * time.Second

// trio is a cluster of real nodes in one process: real raft over real TCP, real
// files. It also is the wire between them, which package rpc is elsewhere.
type trio struct {
	t       *testing.T
	timeout time.Duration          // of heartbeats and elections
	keptLog int64                  // of the nodes that are opened from now on
	clock   atomic.Int64           // added to the clock of every node, nanoseconds
	full    atomic.Pointer[string] // the node whose disk has no room
	off     sync.Map               // name of a node -> time.Duration, added to its clock alone
	says    sync.Map               // name of a node -> func(*Progress), which changes what it says of itself

	mu    sync.Mutex
	nodes map[string]*Node
	stops map[string][]error // what Stop was told
	dirs  map[string]string
	quiet map[string]bool                // nodes without a vote
	where map[string]string              // where nodes listen; a port that they pick and keep if it is not said
	seek  map[string][]string            // where they look for each other
	step  func(n *Node, at string) error // in a removal
	mute  map[string]bool                // nodes that answer no probe

	wires    *wires                                          // between the nodes that are opened from now on; nil: they cannot be cut
	before   atomic.Pointer[func(string, *mutation.Command)] // is told who proposes what; may block
	disk     disk.FS                                         // of the nodes that are opened from now on; the real one if nil
	stale    []byte                                          // the cluster.key that a new node gets; the leader's if nil
	withheld atomic.Pointer[string]                          // id of a cluster key that no node gives to another
	recorded map[audit.Event]int                             // what leaders did of their own accord, without its index and revision
	between  map[string]func(raft.BatchingFSM) raft.BatchingFSM
}

// trioIn is a trio of which no node was opened, with the directory of n1, if any.
func trioIn(t *testing.T, dir string) *trio {
	c := &trio{t: t, timeout: time.Second, nodes: map[string]*Node{}, stops: map[string][]error{}, dirs: map[string]string{}, quiet: map[string]bool{}}
	if dir != "" {
		c.dirs["n1"] = dir
	}
	return c
}

func newTrio(t *testing.T, names ...string) *trio {
	t.Helper()
	return trioIn(t, "").found(names...)
}

// found opens the nodes one after the other, and returns when all of them vote.
func (c *trio) found(names ...string) *trio {
	c.t.Helper()
	base := c.t.TempDir() // before the cleanup, so that it is removed after it
	c.t.Cleanup(func() {
		for name := range c.dirs {
			c.close(name)
		}
	})
	for i, name := range names {
		c.dirs[name] = filepath.Join(base, name)
		c.open(name, i > 0)
		if i == 0 {
			c.leader()
		}
	}
	c.until("every node votes", func() error {
		for _, m := range c.leader().Members() {
			if !m.Voter {
				return fmt.Errorf("%s does not vote", m.Name)
			}
		}
		if n := len(c.leader().Members()); n != len(names) {
			return fmt.Errorf("%d members", n)
		}
		return nil
	})
	return c
}

func (c *trio) open(name string, join bool) *Node {
	c.t.Helper()
	cfg := Config{Dir: c.dirs[name], Name: name, Listen: c.listen(name), Log: slog.New(slog.DiscardHandler), SnapshotInterval: time.Hour, NonVoter: c.quiet[name], disk: c.disk, steady: time.Millisecond,
		HeartbeatTimeout: c.timeout, ElectionTimeout: c.timeout,
		Now: func() time.Time {
			off, _ := c.off.LoadOrStore(name, time.Duration(0))
			return time.Now().Add(time.Duration(c.clock.Load()) + off.(time.Duration))
		},
		Stop:  func(err error) { c.mu.Lock(); c.stops[name] = append(c.stops[name], err); c.mu.Unlock() },
		Probe: c.probe, FetchKey: c.fetchKey, DigestAt: c.digestAt, FetchState: c.fetchState, between: c.between[name], Move: c.move, step: c.stepped, Seek: c.seek[name],
		Renew: func(ctx context.Context, _ Member, csr []byte) (*Enrolment, error) { return c.renew(ctx, name, csr) },
		Record: func(e audit.Event) {
			c.mu.Lock()
			defer c.mu.Unlock()
			e.Index, e.Revision = min(e.Index, 1), min(e.Revision, 1)
			if c.recorded == nil { // of a trio that was made by hand
				c.recorded = map[audit.Event]int{}
			}
			c.recorded[e]++
		},
		space: func(string) (free, total uint64) {
			if full := c.full.Load(); full != nil && *full == name {
				return 1 << 20, 100 << 30
			}
			return 50 << 30, 100 << 30
		}}
	cfg.before = func(m *mutation.Command) {
		if f := c.before.Load(); f != nil {
			(*f)(name, m)
		}
	}
	cfg.keptLog = c.keptLog
	if c.wires != nil {
		cfg.dialer = func(ctx context.Context, address string) (net.Conn, error) {
			return c.wires.dial(ctx, name, c.at(address), address)
		}
	}
	if os.Getenv("CPCTL_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", name)
	}
	if join {
		cfg.Join = c
	}
	n, err := Open(context.Background(), cfg)
	if err != nil {
		c.t.Fatalf("open %s: %v", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[name] = n
	return n
}

func (c *trio) close(name string) {
	c.mu.Lock()
	n := c.nodes[name]
	delete(c.nodes, name)
	c.mu.Unlock()
	if n != nil {
		if err := n.Close(); err != nil {
			c.t.Errorf("close %s: %v", name, err)
		}
	}
}

// at names the node that has an address.
func (c *trio) at(address string) string {
	for _, n := range c.running() {
		if n.Address() == address {
			return n.Name()
		}
	}
	return ""
}

func (c *trio) running() (out []*Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		out = append(out, n)
	}
	return out
}

func (c *trio) Enrol(ctx context.Context, req EnrolRequest) (*Enrolment, error) {
	e, err := c.leader().Enrol(ctx, req, access.Local("0"))
	if err == nil && c.stale != nil {
		e.ClusterKey = c.stale
	}
	return e, err
}

func (c *trio) Ready() error { return nil }

func (c *trio) Admit(ctx context.Context, req AdmitRequest, _ pki.Credentials) error {
	return c.leader().Admit(ctx, req)
}

func (c *trio) renew(ctx context.Context, name string, csr []byte) (*Enrolment, error) {
	c.mu.Lock()
	n := c.nodes[name]
	c.mu.Unlock()
	if n == nil { // it starts, or ends
		return nil, ErrNotLeader
	}
	for _, leader := range c.running() {
		e, err := leader.Renew(ctx, csr, access.Actor{Role: access.Node, Name: name, Serial: n.own.Load().id.Serial, Source: "test"})
		if err == nil || !errors.Is(err, store.ErrUnavailable) {
			return e, err
		}
	}
	return nil, ErrNotLeader
}

func (c *trio) probe(_ context.Context, m Member) (Progress, error) {
	for _, n := range c.running() {
		c.mu.Lock()
		mute := c.mute[n.Name()]
		c.mu.Unlock()
		if n.ID() == m.ID && !mute {
			p := n.Progress()
			if change, ok := c.says.Load(n.Name()); ok {
				change.(func(*Progress))(&p)
			}
			return p, nil
		}
	}
	return Progress{}, fmt.Errorf("%s does not run", m.Name)
}

func (c *trio) listen(name string) string {
	if at, ok := c.where[name]; ok {
		return at
	}
	return "127.0.0.1:0"
}

func (c *trio) stepped(n *Node, at string) error {
	c.mu.Lock()
	step := c.step
	c.mu.Unlock()
	if step == nil {
		return nil
	}
	return step(n, at)
}

// move reaches a member where it says that it is, as Peer.Join does over the port,
// and asks the leader that it knows.
func (c *trio) move(ctx context.Context, m Member, req AdmitRequest) error {
	at := m.Address
	for _, n := range c.running() {
		if n.ID() == req.NodeID {
			at = n.hints.at(m.ID, m.Address)
		}
	}
	for _, n := range c.running() {
		if n.ID() != m.ID || n.Address() != at {
			continue
		}
		err := n.Admit(ctx, req)
		leader, known := n.Leader()
		if !errors.Is(err, store.ErrUnavailable) || !known {
			return err
		}
		for _, l := range c.running() {
			if l.ID() == leader.ID && l.Address() == leader.Address {
				return l.Admit(ctx, req)
			}
		}
		return err
	}
	return store.Errorf(store.CodeUnavailable, "nobody is at %s", at)
}

func (c *trio) fetchKey(_ context.Context, m Member, keyID string) ([]byte, error) {
	if id := c.withheld.Load(); id != nil && *id == keyID {
		return nil, fmt.Errorf("%s does not give it", m.Name)
	}
	for _, n := range c.running() {
		if n.ID() == m.ID {
			return n.ClusterKey(keyID)
		}
	}
	return nil, fmt.Errorf("%s does not run", m.Name)
}

// leader waits until one node leads and is ready.
func (c *trio) leader() *Node {
	c.t.Helper()
	var found *Node
	c.until("a leader", func() error {
		for _, n := range c.running() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := n.ReadIndex(ctx)
			cancel()
			if err == nil {
				found = n
				return nil
			}
		}
		return fmt.Errorf("none of %d", len(c.running()))
	})
	return found
}

func (c *trio) until(what string, check func() error) {
	c.t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end.C:
			c.t.Fatalf("no %s within %s: %v", what, patience, err)
		}
	}
}

// write sends a request to whoever leads, again with the same id while nothing
// was proposed or nobody knows: what package rpc's client does.
func (c *trio) write(req *mutation.Request) (*mutation.Answer, error) {
	if req.ID == "" {
		req.ID = uuid.NewString()
	}
	if req.Seed == nil {
		req.Seed = make([]byte, 32)
		copy(req.Seed, req.ID)
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		a, err := c.leader().Write(ctx, req, access.Local("0"))
		cancel()
		if e, ok := err.(*store.Error); ok && (e.Code == store.CodeUnavailable || e.Code == store.CodeUnknown) {
			continue
		}
		return a, err
	}
}

func (c *trio) must(req *mutation.Request) *mutation.Answer {
	c.t.Helper()
	a, err := c.write(req)
	if err != nil {
		c.t.Fatalf("%s %s/%s: %v", req.Op, req.Tenant, req.Name, err)
	}
	return a
}

func tenantNamed(slug string) *mutation.Request {
	return &mutation.Request{Op: mutation.OpTenantCreate, Name: slug}
}

func clientNamed(tenant, id string) *mutation.Request {
	return &mutation.Request{Op: mutation.OpClientCreate, Tenant: tenant, Name: id,
		Patch: json.RawMessage(fmt.Sprintf(`{"redirect_uris":["https://%s.example/cb"]}`, id))}
}

// agree waits until every running node has the same state and the same files.
func (c *trio) agree() {
	c.t.Helper()
	c.until("agreement", func() error {
		var first *Node
		for _, n := range c.running() {
			if first == nil {
				first = n
			}
			if a, b := first.Image(), n.Image(); a.StateDigest() != b.StateDigest() || a.Index != b.Index {
				return fmt.Errorf("%s at %d %.8s, %s at %d %.8s", first.Name(), a.Index, a.StateDigest(), n.Name(), b.Index, b.StateDigest())
			}
			if s := n.files.Status(); !s.Ready || s.PublishedIndex < n.Image().Index {
				return fmt.Errorf("%s has published %d of %d", n.Name(), s.PublishedIndex, n.Image().Index)
			}
		}
		return nil
	})
	for _, n := range c.running() {
		if got, want := tree(c.t, c.dirs[n.Name()]), treeOf(n.Image()); got != want {
			c.t.Errorf("files of %s:\n%s\nwant\n%s", n.Name(), got, want)
		}
	}
}

// tree lists the files below data/ with their content's length and sum.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	root := filepath.Join(dir, "data")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".applied" {
			return err
		}
		content, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		fmt.Fprintf(&b, "%s %d %s\n", rel, len(content), store.Sum(rel, content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func treeOf(img *store.Image) string {
	var b strings.Builder
	for _, prefix := range []string{"keys/", "tenants/"} {
		for d := range img.Scan(prefix) {
			fmt.Fprintf(&b, "%s %d %s\n", d.Path, len(d.Bytes), d.Sum)
		}
	}
	return b.String()
}

func archiveOf(t *testing.T, n *Node) string {
	t.Helper()
	var b strings.Builder
	if err := snapshot.Write(&b, n.Image(), n.ClusterID()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func restore(n *Node, archive, id string, dryRun bool) (*Restored, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return n.Restore(ctx, strings.NewReader(archive), RestoreRequest{ID: id, DryRun: dryRun}, access.Local("0"))
}

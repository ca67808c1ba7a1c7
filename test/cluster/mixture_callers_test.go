package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/histories"
	"github.com/cpctl/cpctl/test/live"
)

// caller is one client: it does one thing after the other.
type caller struct {
	p     *part
	name  string
	rng   *rand.Rand
	count int                        // of values
	index uint64                     // of the log, of its newest write
	conns map[*live.Node]*rpc.Client // to one node each
	doubt []*asked                   // writes that nobody told it of
}

// asked is a write with the request that it is.
type asked struct {
	op   *histories.Op
	req  *mutation.Request
	sent bool // and nobody was told
}

func newCaller(p *part, name string, n uint64) *caller {
	return &caller{p: p, name: name, rng: p.m.rng(n), conns: map[*live.Node]*rpc.Client{}}
}

func (c *caller) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
}

// node is one that the caller asks: often the same, so that it is asked by
// somebody who has written at another.
func (c *caller) node() *live.Node {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	return c.p.nodes[c.rng.IntN(len(c.p.nodes))]
}

func (c *caller) conn(n *live.Node) *rpc.Client {
	if c.conns[n] == nil {
		c.conns[n] = rpc.NewClient(rpc.Options{Servers: []string{n.Server()}})
	}
	return c.conns[n]
}

// pause waits between two operations. It returns false when the part ends.
func (c *caller) pause(most time.Duration) bool {
	select {
	case <-c.p.stop:
		return false
	case <-time.After(time.Duration(c.rng.Int64N(int64(most)))):
		return true
	}
}

// patience is how long a caller waits for an answer.
func (c *caller) patience() time.Duration {
	return time.Second + time.Duration(c.rng.IntN(2000))*time.Millisecond
}

// run does operations until the part ends.
func (c *caller) run() {
	defer c.close()
	for c.pause(60 * time.Millisecond) {
		if len(c.doubt) > 0 && c.rng.IntN(4) == 0 {
			a := c.doubt[0]
			c.doubt = c.doubt[1:]
			c.send(a, c.patience())
			continue
		}
		paths := c.p.paths()
		path := paths[c.rng.IntN(len(paths))]
		switch p := c.rng.IntN(100); {
		case p < 35:
			c.read(path, histories.Newest, c.patience())
		case p < 45:
			c.read(path, histories.Stale, c.patience())
		case path == c.p.keyset():
			if a := c.rotate(); a != nil {
				c.write(a)
			}
		case p < 48 && c.p.lastSeen(path).There: // nothing to change, unless it has moved on
			c.write(c.update(c.p.name(path), c.p.lastSeen(path).Value, 0))
		default:
			c.write(c.change(c.p.name(path)))
		}
	}
}

// write sends a write, and often reads what it has written at another node.
func (c *caller) write(a *asked) {
	c.send(a, c.patience())
	if a.op.Said == histories.Done && c.rng.IntN(3) == 0 {
		c.read(a.op.Doc, histories.MinIndex, c.patience())
	}
}

// must sends a write until it is done.
func (c *caller) must(a *asked) {
	c.p.m.t.Helper()
	for deadline := time.Now().Add(live.Patience); a.op.Said != histories.Done; {
		if time.Now().After(deadline) {
			c.p.m.t.Fatalf("not done: %s: %s", a.op, a.op.Why)
		}
		c.send(a, live.Patience)
	}
}

// value is one that nobody else writes.
func (c *caller) value() string {
	c.count++
	return fmt.Sprintf("%d-%s-%d", c.p.m.number, c.name, c.count)
}

// ask begins a write. Its id is made when it is sent.
func (c *caller) ask(path string, kind histories.Kind, value string, given uint64, req *mutation.Request) *asked {
	if given > 0 {
		req.IfRevision = &given
	}
	return &asked{op: c.p.op(&histories.Op{Client: c.name, Doc: path, Kind: kind, Value: value, If: given}), req: req}
}

func patch(members map[string]any) json.RawMessage {
	b, err := json.Marshal(members)
	if err != nil {
		panic(err) // strings only
	}
	return b
}

func (c *caller) createTenant() *asked {
	v := c.value()
	return c.ask(store.TenantPath(c.p.tenant), histories.Create, v, 0,
		&mutation.Request{Op: mutation.OpTenantCreate, Tenant: c.p.tenant, Name: c.p.tenant, Patch: patch(histories.Labels(v))})
}

func (c *caller) create(name string) *asked {
	v := c.value()
	members := histories.Labels(v)
	members["token_endpoint_auth_method"] = "none"
	members["grant_types"] = []string{"authorization_code"}
	members["redirect_uris"] = []string{"https://" + name + ".example/cb"}
	return c.ask(c.p.clientPath(name), histories.Create, v, 0,
		&mutation.Request{Op: mutation.OpClientCreate, Tenant: c.p.tenant, Name: name, Patch: patch(members)})
}

func (c *caller) update(name, value string, given uint64) *asked {
	return c.ask(c.p.clientPath(name), histories.Update, value, given,
		&mutation.Request{Op: mutation.OpClientUpdate, Tenant: c.p.tenant, Name: name, Patch: patch(histories.Labels(value))})
}

func (c *caller) remove(name string, given uint64) *asked {
	return c.ask(c.p.clientPath(name), histories.Delete, "", given,
		&mutation.Request{Op: mutation.OpClientDelete, Tenant: c.p.tenant, Name: name})
}

// maxRotations keeps a keyset below the 64 keys that it may hold.
const maxRotations = 50

// rotate is a rotation of the tenant's keys, nil if there were enough.
func (c *caller) rotate() *asked {
	c.p.mu.Lock()
	c.p.rotations++
	enough := c.p.rotations > maxRotations
	c.p.mu.Unlock()
	if enough {
		return nil
	}
	return c.ask(c.p.keyset(), histories.Rotate, "", 0, &mutation.Request{Op: mutation.OpKeyRotate, Tenant: c.p.tenant, Alg: "EdDSA"})
}

// change is any change of a client. Most are meant to be accepted; some are not,
// and some meet another on its way.
func (c *caller) change(name string) *asked {
	seen := c.p.lastSeen(c.p.clientPath(name))
	p := c.rng.IntN(100)
	switch {
	case !seen.There && p < 80, p < 4:
		return c.create(name)
	case p < 14:
		return c.remove(name, 0)
	case p < 18:
		return c.remove(name, seen.Revision)
	case p < 60:
		return c.update(name, c.value(), seen.Revision)
	}
	return c.update(name, c.value(), 0)
}

// send sends a write, perhaps not for the first time, through a node or through
// whichever answers.
func (c *caller) send(a *asked, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n := c.node()
	conn := c.conn(n)
	a.op.Node = n.Name
	if c.rng.IntN(5) == 0 {
		conn = c.p.m.conn(c.p.from(n)...)
		defer conn.Close()
	}
	ans, err := conn.Write(ctx, a.req)
	a.op.ID = a.req.ID
	c.settle(a, ans, err)
}

// from is the nodes that may be asked, one of them first.
func (p *part) from(first *live.Node) (out []*live.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := max(slices.Index(p.nodes, first), 0)
	return slices.Concat(p.nodes[at:], p.nodes[:at])
}

// conn knows several nodes, in this order.
func (m *mixture) conn(nodes ...*live.Node) *rpc.Client {
	var servers []string
	for _, n := range nodes {
		servers = append(servers, n.Server())
	}
	return rpc.NewClient(rpc.Options{Servers: servers})
}

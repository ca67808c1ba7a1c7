package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// register is one value that a writer counts up, through whichever node will,
// while a reader at each node looks at it with linearizable reads: none may see
// less than what was acknowledged before it began.
type register struct {
	t      *testing.T
	tenant string
	acked  atomic.Int64
	tried  atomic.Int64
	nodes  []*live.Node
	reads  []atomic.Int64 // that each of them answered
	stop   context.CancelFunc
	busy   sync.WaitGroup
}

// count starts to count in a tenant of its own.
func count(t *testing.T, c *live.Cluster, tenant string) *register {
	t.Helper()
	c.Must(c.Leader().Server(), "tenant", "create", tenant, "--display-name", "0")
	ctx, cancel := context.WithCancel(context.Background())
	r := &register{t: t, tenant: tenant, nodes: c.Nodes, reads: make([]atomic.Int64, len(c.Nodes)), stop: cancel}
	t.Cleanup(r.end)
	var all []string
	for i, n := range c.Nodes {
		all = append(all, n.Server())
		r.busy.Go(func() { r.read(ctx, n, &r.reads[i]) })
	}
	r.busy.Go(func() { r.write(ctx, all) })
	return r
}

func (r *register) write(ctx context.Context, servers []string) {
	c := rpc.NewClient(rpc.Options{Servers: servers})
	defer c.Close()
	for ctx.Err() == nil {
		n := r.tried.Add(1)
		within, cancel := context.WithTimeout(context.Background(), live.Patience) // the last one is waited for, too
		a, err := c.Write(within, &mutation.Request{Op: mutation.OpTenantUpdate, Name: r.tenant, Patch: json.RawMessage(fmt.Sprintf(`{"display_name":"%d"}`, n))})
		cancel()
		if err != nil {
			r.t.Errorf("write %d: %v", n, err)
			return
		}
		if a.Outcome == mutation.Unchanged {
			r.t.Errorf("write %d changed nothing", n)
		}
		r.acked.Store(n)
	}
}

func (r *register) read(ctx context.Context, n *live.Node, answered *atomic.Int64) {
	c := rpc.NewClient(rpc.Options{Servers: []string{n.Server()}})
	defer c.Close()
	for ctx.Err() == nil {
		if r.look(ctx, c, n, time.Second) {
			answered.Add(1)
		}
	}
}

// look reads once, and reports whether it was answered: it is not by a node that
// is cut off, or stands still.
func (r *register) look(ctx context.Context, c *rpc.Client, n *live.Node, wait time.Duration) bool {
	before := r.acked.Load()
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	got, err := c.Get(within, rpc.GetArgs{Kind: "tenant", Name: r.tenant})
	after := r.tried.Load()
	switch {
	case ctx.Err() != nil, errors.Is(err, store.ErrUnavailable):
		return false
	case err != nil:
		r.t.Errorf("a read at %s: %v", n.Name, err)
		return false
	}
	var doc struct {
		Name string `json:"display_name"`
	}
	seen := int64(-1)
	if json.Unmarshal(got.Document, &doc) == nil {
		fmt.Sscan(doc.Name, &seen)
	}
	if seen < before || seen > after {
		r.t.Errorf("a read at %s says %q, while %d was acknowledged before it and %d were begun", n.Name, doc.Name, before, after)
	}
	return true
}

// soon is what a cluster may take on a machine that has other work. It takes a
// second or two where it has none; what it took is in the log of the test.
const soon = 20 * time.Second

// moves waits until a write that begins now is acknowledged.
func (r *register) moves(t *testing.T, when string) {
	t.Helper()
	began := time.Now()
	r.more(t)
	inTime(t, "writes went on "+when, began)
}

// more waits until a write that begins now is acknowledged, however long it takes.
func (r *register) more(t *testing.T) {
	t.Helper()
	at := r.tried.Load()
	live.Until(t, "writes go on", func() bool { return r.acked.Load() > at })
}

// serves waits until a node answers a linearizable read that begins now.
func (r *register) serves(t *testing.T, n *live.Node, when string) {
	t.Helper()
	began, reads := time.Now(), &r.reads[slices.Index(r.nodes, n)]
	at := reads.Load()
	live.Until(t, n.Name+" serves reads "+when, func() bool { return reads.Load() > at+1 })
	inTime(t, n.Name+" served reads "+when, began)
}

// answered is how many reads a node has answered.
func (r *register) answered(n *live.Node) int64 { return r.reads[slices.Index(r.nodes, n)].Load() }

func inTime(t *testing.T, what string, began time.Time) {
	t.Helper()
	took := time.Since(began)
	t.Logf("%s: after %s", what, took.Round(time.Millisecond))
	if took > soon {
		t.Errorf("%s after %s, not within %s", what, took, soon)
	}
}

// end stops counting; no write is under way any more. It may be called twice.
func (r *register) end() {
	r.stop()
	r.busy.Wait()
}

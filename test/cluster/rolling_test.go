package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// Every node is stopped with SIGTERM and started again in turn, twice, under
// load. No command fails, whatever servers it knows: what was not done is asked
// for again inside the client. Nothing is lost, and nothing is done twice.
func TestARollingRestartFailsNoCommand(t *testing.T) {
	c := found(t, 3)
	c.Must(c.Servers(0), "tenant", "create", "acme")
	c.Must(c.Servers(0), "key", "rotate", "-t", "acme", "--alg", "ES256")
	ada := c.login("admin", "ada")
	before := c.Settled().Nodes[0].Revision

	l := &rolling{cluster: c, quit: make(chan struct{}), longest: map[string]time.Duration{}, calls: map[string]int{}}
	for i, n := range c.Nodes {
		l.processes(fmt.Sprintf("process-one-%d", i), "a process with one socket", n.Server())
		l.processes(fmt.Sprintf("process-all-%d", i), "a process with all sockets", c.Servers(i))
		l.client("one socket", n.Server(), nil)
		l.client("all sockets", c.Servers(i), nil)
		l.client("one address, over TLS", c.address(n), ada)
	}
	l.client("all addresses, over TLS", c.address(c.Nodes[2])+","+c.address(c.Nodes[0])+","+c.address(c.Nodes[1]), ada)

	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		for _, n := range c.Nodes {
			was := c.Leader()
			began := time.Now()
			n.Stop()
			stopped := time.Now()
			n.Start()
			c.Await(n)
			c.back(n)
			t.Logf("%s, while %s led: stopped in %s, votes and has caught up %s later; %s leads", n.Name, was.Name,
				stopped.Sub(began).Round(time.Millisecond), time.Since(stopped).Round(time.Millisecond), c.Leader().Name)
		}
	}
	close(l.quit)
	l.busy.Wait()

	for _, kind := range slices.Sorted(maps.Keys(l.calls)) {
		t.Logf("%-28s %5d calls, the longest took %s", kind, l.calls[kind], l.longest[kind].Round(time.Millisecond))
		if took := l.longest[kind]; took > longWait {
			t.Errorf("%s: a call took %s, at most %s is borne", kind, took.Round(time.Millisecond), longWait)
		}
	}
	files := c.Identical()
	written := 0
	for _, w := range l.writers {
		written += w.acked
		var doc struct {
			Description string `json:"description"`
			Revision    uint64 `json:"revision"`
		}
		if err := json.Unmarshal(files[store.ClientPath("acme", w.name)], &doc); err != nil {
			t.Errorf("%s: %v", w.name, err)
		} else if doc.Description != w.last || doc.Revision != w.revision {
			t.Errorf("%s has %q at revision %d; acknowledged was %q at %d", w.name, doc.Description, doc.Revision, w.last, w.revision)
		}
	}
	if made := c.Settled().Nodes[0].Revision - before; made != uint64(written) {
		t.Errorf("%d changes were acknowledged, %d made: something took effect twice, or without an answer", written, made)
	}
}

// longWait is the time that a command has by default: who waits less notices
// nothing. On two idle cores a client that knows every node waits for a tenth of a
// second, and one that knows one node for as long as that is away.
const longWait = 30 * time.Second

// back waits until a node votes and is at most a moment behind.
func (c *cluster) back(n *live.Node) {
	c.t.Helper()
	live.Until(c.t, n.Name+" votes and has caught up", func() bool {
		for _, m := range c.StatusAt(n).Nodes {
			if m.Name == n.Name {
				return m.State == "alive" && m.Role != "non-voter" && m.Lag <= 64
			}
		}
		return false
	})
}

// rolling is the load on a cluster that is restarted, and what came of it.
type rolling struct {
	*cluster
	quit chan struct{}
	busy sync.WaitGroup

	mu      sync.Mutex
	longest map[string]time.Duration // by kind of client
	calls   map[string]int
	writers []*writing
}

// writing is one document that one client changes, over and over.
type writing struct {
	name, last string // what was acknowledged last
	acked      int
	revision   uint64
}

func (l *rolling) writer(name string) *writing {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &writing{name: name}
	l.writers = append(l.writers, w)
	return w
}

// next is the request of the next change of a document; the first makes it.
func (w *writing) next() *mutation.Request {
	req := &mutation.Request{Op: mutation.OpClientUpdate, Tenant: "acme", Name: w.name, Patch: json.RawMessage(fmt.Sprintf(`{"description":"change %d"}`, w.acked))}
	if w.acked == 0 {
		req.Op = mutation.OpClientCreate
		req.Patch = json.RawMessage(`{"token_endpoint_auth_method":"none","redirect_uris":["https://app.example/cb"],"description":"change 0"}`)
	}
	return req
}

func (w *writing) acknowledged(revision uint64) {
	w.last = fmt.Sprintf("change %d", w.acked)
	w.acked++
	w.revision = revision
}

// over makes calls until the end, one after the other, and notes how long each
// took. One that fails is an error of the test.
func (l *rolling) over(kind string, call func() error) {
	l.busy.Go(func() {
		for {
			select {
			case <-l.quit:
				return
			default:
			}
			began := time.Now()
			err := call()
			took := time.Since(began)
			l.mu.Lock()
			l.calls[kind]++
			l.longest[kind] = max(l.longest[kind], took)
			l.mu.Unlock()
			if err != nil {
				l.t.Errorf("%s: after %s: %v", kind, took, err)
				return
			}
		}
	})
}

// client writes and reads with a client of the library, which keeps a connection.
func (l *rolling) client(kind, servers string, own *pki.Credentials) {
	cp := rpc.NewClient(rpc.Options{Servers: strings.Split(servers, ","), Credentials: own})
	l.t.Cleanup(func() { cp.Close() })
	w := l.writer(fmt.Sprintf("client-%d", len(l.writers)))
	l.over(kind+", writes", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
		defer cancel()
		a, err := cp.Write(ctx, w.next())
		if err == nil {
			w.acknowledged(a.Revision)
		}
		return err
	})
	l.over(kind+", reads", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
		defer cancel()
		_, err := cp.Get(ctx, rpc.GetArgs{Kind: "tenant", Name: "acme"})
		return err
	})
}

// processes types commands of many kinds, each a process of its own.
func (l *rolling) processes(name, kind, servers string) {
	w := l.writer(name)
	archive := filepath.Join(l.Dir, name+".tgz")
	commands := [][]string{
		{"client", "list", "-t", "acme"},
		{"key", "jwks", "-t", "acme"},
		{"cluster", "status"},
		{"cluster", "health", "--wait"},
		{"snapshot", "save", archive},
		{"cert", "list"},
		{"cluster", "members"},
		{"audit", "--since", "1m"},
	}
	if len(l.writers) == 1 { // of two restores at a time one is refused
		commands = append(commands, []string{"restore", archive, "--dry-run"})
	}
	n := 0
	l.over(kind, func() error {
		args := []string{"client", "update", w.name, "-t", "acme", "--set", fmt.Sprintf("description=change %d", w.acked)}
		if w.acked == 0 {
			args = []string{"client", "create", w.name, "-t", "acme", "--public", "--redirect-uri", "https://app.example/cb", "--set", "description=change 0"}
		}
		n++
		write := n%2 == 1
		if !write {
			args = commands[n/2%len(commands)]
		}
		r, err := live.Run(l.Dir, nil, append(slices.Clone(args), "-s", servers, "-o", "json", "--timeout", live.Patience.String())...)
		if err != nil {
			return err
		}
		if r.Exit != 0 {
			return fmt.Errorf("cpctl %s: exit %d\n%s", strings.Join(args, " "), r.Exit, r.Stderr)
		}
		if write {
			var said live.Written
			if err := json.Unmarshal(r.Stdout, &said); err != nil {
				return fmt.Errorf("%w\n%s", err, r.Stdout)
			}
			w.acknowledged(said.Revision)
		}
		return nil
	})
}

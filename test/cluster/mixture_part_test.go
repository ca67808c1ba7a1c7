package cluster

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/histories"
	"github.com/cpctl/cpctl/test/live"
)

// part is one part of a mixture: its documents, which nobody wrote before, and
// what was done to them.
type part struct {
	m      *mixture
	tenant string
	names  []string // of clients
	stop   chan struct{}
	busy   sync.WaitGroup

	mu        sync.Mutex
	ops       []*histories.Op
	known     map[string]histories.Doc // what was last seen, by path
	rotations int                      // asked for
	archive   *archive                 // saved last
	faults    []string                 // what cannot be said by a history
	nodes     []*live.Node             // that clients may ask
}

// archive is a state that may be gone back to.
type archive struct {
	bytes []byte
	docs  map[string]histories.Doc
}

const (
	mixtureCallers = 10
	quiet          = 3 * time.Second // how long a part lasts at least
)

// part makes one part: documents, load, faults, their end, and the judgement.
func (m *mixture) part(plans []plan) {
	m.t.Helper()
	m.number++
	p := &part{m: m, tenant: fmt.Sprintf("part-%d", m.number), names: []string{"app-a", "app-b", "app-c", "app-d"}, stop: make(chan struct{}),
		known: map[string]histories.Doc{}, nodes: m.members()}
	m.present = p
	defer p.end()
	p.found()
	begun := m.now()
	for i := range mixtureCallers {
		p.busy.Go(newCaller(p, fmt.Sprintf("w%d", i), uint64(i)).run)
	}
	p.busy.Go(newCaller(p, "cli", mixtureCallers).runCommands)
	m.happen(plans, begun+quiet)
	loaded := m.now()
	p.end()
	m.heal()
	p.judge(begun, loaded)
}

// end lets the callers finish what they do.
func (p *part) end() {
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	p.busy.Wait()
}

func (p *part) clientPath(name string) string { return store.ClientPath(p.tenant, name) }
func (p *part) keyset() string                { return store.KeysetPath(p.tenant) }

// name is the client at a path.
func (p *part) name(path string) string {
	return p.names[slices.IndexFunc(p.names, func(name string) bool { return p.clientPath(name) == path })]
}

// paths are those of the documents that are written at random.
func (p *part) paths() (out []string) {
	for _, name := range p.names {
		out = append(out, p.clientPath(name))
	}
	return append(out, p.keyset())
}

// op begins an operation. Until its caller says otherwise nobody knows what
// became of it.
func (p *part) op(o *histories.Op) *histories.Op {
	o.Said, o.Call = histories.Unknown, p.m.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ops = append(p.ops, o)
	return o
}

// saw notes what a document was last seen to be.
func (p *part) saw(path string, d histories.Doc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.Revision >= p.known[path].Revision || !d.There {
		p.known[path] = d
	}
}

func (p *part) lastSeen(path string) histories.Doc {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[path]
}

// wrong notes what is wrong whatever else is true.
func (p *part) wrong(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// found makes the tenant, and what the first archive holds.
func (p *part) found() {
	p.m.t.Helper()
	c := newCaller(p, "founder", mixtureCallers+1)
	defer c.close()
	c.must(c.createTenant())
	c.must(c.create(p.names[0]))
	c.must(c.create(p.names[1]))
	c.must(c.rotate())
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	if err := c.save(ctx); err != nil {
		p.m.t.Fatalf("save an archive: %v", err)
	}
}

// judge compares everything with everything, on a cluster that is whole again.
func (p *part) judge(begun, loaded time.Duration) {
	p.m.t.Helper()
	m := p.m
	c := newCaller(p, "last", mixtureCallers+2)
	defer c.close()
	p.nodes = m.members()
	for _, path := range append(p.paths(), store.TenantPath(p.tenant)) {
		c.read(path, histories.Newest, live.Patience)
	}
	files, a := p.whole()
	docs, requests, err := histories.Archived(a.Image)
	if err != nil {
		m.t.Fatal(err)
	}
	shown, err := histories.Files(files)
	if err != nil {
		m.t.Fatal(err)
	}
	m.tally.add(p.ops, begun, loaded)
	found := append(p.faults, m.ledger.Play(p.ops, requests, a.Manifest.Revision)...)
	found = append(found, m.ledger.Differ("the files", shown)...)
	found = append(found, m.ledger.Differ("an archive", docs)...)
	found = append(found, histories.Order(p.ops)...)
	found = append(found, p.explain()...)
	m.tally.open = m.ledger.Open()
	for _, f := range found {
		m.t.Error(f)
	}
	if m.tally.violations += len(found); m.t.Failed() {
		m.t.FailNow() // what follows would only repeat it
	}
}

// whole is the files of every node, and an archive of the same state.
func (p *part) whole() (map[string][]byte, *snapshot.Contents) {
	p.m.t.Helper()
	view := p.m.view()
	for range 10 {
		files, st := view.Still()
		var b bytes.Buffer
		ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
		conn := p.m.conn(view.Nodes...)
		_, err := conn.Snapshot(ctx, &b)
		conn.Close()
		cancel()
		if err != nil {
			p.m.t.Fatalf("save an archive: %v", err)
		}
		a, err := snapshot.Read(&b, snapshot.Limits{})
		if err != nil {
			p.m.t.Fatal(err)
		}
		if a.Manifest.Revision == st.Nodes[0].Revision {
			return files, a
		}
	}
	p.m.t.Fatal("the state goes on changing, and nobody asks for it")
	return nil, nil
}

// explain has every document explained.
func (p *part) explain() (found []string) {
	byDoc := histories.ByDocument(p.ops)
	var mu sync.Mutex
	var looking sync.WaitGroup
	for _, path := range slices.Sorted(maps.Keys(byDoc)) {
		ops := byDoc[path]
		looking.Go(func() {
			verdict := histories.Linearizable(ops, decision)
			mu.Lock()
			defer mu.Unlock()
			p.m.tally.verdicts[verdict]++
			if verdict == histories.Explained {
				return
			}
			picture, err := histories.Keep(p.m.kept(), fmt.Sprintf("%d %s", p.m.seed, path), ops, decision)
			if err != nil {
				picture = err.Error()
			}
			found = append(found, fmt.Sprintf("%s is %s: %d operations, pictured in %s", path, verdict, len(ops), picture))
		})
	}
	looking.Wait()
	return found
}

// decision is how long a look at one document may take.
const decision = 30 * time.Second

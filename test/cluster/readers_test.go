package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// Invariant 4: files are whole and never step back. What an authorization
// server would see beside each node, while documents change all the time, keys
// rotate, and nodes are killed and started again.
func TestAReaderSeesWholeFilesThatNeverStepBack(t *testing.T) {
	c := found(t, 3, "--snapshot-threshold", "64", "--snapshot-interval", "500ms")
	var paths []string
	for _, tenant := range []string{"acme", "other"} {
		c.Must(c.Nodes[0].Server(), "tenant", "create", tenant)
		c.Must(c.Nodes[0].Server(), "key", "rotate", "-t", tenant, "--alg", "ES256")
		c.Flood(live.ManyCallers, tenant, 0, 4)
		paths = append(paths, store.TenantPath(tenant), store.KeysetPath(tenant), store.JWKSPath(tenant), store.ScopePath(tenant, "openid"))
		for n := range 4 {
			id, _ := live.Flooded(tenant, n)
			paths = append(paths, store.ClientPath(tenant, id))
		}
	}
	c.Settled()

	stop := make(chan struct{})
	var busy sync.WaitGroup
	var readers []*reader
	for _, n := range c.Nodes {
		r := &reader{t: t, name: n.Name, dir: n.Data(), seen: map[string]uint64{}}
		readers = append(readers, r)
		busy.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					r.look(paths[i%len(paths)])
				}
			}
		})
	}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		c.change(round)
		victim := c.Nodes[round%len(c.Nodes)]
		switch round % 4 {
		case 1:
			victim.Kill()
			c.change(100 + round)
			victim.Start()
		case 2: // in the middle of writing
			var writing sync.WaitGroup
			writing.Go(func() { c.change(200 + round) })
			victim.Kill()
			victim.Start()
			writing.Wait()
		case 3:
			victim.Stop()
			victim.Start()
		}
		c.Await(victim)
	}
	c.Settled()
	close(stop)
	busy.Wait()
	for _, r := range readers {
		if r.looks < 1000 || r.moved < rounds {
			t.Errorf("the reader beside %s looked %d times and saw %d changes: too few to say anything", r.name, r.looks, r.moved)
		}
		t.Logf("beside %s: %d looks, %d changes seen", r.name, r.looks, r.moved)
	}
	c.Identical()
}

// change makes changes to every kind of document, with commands that run at the
// same time and know every node.
func (c *cluster) change(round int) {
	var busy sync.WaitGroup
	for i, args := range [][]string{
		{"tenant", "update", "acme", "other", "--label", fmt.Sprintf("round=r%d", round)},
		{"client", "update", "app-00000", "app-00001", "app-00002", "app-00003", "-t", "acme", "--name", fmt.Sprintf("Round %d", round)},
		{"client", "update", "app-00000", "app-00001", "app-00002", "app-00003", "-t", "other", "--name", fmt.Sprintf("Round %d", round)},
		{"scope", "update", "openid", "-t", "acme", "--description", fmt.Sprintf("In round %d", round)},
		{"key", "rotate", "-t", "acme", "--alg", "ES256"},
		{"key", "rotate", "-t", "other", "--alg", "EdDSA"},
	} {
		busy.Go(func() {
			r, err := live.Run(c.Dir, nil, append(args, "-s", c.Servers(i), "--timeout", live.Patience.String())...)
			if err != nil || r.Exit != 0 {
				c.t.Errorf("cpctl %q: %v, %+v", args, err, r)
			}
		})
	}
	busy.Wait()
}

// reader reads the files of one node as another program on its machine does: by
// their names, and once more when a name is gone because the tree it was looked
// up in was swapped out.
type reader struct {
	t    *testing.T
	name string
	dir  string
	seen map[string]uint64 // path -> newest revision seen; "" -> index of .applied

	looks, moved int
}

func (r *reader) look(path string) {
	b, err := r.read(path)
	if err != nil {
		r.t.Errorf("beside %s: %v", r.name, err)
		return
	}
	var d struct {
		Revision *uint64            `json:"revision"`
		Keys     *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &d); err != nil {
		r.t.Errorf("beside %s: %s is not whole: %v\n%s", r.name, path, err, b)
		return
	}
	now := uint64(0)
	switch {
	case d.Revision != nil:
		now = *d.Revision
	case d.Keys != nil: // a JWKS has no revision; nothing leaves this one within the test, so it only grows
		now = uint64(len(*d.Keys))
	default:
		r.t.Errorf("beside %s: %s says neither its revision nor its keys\n%s", r.name, path, b)
	}
	r.looks++
	if now < r.seen[path] {
		r.t.Errorf("beside %s: %s went back from %d to %d", r.name, path, r.seen[path], now)
	}
	if now > r.seen[path] {
		r.seen[path] = now
		r.moved++
	}

	a, err := r.applied()
	if err != nil {
		r.t.Errorf("beside %s: %v", r.name, err)
		return
	}
	if a.Index < r.seen[""] {
		r.t.Errorf("beside %s: .applied went back from %d to %d", r.name, r.seen[""], a.Index)
	}
	r.seen[""] = a.Index
	if d.Revision != nil && *d.Revision > a.Revision {
		r.t.Errorf("beside %s: %s is at revision %d, .applied, which was read later, at %d", r.name, path, *d.Revision, a.Revision)
	}
}

func (r *reader) read(path string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(r.dir, path))
	if errors.Is(err, fs.ErrNotExist) {
		b, err = os.ReadFile(filepath.Join(r.dir, path))
	}
	return b, err
}

func (r *reader) applied() (publish.Applied, error) {
	a, err := publish.ReadApplied(r.dir)
	if errors.Is(err, store.ErrNotFound) {
		a, err = publish.ReadApplied(r.dir)
	}
	return a, err
}

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/dataset"
	"github.com/cpctl/cpctl/test/live"
)

// writers is how many commands run at the same time.
const writers = 16

// acknowledged is a command that exited with 0, and what it said.
type acknowledged struct {
	item dataset.Item
	live.Written
}

// load creates items, each with a process of its own, sixteen at a time. Half of
// the processes know one socket and have to wait when that node is away, the
// others know all three. Every one has to succeed, whatever happens to the
// nodes. before is called with the number of items that were handed out, in one
// goroutine, before the next one is.
func (c *cluster) load(items []dataset.Item, before func(begun int)) []acknowledged {
	c.t.Helper()
	var mu sync.Mutex
	var acks []acknowledged
	var failures []string
	begun := 0
	for at := 0; at < len(items); {
		end := at
		for end < len(items) && items[end].Stage == items[at].Stage {
			end++
		}
		work := make(chan dataset.Item)
		var busy sync.WaitGroup
		for w := range writers {
			server, only := c.Servers(w), (*live.Node)(nil)
			if w%2 == 0 {
				only = c.Nodes[w%len(c.Nodes)]
				server = only.Server()
			}
			busy.Go(func() {
				for item := range work {
					ack, err := create(c.Dir, server, item)
					if err == nil && only != nil && ack.Published {
						err = shows(only, ack)
					}
					mu.Lock()
					if err != nil {
						failures = append(failures, err.Error())
					} else {
						acks = append(acks, ack)
					}
					mu.Unlock()
				}
			})
		}
		for _, item := range items[at:end] {
			if before != nil {
				before(begun)
			}
			work <- item
			begun++
		}
		close(work)
		busy.Wait()
		if len(failures) > 0 {
			c.t.Fatalf("%d of %d commands failed, the first ones:\n%s", len(failures), begun, strings.Join(failures[:min(5, len(failures))], "\n"))
		}
		at = end
	}
	return acks
}

// create runs the command of one item.
func create(home, server string, item dataset.Item) (acknowledged, error) {
	args := append(item.Args(), "-s", server, "-o", "json", "--timeout", (2 * live.Patience).String())
	r, err := live.Run(home, item.Document, args...)
	if err != nil {
		return acknowledged{}, err
	}
	a := acknowledged{item: item}
	if r.Exit != 0 {
		return a, fmt.Errorf("cpctl %s: exit %d\n%s", strings.Join(args, " "), r.Exit, r.Stderr)
	}
	if err := json.Unmarshal(r.Stdout, &a.Written); err != nil {
		return a, fmt.Errorf("cpctl %s: %w\n%s", strings.Join(args, " "), err, r.Stdout)
	}
	return a, nil
}

// shows checks that a node has in its files what it has just answered; also
// when it was killed since, and whatever it is doing now.
func shows(n *live.Node, a acknowledged) error {
	file := filepath.Join(n.Data(), a.item.Ref.Path())
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) { // data/ may have been exchanged just now
		b, err = os.ReadFile(file)
	}
	var d stored
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err == nil && d.Revision < a.Revision {
		err = fmt.Errorf("is at revision %d", d.Revision)
	}
	if err != nil {
		return fmt.Errorf("node %s said that %s shows revision %d: %w", n.Name, file, a.Revision, err)
	}
	return nil
}

// stored is what every document says of itself.
type stored struct {
	Kind           string `json:"kind"`
	Name           string `json:"name"`   // of a scope
	System         bool   `json:"system"` // likewise
	UID            string `json:"uid"`
	CreateRevision uint64 `json:"create_revision"`
	Revision       uint64 `json:"revision"`
	Keys           []struct {
		State string `json:"state"`
	} `json:"keys"`
}

// wantAcknowledged checks that files hold each acknowledged document once, and
// nothing besides: one revision and one document for every command.
func wantAcknowledged(t *testing.T, files map[string][]byte, acks []acknowledged) {
	t.Helper()
	revisions := map[uint64]store.Ref{}
	rotations := map[string]int{} // keyset path -> acknowledged
	want := map[string]bool{}
	for _, a := range acks {
		ref := a.item.Ref
		if other, taken := revisions[a.Revision]; taken {
			t.Errorf("revision %d was given to %s and to %s", a.Revision, other, ref)
		}
		revisions[a.Revision] = ref
		b, there := files[ref.Path()]
		if !there {
			t.Errorf("%s was acknowledged at revision %d and is not there", ref, a.Revision)
			continue
		}
		var d stored
		if err := json.Unmarshal(b, &d); err != nil {
			t.Errorf("%s: %v", ref.Path(), err)
			continue
		}
		want[ref.Path()] = true
		switch ref.Kind {
		case "keyset":
			rotations[ref.Path()]++
			want[store.JWKSPath(ref.Tenant)] = true
			if d.Revision < a.Revision {
				t.Errorf("%s is at revision %d, was acknowledged at %d", ref, d.Revision, a.Revision)
			}
			continue
		case "tenant":
			for _, s := range store.SystemScopes(ref.Tenant) {
				want[store.ScopePath(ref.Tenant, s.Name)] = true
			}
		}
		if d.Revision != a.Revision || d.CreateRevision != a.CreateRevision || d.UID != a.UID || d.UID == "" {
			t.Errorf("%s is at revision %d (created at %d) with uid %s; acknowledged were %d (%d) and %s", ref, d.Revision, d.CreateRevision, d.UID, a.Revision, a.CreateRevision, a.UID)
		}
	}
	for path, b := range files {
		if !want[path] {
			t.Errorf("%s is there, but nobody was told so", path)
		}
		var d stored
		if err := json.Unmarshal(b, &d); err != nil {
			t.Errorf("%s: %v", path, err)
		} else if n, isKeyset := rotations[path]; isKeyset && len(d.Keys) != n+1 { // active and next after the first one
			t.Errorf("%s holds %d keys after %d rotations", path, len(d.Keys), n)
		}
	}
	first := slices.MinFunc(acks, byRevision).Revision
	last := slices.MaxFunc(acks, byRevision).Revision
	if got := last - first + 1; got != uint64(len(acks)) {
		t.Errorf("%d commands were acknowledged, %d revisions made: something took effect twice, or without an answer", len(acks), got)
	}
}

func byRevision(a, b acknowledged) int { return int(a.Revision) - int(b.Revision) }

package fulldisk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// book is what writers were told, kept outside of the cluster.
type book struct {
	mu      sync.Mutex
	acked   map[string]uint64 // client -> revision
	open    map[string]bool   // nobody knows: it may be there or not
	refused map[string]bool   // certainly not there
	hidden  int               // acknowledged as not published
	wrong   []string          // answers that there should not be
	stop    context.CancelFunc
	busy    sync.WaitGroup
	gate    sync.RWMutex // held by a caller for each of its writes
}

const tenant = "acme"

// makeTenant makes the one that is written to. However slow the machine is, its
// quota is not what ends the writing.
func makeTenant(c *live.Cluster, n *live.Node) {
	c.Must(n.Server(), "tenant", "create", tenant, "--set", "quotas.max_clients=1000000")
}

// The least time between two writes of a caller. At the steady pace the calls that
// are to fail are made often enough, and the log stays short: a node that starts
// again replays all of it, and does so slowly where it is checked for races.
const (
	steady = 100 * time.Millisecond
	fast   = time.Millisecond
)

// write begins to create clients, with so many callers, who ask the given
// servers each in another order, and wait as long for an answer.
func write(t *testing.T, c *live.Cluster, callers int, pace, wait time.Duration) *book {
	ctx, stop := context.WithCancel(context.Background())
	b := &book{acked: map[string]uint64{}, open: map[string]bool{}, refused: map[string]bool{}, stop: stop}
	t.Cleanup(func() { // of a test that fails on its way
		stop()
		if t.Failed() {
			b.tell(t)
		}
	})
	for w := range callers {
		conn := rpc.NewClient(rpc.Options{Servers: strings.Split(c.Servers(w), ",")})
		b.busy.Go(func() {
			defer conn.Close()
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				id := fmt.Sprintf("w%d-%d", w, i)
				b.gate.RLock()
				within, cancel := context.WithTimeout(context.Background(), wait) // also at the end: every answer counts
				a, err := conn.Write(within, client(id, 0))
				cancel()
				b.gate.RUnlock()
				b.note(id, a, err)
			}
		})
	}
	return b
}

// client asks for a client whose document has about so many bytes more than it must.
func client(id string, size int) *mutation.Request {
	note := ""
	if size > 0 {
		note = fmt.Sprintf(`,"settings":{"note":"%s"}`, strings.Repeat("x", size))
	}
	return &mutation.Request{Op: mutation.OpClientCreate, Tenant: tenant, Name: id,
		Patch: json.RawMessage(`{"token_endpoint_auth_method":"none","redirect_uris":["https://app.example/callback"]` + note + `}`)}
}

func (b *book) note(id string, a *mutation.Answer, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		b.acked[id] = a.Revision
		if !a.Published {
			b.hidden++
		}
	case errors.Is(err, store.ErrUnavailable):
		b.refused[id] = true
	case errors.Is(err, store.ErrUnknown):
		b.open[id] = true
	default:
		b.wrong = append(b.wrong, fmt.Sprintf("create client %s: %v", id, err))
	}
}

func (b *book) count() (acked, refused int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.acked), len(b.refused)
}

// more waits until so many more were acknowledged. An answer that there should
// not be ends the wait: if it is given once, it may be given to every write.
func (b *book) more(t *testing.T, n int) {
	t.Helper()
	from, _ := b.count()
	live.Until(t, fmt.Sprintf("%d more writes are acknowledged", n), func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.wrong) > 0 {
			t.Fatalf("after %d acknowledged writes: %s", len(b.acked), b.wrong[0])
		}
		return len(b.acked) >= from+n
	})
}

// end stops the writers and checks their book against the cluster: what was
// acknowledged is there as it was acknowledged, what was refused is not.
func (b *book) end(t *testing.T, c *live.Cluster, n *live.Node) {
	t.Helper()
	b.stop()
	b.busy.Wait()
	type item struct {
		ID       string `json:"client_id"`
		Revision uint64 `json:"revision"`
	}
	list := live.Decode[struct{ Items []item }](t, c.Must(n.Server(), "client", "list", "-t", tenant, "-o", "json"))
	there := map[string]uint64{}
	for _, i := range list.Items {
		there[i.ID] = i.Revision
	}
	for id, revision := range b.acked {
		if there[id] != revision {
			t.Errorf("client %s was acknowledged at revision %d and is there at %d (0: not at all)", id, revision, there[id])
		}
		delete(there, id)
	}
	for id := range there {
		if !b.open[id] {
			t.Errorf("client %s is there, and nobody was told so (refused: %v)", id, b.refused[id])
		}
	}
	for _, w := range b.wrong {
		t.Error(w)
	}
	b.tell(t)
}

// tell logs what the writers were told.
func (b *book) tell(t *testing.T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Logf("%d acknowledged (%d not yet published), %d refused, %d unknown, wrong: %q", len(b.acked), b.hidden, len(b.refused), len(b.open), b.wrong[:min(len(b.wrong), 3)])
}

// pause waits for the writes under way and holds all others until resume is called.
func (b *book) pause() (resume func()) {
	b.gate.Lock()
	return b.gate.Unlock
}

// noLeftovers waits until nothing temporary is in a data directory: a running
// node uses restore.tmp/ as long as it writes, and for moments after.
func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	var left []string
	defer func() {
		if t.Failed() {
			t.Log(left)
		}
	}()
	live.Until(t, "no temporary file is in "+dir, func() bool {
		left = nil
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if name := d.Name(); strings.HasSuffix(name, ".tmp") || strings.HasPrefix(name, ".save-") || strings.HasPrefix(name, ".cpctl-") || name == "permTest" {
				left = append(left, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return len(left) == 0
	})
}

package attacks

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

// beside makes changes through the socket of every node in turn, one at a time,
// until it is stopped. Each has to be acknowledged: that is what the cluster's
// traffic of its own, raft and forwarded calls, is for.
type beside struct {
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	took   []time.Duration
	failed error
}

func (c *city) write(t *testing.T) *beside {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &beside{stop: cancel, done: make(chan struct{})}
	var clients []*rpc.Client
	for _, n := range c.Nodes {
		clients = append(clients, rpc.NewClient(rpc.Options{Servers: []string{n.Server()}}))
	}
	go func() {
		defer close(b.done)
		for n := 0; ctx.Err() == nil; n++ {
			begun := time.Now()
			within, cancel := context.WithTimeout(context.Background(), live.Patience)
			_, err := clients[n%len(clients)].Write(within, &mutation.Request{Op: mutation.OpTenantUpdate, Name: "globex",
				Patch: json.RawMessage(fmt.Sprintf(`{"display_name":"change %d"}`, n))})
			cancel()
			b.mu.Lock()
			b.took = append(b.took, time.Since(begun))
			b.mu.Unlock()
			if err != nil {
				b.failed = err
				return
			}
		}
	}()
	t.Cleanup(func() {
		b.end(t)
		for _, client := range clients {
			client.Close()
		}
	})
	return b
}

// count is how many changes were acknowledged so far.
func (b *beside) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.took)
}

// goesOn waits for so many more acknowledgements.
func (b *beside) goesOn(t *testing.T, more int) {
	t.Helper()
	before := b.count()
	live.Until(t, fmt.Sprintf("%d changes are acknowledged beside it", more), func() bool {
		select {
		case <-b.done:
			t.Fatalf("a change beside it was not acknowledged: %v", b.failed)
		default:
		}
		return b.count() >= before+more
	})
}

// end stops writing and returns how long each change took.
func (b *beside) end(t *testing.T) []time.Duration {
	t.Helper()
	b.stop()
	<-b.done
	if b.failed != nil {
		t.Errorf("a change beside it was not acknowledged: %v", b.failed)
		b.failed = nil
	}
	return b.took
}

func percentile(took []time.Duration, p float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// load is what a node takes of the machine.
type load struct {
	rss  int // KiB
	open int // files and connections
}

func loadOf(t *testing.T, n *live.Node) (l load) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmRSS: %d kB", &l.rss)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.PID()))
	if err != nil {
		t.Fatal(err)
	}
	l.open = len(open)
	if l.rss == 0 {
		t.Fatal("the kernel does not say how much memory the node takes")
	}
	return l
}

// settles waits until a node has let go of what an attack has made it open.
func settles(t *testing.T, n *live.Node, before load) {
	t.Helper()
	const spare = 12 // connections between nodes come and go
	live.Until(t, fmt.Sprintf("node %s has at most %d files and connections open, as before", n.Name, before.open+spare), func() bool {
		return loadOf(t, n).open <= before.open+spare
	})
}

// wantBounded checks that the memory of a node has grown by no more than so much.
func wantBounded(t *testing.T, n *live.Node, before load, mib int) {
	t.Helper()
	if grown := (loadOf(t, n).rss - before.rss) >> 10; grown > mib*slack {
		t.Errorf("node %s has grown by %d MiB, at most %d are for this", n.Name, grown, mib*slack)
	}
}

// nothingLeft ends the only node of a cluster with a list of what it was doing:
// nobody is served any more, and nobody is waited for.
func (c *city) nothingLeft(t *testing.T, b *beside, before load) {
	t.Helper()
	b.end(t)
	for _, client := range c.clients {
		client.Close()
	}
	n := c.Nodes[0]
	settles(t, n, before)
	// A connection whose next call waits for its turn notices a few seconds later
	// that its peer is gone. Files of the node's own may be more than before.
	for end := time.Now().Add(10 * time.Second); loadOf(t, n).open > before.open && time.Now().Before(end); {
		<-time.After(50 * time.Millisecond)
	}
	if err := syscall.Kill(n.PID(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	n.Ends(2)
	log, err := os.ReadFile(n.Log)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(string(log), "\ngoroutine ")
	if len(all) < 10 {
		t.Fatalf("the node was doing %d things, which is too few to be true", len(all))
	}
	left := 0
	for _, stack := range all {
		for _, work := range []string{"(*Mux).shake", "(*Server).servePeer", "(*Server).serveNewcomer", "rpc.(*service).call", "(*Server).turnAway"} {
			if strings.Contains(stack, work) {
				if left++; left <= 3 {
					t.Errorf("an attacker is still served: goroutine %.1500s", stack)
				}
				break
			}
		}
	}
	if left > 0 || len(all) > 200 {
		t.Errorf("%d goroutines serve attackers, of %d", left, len(all))
	}
}

package fulldisk

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// reserve is what the product keeps free for a log: 64 MiB or 5 %.
func reserve(total uint64) uint64 { return min(64<<20, total/20) }

// TestChangesAreRefusedBeforeTheLogIsFull: the leader takes none while the log's
// disk is short, on whichever voter and wherever data/ is; what makes the state
// smaller is still taken.
func TestChangesAreRefusedBeforeTheLogIsFull(t *testing.T) {
	needMounts(t)
	const size = 64 << 20
	c := live.New(t)
	c.Add()
	n := c.Add()
	c.Add()
	raft := filepath.Join(n.Dir, "raft")
	mountTmpfs(t, raft, "size=64m")
	c.Found()
	at := c.Nodes[0]
	c.Must(at.Server(), "tenant", "create", tenant)
	c.Must(at.Server(), "tenant", "create", "globex")
	fillBut(t, raft, reserve(size)-128<<10)
	degraded(t, c, n, "disk_full")
	live.Until(t, "changes are refused", func() bool {
		r := quick(t, c, at, "tenant", "update", tenant, "--display-name", "x"+time.Now().String())
		return r.Exit == 10
	})
	for _, want := range []string{n.Name, raft, "disk space"} { // exit 9: time was over in the middle of an attempt
		live.Until(t, "a refusal that names "+want, func() bool {
			r := quick(t, c, at, "tenant", "create", "initech")
			if r.Exit != 10 && r.Exit != 9 {
				t.Fatalf("exit %d, want 10\n%s", r.Exit, r.Stderr)
			}
			return r.Exit == 10 && strings.Contains(r.Stderr, want)
		})
	}
	if r := quick(t, c, at, "cluster", "health"); r.Exit != 10 {
		t.Errorf("cluster health: exit %d\n%s", r.Exit, r.Stderr)
	}
	c.Must(at.Server(), "tenant", "get", tenant)
	c.Must(at.Server(), "tenant", "delete", "globex", "--yes")

	fill(t, raft) // now nothing at all is taken, and nobody ends
	live.Until(t, "the leader knows", func() bool {
		return strings.Contains(quick(t, c, at, "tenant", "create", "initech").Stderr, "(0.0 MiB free")
	})
	if r := quick(t, c, at, "tenant", "delete", tenant, "--yes"); r.Exit != 10 {
		t.Errorf("a deletion on a full disk: exit %d\n%s", r.Exit, r.Stderr)
	}
	unfill(t, raft)
	c.Await(at)
	c.Must(at.Server(), "tenant", "create", "initech")
	c.Identical()
}

// quick runs a command that is not patient.
func quick(t *testing.T, c *live.Cluster, at *live.Node, args ...string) *live.Result {
	t.Helper()
	r, err := live.Run(c.Dir, nil, append(args, "-s", at.Server(), "--timeout", soon.String())...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestABurstCannotFillTheLog: writers that are as fast as they can be, with
// large and with small documents, on a small disk that the log has for itself or
// shares with the files. They are refused before it is full; the node never ends.
func TestABurstCannotFillTheLog(t *testing.T) {
	needMounts(t)
	for _, tt := range []struct {
		name  string
		apart bool
		bytes int
		room  uint64 // that is left of 32 MiB at the beginning
		want  int    // writes that must have been taken
	}{
		{"large documents, a disk for the log", true, 60 << 10, 8 << 20, 40},
		{"large documents, one disk for all", false, 60 << 10, 11 << 20, 25},
		{"small documents, one disk for all", false, 0, 6 << 20, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // most of the time somebody is refused, or what was deleted is kept for slow readers
			c := live.New(t)
			n := c.Add()
			disk := n.Dir
			if tt.apart {
				disk = filepath.Join(n.Dir, "raft")
			}
			mountTmpfs(t, disk, "size=32m")
			c.Found()
			makeTenant(c, n)
			fillBut(t, disk, tt.room)
			pid := n.PID()
			began := time.Now()
			acked := burst(t, n, tt.bytes)
			t.Logf("%d writes in %v", acked, time.Since(began))
			if acked < tt.want {
				t.Errorf("%d writes were taken, want %d before the disk is short", acked, tt.want)
			}
			if !n.Running() || n.PID() != pid {
				t.Fatalf("the node ended\n%s", n.LogTail())
			}
			t.Logf("%d writes taken, %.1f MiB left", acked, float64(room(t, disk))/(1<<20))
			if left := room(t, disk); left < reserve(32<<20)/2 {
				t.Errorf("%d bytes are left, less than the log's own part of the reserve", left)
			}
			c.Must(n.Server(), "tenant", "delete", tenant, "--yes")
			if tt.apart { // a log never gives space back
				return
			}
			c.Await(n)
			c.Must(n.Server(), "tenant", "create", "globex")
			repaired(t, c, n, pid)
			c.Identical()
		})
	}
}

// burst creates clients until of eight writes in a row none was acknowledged in
// all the time it had, which is long enough for slow machines. It returns how
// many were.
func burst(t *testing.T, n *live.Node, size int) int {
	t.Helper()
	var acked, unknown, inRow atomic.Int64
	var last atomic.Pointer[error]
	var busy sync.WaitGroup
	for w := range 8 {
		conn := rpc.NewClient(rpc.Options{Servers: []string{n.Server()}})
		busy.Go(func() {
			defer conn.Close()
			for i := 0; inRow.Load() < 8; i++ {
				ctx, cancel := context.WithTimeout(context.Background(), 4*soon)
				_, err := conn.Write(ctx, client(fmt.Sprintf("b%d-%d", w, i), size))
				cancel()
				if err == nil {
					acked.Add(1)
					inRow.Store(0)
					continue
				}
				inRow.Add(1)
				switch {
				case errors.Is(err, store.ErrUnavailable):
					last.Store(&err)
				case errors.Is(err, store.ErrUnknown): // the time was over while it was sent once more
					unknown.Add(1)
				default:
					t.Errorf("create client: %v", err)
				}
			}
		})
	}
	busy.Wait()
	if refusal := last.Load(); refusal != nil {
		t.Logf("%d of the others ended unknown; the last refusal: %v", unknown.Load(), *refusal)
	}
	return int(acked.Load())
}

// TestALogOnADiskThatFillsUnderIt: somebody else fills the disk of a follower's
// log to the last byte, under load. Either it is noticed in time, or the node
// ends with exit 13; nothing that was acknowledged is missing.
func TestALogOnADiskThatFillsUnderIt(t *testing.T) {
	needMounts(t)
	c := live.New(t)
	c.Add()
	n := c.Add()
	c.Add()
	raft := filepath.Join(n.Dir, "raft")
	mountTmpfs(t, raft, "size=32m")
	c.Found()
	makeTenant(c, n)
	ended := 0
	for range 3 {
		b := write(t, c, 4, fast, soon)
		b.more(t, 20)
		fill(t, raft)
		live.Until(t, "the node ends or writes are refused", func() bool {
			_, refused := b.count()
			return !n.Running() || refused > 4
		})
		if !n.Running() {
			ended++
			n.Ends(13)
			saysWhatToDo(t, n, filepath.Join(raft, "raft.db"), "no space left on device", "free some space")
		}
		unfill(t, raft)
		if !n.Running() {
			n.Start()
		}
		c.Await(n)
		b.end(t, c, n)
		c.Must(c.Nodes[0].Server(), "tenant", "delete", tenant, "--yes")
		makeTenant(c, c.Nodes[0])
	}
	c.Identical()
	noLeftovers(t, n.Dir)
	t.Logf("the node ended %d of 3 times", ended)
}

// saysWhatToDo checks the last words of a node that has ended.
func saysWhatToDo(t *testing.T, n *live.Node, words ...string) {
	t.Helper()
	log := n.LogTail()
	if at := strings.LastIndex(log, "\ncpctl: "); at >= 0 {
		log = log[at+1:]
	}
	for _, w := range words {
		if !strings.HasPrefix(log, "cpctl: ") || !strings.Contains(log, w) {
			t.Errorf("node %s ended with these words, want %q among them:\n%s", n.Name, w, log)
		}
	}
}

// TestALogOnADiskThatBecomesReadOnly ends the process, which has nothing to lose.
func TestALogOnADiskThatBecomesReadOnly(t *testing.T) {
	needMounts(t)
	c := live.New(t)
	n := c.Add()
	c.Add()
	c.Add()
	image, raft := filepath.Join(c.Dir, "ext4.img"), filepath.Join(n.Dir, "raft")
	device := mountExt4(t, image, raft)
	c.Found()
	makeTenant(c, n)
	b := write(t, c, 2, steady, live.Patience)
	b.more(t, 10)
	breakExt4(t, device)
	n.Ends(13)
	saysWhatToDo(t, n, raft, "start the node again")
	b.more(t, 10)
	n.Start()
	n.Ends(13)
	saysWhatToDo(t, n, raft, "read-only", "make it writable")
	repairExt4(t, image, device, raft)
	loopMount(t, image, raft)
	n.Start()
	c.Await(n)
	b.end(t, c, n)
	c.Identical()
	noLeftovers(t, n.Dir)
}

// TestASmallDiskIsEnough: an empty node needs less than 32 MiB, and does its
// work there.
func TestASmallDiskIsEnough(t *testing.T) {
	needMounts(t)
	c := live.New(t)
	n := c.Add("--snapshot-interval", "1s", "--snapshot-threshold", "8")
	mountTmpfs(t, n.Dir, "size=32m")
	c.Found()
	t.Logf("an empty node takes %d KiB", taken(t, n.Dir)>>10)
	if taken(t, n.Dir) > 1<<20 {
		t.Errorf("an empty node takes %d bytes", taken(t, n.Dir))
	}
	c.Must(n.Server(), "tenant", "create", tenant)
	c.Must(n.Server(), "client", "create", "web", "-t", tenant, "--redirect-uri", "https://app.example/callback", "--secret-out", filepath.Join(c.Dir, "secret"))
	c.Must(n.Server(), "key", "rotate", "-t", tenant)
	c.Flood(8, tenant, 0, 100)
	c.Must(n.Server(), "snapshot", "save", filepath.Join(n.Dir, "mine.tgz"))
	live.Until(t, "raft has a snapshot", func() bool {
		found, err := filepath.Glob(filepath.Join(n.Dir, "raft", "snapshots", "*", "meta.json"))
		return err == nil && len(found) > 0
	})
	c.Identical()
	n.Stop()
	n.Start()
	c.Await(n)
	c.Identical()
	t.Logf("with 100 clients %d KiB", taken(t, n.Dir)>>10)
}

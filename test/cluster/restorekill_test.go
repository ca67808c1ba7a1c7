package cluster

import (
	"flag"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

var restoreSeed = flag.Uint64("restore-seed", 0, "moments at which TestAKillInTheMiddleOfARestore kills; chosen if 0")

// TestAKillInTheMiddleOfARestore kills the leader at some moment of a restore, again
// and again. The command sends the archive to the next leader and comes to its one
// end; the state is the archive's on every node. In the last rounds it is the command
// that is killed: what it leaves is in nobody's way.
func TestAKillInTheMiddleOfARestore(t *testing.T) {
	count, rounds := 4000, 6
	if testing.Short() {
		count, rounds = 1500, 3
	}
	seed := *restoreSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to see it again: -restore-seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := found(t, 3)
	c.Must(c.Nodes[0].Server(), "tenant", "create", "huge")
	c.Flood(live.ManyCallers, "huge", 0, count)
	before := c.Identical()
	archive := filepath.Join(c.Dir, "huge.tgz")
	info := c.save(archive)

	args := func() []string {
		return []string{"restore", archive, "--yes", "-o", "json", "-s", c.Servers(random.IntN(3)), "--timeout", (2 * live.Patience).String()}
	}
	gone := func() (revision uint64) {
		t.Helper()
		return live.Decode[live.Written](t, c.Must(c.Nodes[random.IntN(3)].Server(), "tenant", "delete", "huge", "--yes", "-o", "json")).Revision
	}
	restored := func(r *live.Result, err error, revision uint64) {
		t.Helper()
		if err != nil || r.Exit != 0 {
			t.Fatalf("restore: %+v, %v", r, err)
		}
		said := live.Decode[rpc.RestoreReply](t, r)
		live.SameTree(t, "restored", c.Identical(), before)
		if st := c.Status(); said.Revision != revision+1 || st.Nodes[0].Revision != revision+1 || st.Nodes[0].Digest != info.Digest {
			t.Errorf("answered revision %d, the state is at %d with digest %.8s; deleted at %d, the archive has %.8s", said.Revision, st.Nodes[0].Revision, st.Nodes[0].Digest, revision, info.Digest)
		}
	}

	revision := gone()
	begun := time.Now()
	r, err := live.Run(c.Dir, nil, args()...)
	took := time.Since(begun)
	restored(r, err, revision)
	t.Logf("undisturbed it takes %s", took)
	for range rounds {
		revision := gone()
		leader, moment := c.Leader(), time.Duration(random.Int64N(int64(took)))
		done := make(chan struct{})
		var r *live.Result
		var err error
		go func() {
			defer close(done)
			r, err = live.Run(c.Dir, nil, args()...)
		}()
		select {
		case <-time.After(moment):
		case <-done:
		}
		leader.Kill()
		c.Leader()
		leader.Start()
		<-done
		c.Await(leader)
		restored(r, err, revision)
	}
	for range rounds / 3 {
		revision := gone()
		command := exec.Command(live.Self(), args()...)
		command.Env = live.Environ(c.Dir)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(random.Int64N(int64(took))), func() { command.Process.Kill() })
		ended := command.Wait()
		r, err := live.Run(c.Dir, nil, args()...)
		if ended == nil { // it was faster
			if said := live.Decode[rpc.RestoreReply](t, r); err != nil || said.ChangedTotal > 0 {
				t.Errorf("restored again with %+v, %v", said, err)
			}
			continue
		}
		// The first may have come to its end before it was killed, unheard.
		// Others than the leader may not have it yet.
		if st := c.Settled(); err == nil && r.Exit == 0 && st.Nodes[0].Revision == revision+1 {
			live.SameTree(t, "restored", c.Identical(), before)
			continue
		}
		t.Errorf("a restore behind one whose command was killed: %+v, %v; deleted at revision %d, now %d", r, err, revision, c.Status().Nodes[0].Revision)
	}
}

package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

// kept is the data directory of a stopped node with a file of every kind, and
// what it showed.
type kept struct {
	c     *live.Cluster
	n     *live.Node
	whole string // the directory, which no test touches
	tree  map[string][]byte
	index uint64
}

// keep runs a cluster of one until it has snapshots and a log behind them.
func keep(t *testing.T) *kept {
	t.Helper()
	c := live.Found(t, 1, "--snapshot-threshold", "10", "--snapshot-interval", "50ms", "--heartbeat-timeout", "200ms", "--election-timeout", "200ms")
	n := c.Nodes[0]
	c.Must(n.Server(), "tenant", "create", "acme")
	c.Must(n.Server(), "key", "rotate", "-t", "acme")
	c.Flood(live.FewCallers, "acme", 0, 200)
	live.Until(t, "there is a snapshot", func() bool {
		found, err := filepath.Glob(filepath.Join(n.Dir, "raft", "snapshots", "*", "meta.json"))
		return err == nil && len(found) > 0
	})
	c.Must(n.Server(), "client", "delete", "app-00007", "-t", "acme", "--yes")
	c.Must(n.Server(), "tenant", "create", "globex")
	k := &kept{c: c, n: n, whole: n.Dir + ".whole", index: c.Settled().CommitIndex, tree: live.Tree(t, n.Data())}
	n.Stop()
	if err := os.Rename(n.Dir, k.whole); err != nil {
		t.Fatal(err)
	}
	return k
}

// copy gives the node its directory as it was.
func (k *kept) copy(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(k.n.Dir); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", k.whole, k.n.Dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

// start runs the node until it either takes writes or has ended, and reports
// which. A node that takes reads before must show nothing older meanwhile.
func (k *kept) start(t *testing.T) (serves bool) {
	t.Helper()
	if err := os.Truncate(k.n.Log, 0); err != nil {
		t.Fatal(err)
	}
	k.n.Start()
	live.Until(t, "the node serves or ends", func() bool {
		if !k.n.Running() {
			return true
		}
		r, err := live.Run(k.c.Dir, nil, "cluster", "health", "-s", k.n.Server(), "--timeout", "5s")
		serves = err == nil && r.Exit == 0
		return serves
	})
	return serves
}

// judge wants a node that shows what it showed, or one that has ended with exit
// code 11 and the name of the file.
func (k *kept) judge(t *testing.T, what, file string) (served bool) {
	t.Helper()
	if k.start(t) {
		live.Until(t, "its files are those of the state", func() bool { // an older snapshot is not read at a start
			r, err := live.Run(k.c.Dir, nil, "cluster", "check", "--repair", "-s", k.n.Server())
			return err == nil && r.Exit == 0
		})
		k.c.Must(k.n.Server(), "cluster", "check")
		live.SameTree(t, what, live.Tree(t, k.n.Data()), k.tree)
		if st := k.c.Status(); st.Nodes[0].AppliedIndex < k.index {
			t.Errorf("%s: it serves index %d, and has shown %d", what, st.Nodes[0].AppliedIndex, k.index)
		}
		k.n.Stop()
		return true
	}
	k.n.Ends(11)
	k.refusal(t, what, file)
	return false
}

// refusal wants the message of a node that has ended: one error, with the file
// and what to do.
func (k *kept) refusal(t *testing.T, what, file string) {
	t.Helper()
	log, err := os.ReadFile(k.n.Log)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(log, []byte("cpctl: "))
	if at < 0 || !strings.Contains(string(log[at:]), file) || !strings.Contains(string(log[at:]), "restore your newest archive") {
		t.Errorf("%s: the node ended with\n%s\nwant %s and what to do", what, log[max(at, 0):], file)
	}
	for _, bad := range []string{"goroutine ", "SIGSEGV", "SIGBUS"} {
		if bytes.Contains(log, []byte(bad)) {
			t.Errorf("%s: %s in\n%s", what, bad, log)
		}
	}
}

// rotten is a kind of file, and whether a node may refuse to start for it: what
// the state or the rest of the log brings back is no reason to.
var rotten = []struct {
	pattern string
	refuses bool
}{
	{"data/tenants/acme/clients/app-00003.json", false},
	{"data/keys/acme/*.json", false},
	{"data/.applied", false},
	{"raft/committed", false},
	{"raft/tail", false},
	{"raft/snapshots/*/state.bin", true},
	{"raft/snapshots/*/meta.json", true},
	{"raft/raft.db", true},
	{"node.json", true},
	{"cluster.key", true},
	{"tls/*", true},
}

// One bit of one file changes while the node is down. It shows what it showed,
// or it does not start and says why.
func TestAFlippedBitIsRepairedOrRefused(t *testing.T) {
	k := keep(t)
	s := thisSeed()
	rng := rand.New(rand.NewPCG(s, 0x707))
	served, refused := map[string]int{}, map[string]int{}
	for i := range times(*flips, 2*len(rotten)) {
		kind := rotten[i%len(rotten)]
		k.copy(t)
		files, err := filepath.Glob(filepath.Join(k.n.Dir, kind.pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no file %s: %v", kind.pattern, err)
		}
		path := files[rng.IntN(len(files))]
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at, bit := rng.IntN(len(b)), rng.IntN(8)
		b[at] ^= 1 << bit
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(k.n.Dir, path)
		if err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("seed %d, flip %d: bit %d of byte %d of %s", s, i, bit, at, name)
		named := path
		if strings.HasPrefix(name, "raft/snapshots/") {
			named = filepath.Dir(path)
		}
		if k.judge(t, what, named) {
			served[kind.pattern]++
		} else if refused[kind.pattern]++; !kind.refuses {
			t.Errorf("%s: the node does not start", what)
		}
		if t.Failed() {
			t.Fatalf("after %s", what)
		}
	}
	for _, kind := range rotten {
		t.Logf("%-45s %d shown as before, %d refused", kind.pattern, served[kind.pattern], refused[kind.pattern])
	}
	k.n.Off()
}

// A log that is damaged beside the running node ends it with exit code 11; it
// spreads nowhere, and the node comes back as its last words say.
func TestADamagedLogEndsTheNodeAndItRejoins(t *testing.T) {
	c := live.Found(t, 3)
	first := c.Nodes[0]
	c.Must(first.Server(), "tenant", "create", "acme")
	c.Must(first.Server(), "client", "create", "web", "-t", "acme", "--public", "--redirect-uri", "https://web.example/cb")
	c.Settled()
	hurt := c.Followers()[0]
	var others []*live.Node
	for _, n := range c.Nodes {
		if n != hurt {
			others = append(others, n)
		}
	}
	ask := others[0]
	if err := os.Truncate(filepath.Join(hurt.Dir, "raft", "raft.db"), 0); err != nil {
		t.Fatal(err)
	}
	c.Must(ask.Server(), "tenant", "create", "globex") // reaches its log
	hurt.Ends(11)
	log, err := os.ReadFile(hurt.Log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{filepath.Join(hurt.Dir, "raft/raft.db") + " is damaged", "cpctl cluster remove " + hurt.Name, "empty its data directory and join it again"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("its last words lack %q\n%s", want, hurt.LogTail())
		}
	}
	hurt.Start()
	hurt.Ends(11) // it does not begin a new log

	// A member that does not answer is not taken for one that is well.
	if r := c.Cpctl(ask.Server(), nil, "cluster", "check"); r.Exit != 10 || !strings.Contains(string(r.Stdout), hurt.Name+"     -      not checked: ") {
		t.Errorf("a check without %s: exit %d\n%s%s", hurt.Name, r.Exit, r.Stdout, r.Stderr)
	}
	c.Must(ask.Server(), "cluster", "remove", hurt.Name, "--yes")
	if err := os.RemoveAll(hurt.Dir); err != nil {
		t.Fatal(err)
	}
	hurt.Flags = []string{"--join", ask.Server()}
	hurt.Start()
	c.Voting()
	c.Must(ask.Server(), "tenant", "create", "initech")
	c.Identical()
	if r := live.Decode[rpc.CheckReport](t, c.Must(ask.Server(), "cluster", "check", "-o", "json")); len(r.Nodes) != 3 {
		t.Errorf("%d nodes were checked", len(r.Nodes))
	}
}

package cluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// survivors is what is read here of `recover plan -o json`.
type survivors struct {
	Best        string
	Chosen      string
	Lost        []lost
	Next        []string
	Majority    bool
	Voters      int
	Missing     []string
	Directories []struct {
		Dir, Node string
		Whole     bool
		Revision  uint64
		Digest    string
		LastIndex uint64 `json:"last_index"`
	}
}

// recovered is what is read here of `recover run -o json`.
type recovered struct {
	Best         string
	BestRevision uint64 `json:"best_revision"`
	Lost         []lost
}

type lost struct {
	Node, Acknowledged string
	From, To           uint64
}

// offline runs a command that asks no server.
func (c *cluster) offline(exit int, args ...string) *live.Result {
	c.t.Helper()
	r, err := live.Run(c.Dir, nil, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.Exit != exit {
		c.t.Fatalf("cpctl %s: exit %d, want %d\n%s%s", strings.Join(args, " "), r.Exit, exit, r.Stdout, r.Stderr)
	}
	return r
}

// holds wants every client of a tenant from the first to the last that was made.
func (c *cluster) holds(n *live.Node, tenant string, count int) {
	c.t.Helper()
	names := string(c.Must(n.Server(), "client", "list", "-t", tenant, "-o", "name").Stdout)
	for i := range count {
		if id, _ := live.Flooded(tenant, i); !strings.Contains(names, "/"+id+"\n") {
			c.t.Errorf("%s has lost client %s, which was acknowledged", n.Name, id)
		}
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := dir + ".copy"
	if out, err := exec.Command("cp", "-a", dir, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return to
}

// Two of three members are destroyed. The third has every change that was
// acknowledged through it, and the cluster goes on from there: people keep their
// contexts, new members join, and one of before that comes back is sent away.
func TestALostMajorityIsRecovered(t *testing.T) {
	const clients = 200
	c := found(t, 3)
	n1, n2, n3 := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	c.Must(n1.Server(), "tenant", "create", "acme")
	c.Must(n1.Server(), "key", "rotate", "-t", "acme")
	n2Address := c.address(n2)
	addresses := c.address(n1) + "," + c.address(n2) + "," + c.address(n3)
	token := filepath.Join(c.Dir, "ana.token")
	if err := os.WriteFile(token, c.Must(n1.Server(), "token", "create", "--role", "admin", "--name", "ana").Stdout, 0o600); err != nil {
		t.Fatal(err)
	}
	c.offline(0, "login", addresses, "--token-file", token, "--name", "prod")
	waits := *c.Cluster
	waits.Nodes = []*live.Node{n3} // what it answers it shows
	waits.Flood(live.FewCallers, "acme", 0, clients)
	busy := c.offline(8, "recover", "plan", "--dir", n3.Dir)
	if want := fmt.Sprintf("%s is in use by process %d", n3.Dir, n3.PID()); !strings.Contains(busy.Stderr, want) {
		t.Errorf("a plan for a running node: %s, want %q", busy.Stderr, want)
	}
	c.offline(8, "recover", "run", "--dir", n3.Dir, "--yes")
	shown := c.Settled().Nodes[2]
	for _, n := range c.Nodes {
		n.Kill()
	}
	behind := copyOf(t, n2.Dir)
	for _, n := range []*live.Node{n1, n2} {
		if err := os.RemoveAll(n.Dir); err != nil {
			t.Fatal(err)
		}
	}

	before := live.Tree(t, n3.Data())
	p := live.Decode[survivors](t, c.offline(0, "recover", "plan", "--dir", n3.Dir, "-o", "json"))
	if d := p.Directories[0]; p.Best != n3.Dir || p.Majority || !slices.Equal(p.Missing, []string{"n1", "n2"}) || !d.Whole || d.Revision != shown.Revision || d.Digest != shown.Digest {
		t.Errorf("the plan is %+v; it had shown %+v", p, shown)
	}
	if want := []string{"cpctl recover run --dir " + n3.Dir}; !slices.Equal(p.Next, want) {
		t.Errorf("next is %q, want %q", p.Next, want)
	}
	unsure := c.offline(2, "recover", "run", "--dir", n3.Dir)
	if !strings.Contains(unsure.Stderr, "without confirmation; pass --yes") {
		t.Errorf("without --yes: %s", unsure.Stderr)
	}
	r := c.offline(0, "recover", "run", "--dir", n3.Dir, "--yes")
	for _, want := range []string{"generation    2\n", "raft.before-2\n", "left behind   n1, n2: never start them again"} {
		if !strings.Contains(string(r.Stdout), want) {
			t.Errorf("it says\n%s\nwithout %q", r.Stdout, want)
		}
	}
	live.SameTree(t, "the files while nothing ran", live.Tree(t, n3.Data()), before)

	n3.Start()
	alone := &cluster{&live.Cluster{Dir: c.Dir, Nodes: []*live.Node{n3}}, t}
	alone.Cluster = alone.As(t)
	alone.Await(n3)
	alone.holds(n3, "acme", clients)
	live.SameTree(t, "the files after it", live.Tree(t, n3.Data()), before)
	if r := alone.Must(n3.Server(), "audit", "--verify"); !strings.Contains(string(alone.Must(n3.Server(), "audit", "-o", "json").Stdout), "generation 2, recovery ") {
		t.Errorf("the audit log does not tell of the recovery\n%s", r.Stdout)
	}
	c.offline(0, "tenant", "list", "--context", "prod")
	c.offline(0, "tenant", "create", "globex", "--context", "prod")

	// One of before comes back, with what it had.
	n2.Dir = behind
	n2.Start()
	n2.Ends(7)
	for _, want := range []string{"cpctl: this cluster was recovered as generation 2 on ", "node/n2 of generation 1", "empty it and join again"} {
		if log := n2.LogTail(); !strings.Contains(log, want) {
			t.Errorf("the member of before says\n%s\nwithout %q", log, want)
		}
	}
	// With nobody there who could tell it, it learns it from the first person who asks it.
	n3.Kill()
	n2.Start()
	asked := c.offline(7, "tenant", "list", "--context", "prod", "-s", n2Address)
	if want := "server " + n2Address + ": node/n2 is of generation 1 of this cluster, which was recovered as generation 2 on "; !strings.Contains(asked.Stderr, want) {
		t.Errorf("a person who asks it is told %s, want %q", asked.Stderr, want)
	}
	n2.Ends(7)
	n3.Start()
	alone.Await(n3)
	mixed := c.offline(2, "recover", "plan", "--dir", behind, "--dir", copyOf(t, n3.Dir))
	if !strings.Contains(mixed.Stderr, behind+" is of generation 1 of the cluster") {
		t.Errorf("directories of two generations: %s", mixed.Stderr)
	}

	// Emptied, it joins again, and so does another.
	if err := os.RemoveAll(behind); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*live.Node{n1, n2} {
		n.Flags = []string{"--join", n3.Server()}
		n.Start()
		c.Await(n)
	}
	alone.Nodes = []*live.Node{n3, n1, n2}
	alone.Voting()
	if files := alone.Identical(); files["tenants/globex/tenant.json"] == nil {
		t.Error("what was written after the recovery is not there")
	}
	alone.holds(n1, "acme", clients)
}

// Of five members two are left, whose logs end at different places.
func TestOfTwoSurvivorsTheLongerOneIsNamed(t *testing.T) {
	const clients = 50
	c := found(t, 5)
	c.Must(c.Nodes[0].Server(), "tenant", "create", "acme")
	c.Settled()
	short := c.Followers()[0]
	short.Kill()
	var long *live.Node
	for _, n := range c.Nodes {
		if n != short {
			long = n
		}
	}
	rest := *c.Cluster
	rest.Nodes = []*live.Node{long}
	rest.Flood(live.FewCallers, "acme", 0, clients)
	for _, n := range c.Nodes {
		n.Off()
	}
	args := []string{"--dir", short.Dir, "--dir", long.Dir}
	p := live.Decode[survivors](t, c.offline(0, append([]string{"recover", "plan", "-o", "json"}, args...)...))
	if p.Best != long.Dir || p.Majority || p.Voters != 5 || len(p.Missing) != 3 || p.Directories[0].LastIndex >= p.Directories[1].LastIndex {
		t.Fatalf("the plan is %+v; %s is the longer one", p, long.Dir)
	}

	// Another than the best is taken only with its price on record.
	other := live.Decode[survivors](t, c.offline(0, append([]string{"recover", "plan", "-o", "json", "--node", short.Name}, args...)...))
	gone := p.Directories[1].LastIndex
	if other.Best != long.Dir || other.Chosen != short.Dir || len(other.Lost) == 0 || other.Lost[0].Node != long.Name || other.Lost[0].From != p.Directories[0].LastIndex+1 || other.Lost[len(other.Lost)-1].To != gone ||
		!strings.HasSuffix(other.Next[0], " --node "+short.Name) {
		t.Errorf("the plan for %s is %+v", short.Name, other)
	}
	back := copyOf(t, short.Dir)
	taken := live.Decode[recovered](t, c.offline(0, "recover", "run", "--yes", "-o", "json", "--node", short.Name, "--dir", back, "--dir", long.Dir))
	if taken.Best != long.Dir || taken.BestRevision != p.Directories[1].Revision || len(taken.Lost) == 0 || taken.Lost[len(taken.Lost)-1].To != gone {
		t.Errorf("the answer is %+v", taken)
	}
	if log, err := os.ReadFile(filepath.Join(back, "audit", "audit.jsonl")); err != nil || !bytes.Contains(log, []byte("; lost: entr")) {
		t.Errorf("its audit log says\n%s, %v", log, err)
	}

	// The longer one is damaged: what it has shown would be lost, and that is not done unasked.
	log := filepath.Join(long.Dir, "raft", "raft.db")
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := bytes.Clone(b)
	spoilt[bytes.LastIndex(spoilt, []byte("client.create"))] ^= 1
	if err := os.WriteFile(log, spoilt, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := live.Decode[survivors](t, c.offline(0, append([]string{"recover", "plan", "-o", "json"}, args...)...))
	if damaged.Best != short.Dir || damaged.Directories[1].Whole || !strings.HasSuffix(damaged.Next[0], " --node "+short.Name) {
		t.Errorf("with a damaged log the plan is %+v", damaged)
	}
	if r := c.offline(8, append([]string{"recover", "run", "--yes"}, args...)...); !strings.Contains(r.Stderr, "changes that were acknowledged would be lost") {
		t.Errorf("%s", r.Stderr)
	}
	c.offline(11, "recover", "plan", "--dir", long.Dir)
	c.offline(11, "recover", "run", "--dir", long.Dir, "--yes")
	if err := os.WriteFile(log, b, 0o600); err != nil {
		t.Fatal(err)
	}

	c.offline(0, append([]string{"recover", "run", "--yes"}, args...)...)
	again := c.offline(8, "recover", "run", "--yes", "--dir", long.Dir)
	if !strings.Contains(again.Stderr, "nothing has to be recovered: the only voter is here") {
		t.Errorf("run once more: %s", again.Stderr)
	}
	long.Start()
	rest.Await(long)
	(&cluster{&rest, t}).holds(long, "acme", clients)
	short.Start()
	short.Ends(7)
}

// A recovery is killed while it runs, again and again, and done in the end.
func TestARecoveryThatIsKilledIsDoneInTheEnd(t *testing.T) {
	c := found(t, 2)
	n1, n2 := c.Nodes[0], c.Nodes[1]
	c.Must(n1.Server(), "tenant", "create", "acme")
	c.Settled()
	n1.Kill()
	n2.Kill()
	for wait := time.Duration(0); ; wait += 2 * time.Millisecond {
		run := exec.Command(live.Self(), "recover", "run", "--dir", n2.Dir, "--yes", "-o", "json")
		run.Env = live.Environ(c.Dir)
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(wait, func() { run.Process.Kill() })
		err := run.Wait()
		kill.Stop()
		if err == nil {
			break
		}
		if code := run.ProcessState.ExitCode(); code == 8 { // it was killed behind its last step
			break
		} else if code != -1 {
			t.Fatalf("killed after %v before; now exit %d", wait, code)
		}
	}
	n2.Start()
	c.Await(n2)
	if r := c.Must(n2.Server(), "tenant", "list", "-o", "name"); string(r.Stdout) != "tenant/acme\n" {
		t.Errorf("%s", r.Stdout)
	}
	n1.Start()
	n1.Ends(7)
}

// An archive becomes a cluster of its own, under the key that it was made under.
func TestAnArchiveIsFoundedOffline(t *testing.T) {
	c := found(t, 1)
	n := c.Nodes[0]
	c.Must(n.Server(), "tenant", "create", "acme")
	c.Must(n.Server(), "key", "rotate", "-t", "acme")
	archive := filepath.Join(c.Dir, "backup.tgz")
	info := c.save(archive)
	was := c.Settled()
	key := filepath.Join(c.Dir, "cluster.key")
	b, err := os.ReadFile(filepath.Join(n.Dir, "cluster.key"))
	if err == nil {
		err = os.WriteFile(key, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	files := live.Tree(t, n.Data())
	c.offline(8, "restore", archive, "--offline", "--data-dir", n.Dir, "--cluster-key-file", key)
	n.Kill()

	other := &cluster{live.New(t), t}
	m := other.Add()
	m.Name = "m1"
	c.offline(2, "restore", archive, "--offline", "--data-dir", m.Dir)
	c.offline(2, "restore", archive, "--offline", "--data-dir", m.Dir, "--expect-revision", "3")
	c.offline(8, "restore", archive, "--offline", "--data-dir", n.Dir, "--cluster-key-file", key)
	c.offline(0, "restore", archive, "--offline", "--data-dir", m.Dir, "--cluster-key-file", key, "--name", "m1", "--dry-run")
	if _, err := os.Stat(m.Dir); !os.IsNotExist(err) {
		t.Errorf("a dry run has made the directory: %v", err)
	}
	c.offline(0, "restore", archive, "--offline", "--data-dir", m.Dir, "--cluster-key-file", key, "--name", "m1")
	m.Start()
	other.Await(m)
	st := other.Settled()
	if st.ClusterID == was.ClusterID || st.Nodes[0].Revision != info.Revision || st.Nodes[0].Digest != was.Nodes[0].Digest || st.Nodes[0].Name != "m1" {
		t.Errorf("the cluster is %+v, the archive of %+v", st, was)
	}
	live.SameTree(t, "the cluster that was founded", live.Tree(t, m.Data()), files)
	other.Must(m.Server(), "key", "rotate", "-t", "acme")
	m2 := other.Add("--join", m.Server())
	m2.Start()
	other.Await(m2)
	other.Voting()
	other.Identical()
	// Its address was not known before its first start.
	live.Until(t, "the members know where the first one is", func() bool { return !strings.HasPrefix(other.address(m), "127.0.0.1:") })
}

// untouched is every name in a directory with its mode, size and time of change.
func untouched(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The directory of the one member that is down is the wrong one to recover from:
// the others are well, and would stop for good.
func TestNoRecoveryWhileTheOthersRun(t *testing.T) {
	c := found(t, 3)
	n1, n2, n3 := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	c.Must(n1.Server(), "tenant", "create", "acme")
	a1, a2 := c.address(n1), c.address(n2)
	c.Settled()
	n3.Off()
	before := untouched(t, n3.Dir)
	want := fmt.Sprintf("n1 at %s, n2 at %s answer: the cluster is not lost", a1, a2)
	if r := c.offline(8, "recover", "run", "--dir", n3.Dir, "--yes"); !strings.Contains(r.Stderr, want) || !strings.Contains(r.Stderr, "cpctl node --data-dir "+n3.Dir) {
		t.Errorf("it is refused with %s, want %q", r.Stderr, want)
	}
	c.offline(8, "recover", "run", "--dir", n3.Dir, "--node", "n3", "--yes")
	if r := c.offline(0, "recover", "plan", "--dir", n3.Dir); !strings.Contains(string(r.Stdout), want) {
		t.Errorf("the plan is\n%s\nwithout %q", r.Stdout, want)
	}
	if now := untouched(t, n3.Dir); now != before {
		t.Errorf("the directory was\n%s\nand is\n%s", before, now)
	}
	n3.Start()
	c.Await(n3)
	c.Settled()
	c.Must(n1.Server(), "tenant", "create", "globex")
}

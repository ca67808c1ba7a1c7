package fulldisk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

// apart mounts a small file system for the data directory of a node, and one
// with room for the log in it.
func apart(t *testing.T, n *live.Node, options string) {
	t.Helper()
	mountTmpfs(t, n.Dir, options)
	mountTmpfs(t, filepath.Join(n.Dir, "raft"), "size=1g")
}

// state is what the cluster says of a node.
func state(c *live.Cluster, at, of *live.Node) rpc.NodeStatus {
	for _, m := range c.StatusAt(at).Nodes {
		if m.Name == of.Name {
			return m
		}
	}
	return rpc.NodeStatus{}
}

// degraded waits until a node says of itself that it is, and why.
func degraded(t *testing.T, c *live.Cluster, n *live.Node, reason string) {
	t.Helper()
	var s rpc.NodeStatus
	defer func() {
		if t.Failed() {
			t.Logf("%+v", s)
		}
	}()
	live.Until(t, "node "+n.Name+" is degraded: "+reason, func() bool {
		s = state(c, n, n)
		return s.State == "degraded" && s.Reason == reason
	})
}

// served checks what a node does whose files cannot be written: it takes writes
// and says what they lack, and answers reads.
func served(t *testing.T, c *live.Cluster, n *live.Node, name string) {
	t.Helper()
	r := c.Must(n.Server(), "tenant", "create", name, "-o", "json")
	if a := live.Decode[live.Written](t, r); a.Published {
		t.Errorf("a node that cannot write its files says that they show index %d", a.Index)
	}
	if !strings.Contains(r.Stderr, "do not show it yet") {
		t.Errorf("stderr says %q, want a note", r.Stderr)
	}
	for _, args := range [][]string{{"tenant", "get", name}, {"tenant", "get", name, "--stale"}, {"tenant", "list"}} {
		if r := c.Must(n.Server(), append(args, "-o", "name")...); !strings.Contains(string(r.Stdout), "tenant/"+name) {
			t.Errorf("%v: %q", args, r.Stdout)
		}
	}
	if _, err := os.Stat(filepath.Join(n.Data(), "tenants", name, "tenant.json")); err == nil {
		t.Errorf("the tenant %s is in the files", name)
	}
}

// saveFails checks that a snapshot does not half arrive on a full disk.
func saveFails(t *testing.T, c *live.Cluster, n *live.Node, dir string) {
	t.Helper()
	file := filepath.Join(dir, "backup.tgz")
	r := c.Cpctl(n.Server(), nil, "snapshot", "save", file)
	if r.Exit == 0 || r.Exit == 10 || !strings.Contains(r.Stderr, file) && !strings.Contains(r.Stderr, dir) || !strings.Contains(r.Stderr, "no space left") {
		t.Errorf("snapshot save to a full disk: exit %d, %q", r.Exit, r.Stderr)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Errorf("%s is there", file)
	}
}

// repaired waits until a node has put itself right, without a restart and while
// writers go on; what it leaves is looked at while they pause.
func repaired(t *testing.T, c *live.Cluster, n *live.Node, pid int, writers ...*book) {
	t.Helper()
	live.Until(t, "node "+n.Name+" is alive again", func() bool { return state(c, n, n).State == "alive" })
	if !n.Running() || n.PID() != pid {
		t.Errorf("node %s was restarted", n.Name)
	}
	for _, b := range writers {
		defer b.pause()()
	}
	noLeftovers(t, n.Dir)
}

// TestFilesOnAFullDisk: a leader whose files cannot be written hands over and
// goes on as a follower, and repairs itself when there is space again.
func TestFilesOnAFullDisk(t *testing.T) {
	needMounts(t)
	for _, x := range exhaustions {
		t.Run(x.name, func(t *testing.T) {
			c := live.New(t)
			n := c.Add()
			c.Add()
			c.Add()
			apart(t, n, x.options)
			c.Found()
			makeTenant(c, n)
			b := write(t, c, 3, steady, live.Patience)
			b.more(t, 20)
			pid := n.PID()

			x.fill(t, n.Dir)
			b.more(t, 20)
			degraded(t, c, n, "disk_full")
			x.fill(t, n.Dir) // with what it gave back: the room in which files are made
			live.Until(t, "another node leads", func() bool { l := c.Leader(); return l != n })
			served(t, c, n, "globex")
			saveFails(t, c, n, n.Dir)
			b.more(t, 20)

			x.free(t, n.Dir)
			repaired(t, c, n, pid, b)
			b.more(t, 5)
			b.end(t, c, n)
			c.Identical()
			if _, refused := b.count(); refused > 0 {
				t.Errorf("%d writes were refused", refused)
			}
			n.Stop()
			noLeftovers(t, n.Dir)
		})
	}
}

// TestOneNodeOnAFullDisk: with nobody to hand over to, it acknowledges what the
// log has, also across a stop and a start on the full disk.
func TestOneNodeOnAFullDisk(t *testing.T) {
	needMounts(t)
	for _, x := range exhaustions {
		t.Run(x.name, func(t *testing.T) {
			c := live.New(t)
			n := c.Add()
			apart(t, n, x.options)
			c.Found()
			makeTenant(c, n)
			b := write(t, c, 2, steady, live.Patience)
			b.more(t, 10)
			x.fill(t, n.Dir)
			degraded(t, c, n, "disk_full")
			b.more(t, 10)
			served(t, c, n, "globex")
			b.end(t, c, n)

			n.Stop() // exit 0: what the files lack is in the log
			x.fill(t, n.Dir)
			if x.name == "no inodes" { // the socket needs one
				os.Remove(filepath.Join(n.Dir, ballastName, "0"))
			}
			n.Start()
			c.Await(n)
			served(t, c, n, "initech")
			pid := n.PID()
			x.free(t, n.Dir)
			repaired(t, c, n, pid)
			b.end(t, c, n)
			c.Identical()
		})
	}
}

// TestARestoreWithOneFullDisk: it takes effect on all nodes; the one without
// space shows it later.
func TestARestoreWithOneFullDisk(t *testing.T) {
	needMounts(t)
	c := live.New(t)
	n := c.Add()
	c.Add()
	c.Add()
	apart(t, n, "size=24m")
	c.Found()
	c.Must(n.Server(), "tenant", "create", tenant)
	c.Flood(live.ManyCallers, tenant, 0, 300)
	archive := filepath.Join(c.Dir, "archive.tgz")
	c.Must(n.Server(), "snapshot", "save", archive)
	c.Must(n.Server(), "tenant", "delete", tenant, "--yes")
	n.Stop() // what was deleted is there for slow readers for a while, and would be room
	n.Start()
	c.Await(n)
	fill(t, n.Dir)
	pid := n.PID()
	r := c.Must(n.Server(), "restore", archive, "--yes", "-o", "json")
	if live.Decode[rpc.RestoreReply](t, r).Published {
		t.Error("a node with a full disk says that its files show the archive")
	}
	degraded(t, c, n, "disk_full")
	if r := c.Must(n.Server(), "client", "get", "app-00299", "-t", tenant, "-o", "name"); string(r.Stdout) != "client/"+tenant+"/app-00299\n" {
		t.Errorf("client get: %q", r.Stdout)
	}
	unfill(t, n.Dir)
	repaired(t, c, n, pid)
	if files := c.Identical(); len(files) < 300 {
		t.Errorf("%d files", len(files))
	}
}

// TestFilesOnADiskThatBecomesReadOnly: the kernel makes an ext4 read-only when
// it finds it damaged. The node goes on until it is stopped for the repair.
func TestFilesOnADiskThatBecomesReadOnly(t *testing.T) {
	needMounts(t)
	c := live.New(t)
	n := c.Add()
	c.Add()
	c.Add()
	image := filepath.Join(c.Dir, "ext4.img")
	device := mountExt4(t, image, n.Dir)
	disk, raft := filepath.Join(c.Dir, "disk"), filepath.Join(n.Dir, "raft")
	mountTmpfs(t, disk, "size=1g")
	bind(t, disk, raft)
	c.Found()
	makeTenant(c, n)
	b := write(t, c, 2, steady, live.Patience)
	b.more(t, 10)
	breakExt4(t, device)
	degraded(t, c, n, "io_error")
	live.Until(t, "another node leads", func() bool { return c.Leader() != n })
	b.more(t, 20)
	served(t, c, n, "globex")
	n.Stop()
	b.more(t, 5)

	// Started on it, the node says what is wrong: its log could be written, but it
	// has no place for its socket.
	n.Start()
	n.Ends(1)
	if log := n.LogTail(); !strings.Contains(log, "data directory "+n.Dir+" cannot be written") || !strings.Contains(log, "read-only") {
		t.Errorf("the log says\n%s", log)
	}
	unmount(t, raft)
	repairExt4(t, image, device, n.Dir)
	loopMount(t, image, n.Dir)
	bind(t, disk, raft)
	n.Start()
	c.Await(n)
	b.end(t, c, n)
	c.Identical()
	noLeftovers(t, n.Dir)
}

// TestADataDirectoryThatIsReadOnly: with the log in it, that is a log that
// cannot be written.
func TestADataDirectoryThatIsReadOnly(t *testing.T) {
	needMounts(t)
	c := live.New(t)
	n := c.Add()
	mountTmpfs(t, n.Dir, "size=64m")
	c.Found()
	c.Must(n.Server(), "tenant", "create", tenant)
	n.Stop()
	remount(t, n.Dir, true)
	n.Start()
	n.Ends(13)
	if log := n.LogTail(); !strings.Contains(log, "the log cannot be written") || !strings.Contains(log, n.Dir) || !strings.Contains(log, "make it writable") {
		t.Errorf("the log says\n%s", log)
	}
	remount(t, n.Dir, false)
	n.Start()
	c.Await(n)
	c.Must(n.Server(), "tenant", "get", tenant)
	noLeftovers(t, n.Dir)
}

const soon = time.Second // what a caller waits who is to be refused

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
)

// keyDisk notes when cluster.key is saved before raft/committed was synced, and
// fails its saves when told to. What is written to the marker behind that sync is
// about later entries.
type keyDisk struct {
	disk.Real
	mu     sync.Mutex
	fail   error        // of cluster.key
	files  error        // of data/
	marker map[int]bool // descriptors of raft/committed
	synced bool         // one of them, by who waits for it
	early  []string
	saves  int
}

func (d *keyDisk) Pwrite(fd int, b []byte, offset int64) error {
	d.mu.Lock()
	if path, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); strings.HasSuffix(path, "/raft/committed") {
		d.marker[fd] = true
	}
	d.mu.Unlock()
	return d.Real.Pwrite(fd, b, offset)
}

func (d *keyDisk) Datasync(fd int) error {
	err := d.Real.Datasync(fd)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.marker[fd] && !strings.Contains(string(debug.Stack()), "syncWrites") { // in the background it comes in time by luck only
		d.synced = true
	}
	return err
}

func (d *keyDisk) Create(dir int, name string, mode uint32) (int, error) {
	if strings.Contains(name, "cluster.key") {
		d.mu.Lock()
		fail := d.fail
		d.saves++
		if !d.synced {
			d.early = append(d.early, name)
		}
		d.mu.Unlock()
		if fail != nil {
			return -1, fail
		}
	}
	return d.Real.Create(dir, name, mode)
}

func (d *keyDisk) Exchange(a int, name string, b int, other string) error {
	d.mu.Lock()
	err := d.files
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return d.Real.Exchange(a, name, b, other)
}

// TestANodeKeepsTheKeyThatItsFilesNeed: while data/ cannot be written, what is in
// it is sealed under the old key, and a process beside the node may open it.
func TestANodeKeepsTheKeyThatItsFilesNeed(t *testing.T) {
	t.Parallel()
	d := &keyDisk{marker: map[int]bool{}}
	c := aloneCluster(t, func(*founding) {})
	c.must(tenantNamed("acme"))
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	c.close("n1")
	c.disk = d
	n := c.open("n1", false)
	c.agree()
	old := n.ring().First()
	d.mu.Lock()
	d.files = unix.EIO
	d.mu.Unlock()
	r := c.rekey()
	if len(r.Waiting) != 1 || !strings.Contains(r.Waiting[0], "n1 still has the old key") {
		t.Errorf("the roll-over ends with %+v", r)
	}
	if _, kept := n.ring().Key(old.ID(), old.Check()); !kept || !strings.Contains(string(readFile(t, filepath.Join(c.dirs["n1"], "data/keys/acme/keyset.json"))), old.ID()) {
		t.Error("the old key is gone, or the files were written")
	}
	d.mu.Lock()
	d.files = nil
	d.mu.Unlock()
	c.wantOneKey(r.KeyID)
	c.agree()
}

// TestAKeyIsGivenUpOnceTheStateThatRetiredItIsOnTheDisk: after a power cut the
// node is back at an older state, which must not name a key that is gone.
func TestAKeyIsGivenUpOnceTheStateThatRetiredItIsOnTheDisk(t *testing.T) {
	t.Parallel()
	d := &keyDisk{marker: map[int]bool{}}
	c := aloneCluster(t, func(*founding) {})
	c.close("n1")
	c.disk = d
	n := c.open("n1", false)
	c.leader()
	r := &rekeying{node: n, actor: "test", began: time.Now()}
	c.begun(r)
	c.switchNow(r)
	c.all(r)
	if _, err := n.tendKeys(n.Image()); err != nil { // now, and not later
		t.Fatal(err)
	}
	d.mu.Lock()
	d.early, d.synced = nil, false // a key that comes needs no older state
	d.mu.Unlock()
	c.retireNow(r)
	c.until("the old key to go", func() error {
		if _, err := n.tendKeys(n.Image()); err != nil {
			return err
		}
		if len(n.ring().Keys()) > 1 {
			return errors.New(n.ring().IDs())
		}
		return nil
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.early) > 0 {
		t.Errorf("%d saves of cluster.key came before the sync of raft/committed", len(d.early))
	}
}

// TestAKeyThatCannotBeWrittenIsNobodys: a node whose disk is full does not say
// that it has the key, and the roll-over waits for it.
func TestAKeyThatCannotBeWrittenIsNobodys(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	var full *Node
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			full = n
		}
	}
	name := full.Name()
	c.close(name)
	d := &keyDisk{marker: map[int]bool{}, fail: unix.ENOSPC}
	c.disk = d
	full = c.open(name, false)
	c.disk = nil
	r := &rekeying{node: c.leader(), actor: "test", began: time.Now().Add(-time.Hour)} // a voter is waited for however long it takes
	c.begun(r)
	next := rollover(r.node.Image()).Next
	c.until("the others to have it, and this one to try", func() error {
		d.mu.Lock()
		saves := d.saves
		d.mu.Unlock()
		waiting := r.without(next)
		if saves < 3 || len(waiting) != 1 || !strings.HasPrefix(waiting[0], name) {
			return fmt.Errorf("%d saves, waiting for %v", saves, waiting)
		}
		return nil
	})
	if _, ok := full.ring().Key(next.ID, next.Check); ok {
		t.Error("it says that it has the key")
	}
	d.mu.Lock()
	d.fail = nil
	d.mu.Unlock()
	done := c.rekey()
	if done.KeyID != next.ID {
		t.Errorf("it came to %s, %s had begun", done.KeyID, next.ID)
	}
	c.wantOneKey(done.KeyID)
}

// TestEveryFileThatACrashMayLeaveWorks: behind each step a node is started with
// each cluster.key that it may have then, and the roll-over comes to its end.
func TestEveryFileThatACrashMayLeaveWorks(t *testing.T) {
	for _, tt := range []struct {
		phase string
		take  func(c *trio, r *rekeying)
		files []string // o: the old key, n: the new one
	}{
		{"before", func(*trio, *rekeying) {}, []string{"o", "on", "no"}},
		{"begun", func(c *trio, r *rekeying) { c.begun(r) }, []string{"o", "on", "no"}},
		{"switched", func(c *trio, r *rekeying) { c.begun(r); c.switchNow(r) }, []string{"on", "no"}},
		{"half", func(c *trio, r *rekeying) { c.begun(r); c.switchNow(r); c.some(r) }, []string{"on", "no"}},
		{"retired", func(c *trio, r *rekeying) { c.begun(r); c.switchNow(r); c.all(r); c.retireNow(r) }, []string{"on", "no", "n"}},
	} {
		t.Run(tt.phase, func(t *testing.T) {
			t.Parallel()
			c := aloneCluster(t, func(*founding) {})
			c.must(tenantNamed("acme"))
			c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
			before := c.exported("acme")
			old := c.leader().ring().First()
			r := &rekeying{node: c.leader(), actor: "test", began: time.Now()}
			tt.take(c, r)
			other := old
			for _, k := range c.leader().ring().Keys() {
				if k != old {
					other = k
				}
			}
			if other == old {
				var err error
				if other, err = pki.NewClusterKey(); err != nil { // made, and not put on record
					t.Fatal(err)
				}
			}
			c.close("n1")
			whole := c.dirs["n1"]
			for _, file := range tt.files {
				var b []byte
				for _, k := range file {
					if k == 'o' {
						b = append(b, old.Encode()...)
					} else {
						b = append(b, other.Encode()...)
					}
				}
				dir := filepath.Join(filepath.Dir(whole), "crash-"+file)
				copyTo(t, dir, whole)
				c.dirs["n1"] = dir
				c.putKeyFile("n1", b)
				c.open("n1", false)
				if got := c.exported("acme"); got != before {
					t.Errorf("with %s the private key is another one", file)
				}
				done := c.rekey()
				c.wantOneKey(done.KeyID)
				if got := c.exported("acme"); got != before {
					t.Errorf("with %s the private key is another one behind the roll-over", file)
				}
				c.close("n1")
			}
		})
	}
}

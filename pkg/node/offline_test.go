package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/faultdisk"
)

// archived is an archive of a cluster with keys, and its cluster key.
func archived(t *testing.T) (*snapshot.Contents, pki.Keyring) {
	t.Helper()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	c.must(clientNamed("acme", "web"))
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	archive, err := snapshot.Read(strings.NewReader(archiveOf(t, c.leader())), snapshot.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return archive, c.leader().ring()
}

func TestAnArchiveBecomesAClusterOfItsOwn(t *testing.T) {
	t.Parallel()
	archive, ring := archived(t)
	c := trioIn(t, "")
	base := t.TempDir()
	t.Cleanup(func() {
		for name := range c.dirs {
			c.close(name)
		}
	})
	c.dirs["m1"] = filepath.Join(base, "m1")
	o := &Offline{Dir: c.dirs["m1"], Name: "m1", Keys: &ring, Archive: archive, Now: time.Now()}
	if _, err := o.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a look has made the directory: %v", err)
	}
	f, err := o.Found()
	if err != nil {
		t.Fatal(err)
	}
	n := c.open("m1", false)
	c.leader()
	img := n.Image()
	if img.DataDigest() != archive.Manifest.Digest || img.Revision() != archive.Manifest.Revision || f.Revision != img.Revision() || n.ClusterID() != f.ClusterID || f.ClusterID == archive.Manifest.ClusterID {
		t.Errorf("digest %.8s, revision %d, cluster %s; the archive has %.8s, %d, %s", img.DataDigest(), img.Revision(), n.ClusterID(),
			archive.Manifest.Digest, archive.Manifest.Revision, archive.Manifest.ClusterID)
	}
	for d := range img.Scan("system/certs/") {
		if archive.Image.Get(d.Path) != nil {
			t.Errorf("%s came with the archive", d.Path)
		}
	}
	// It goes on: what was sealed opens, revisions rise, members join.
	if a := c.must(clientNamed("acme", "after")); a.Revision != img.Revision()+1 {
		t.Errorf("the first change has revision %d, the archive %d", a.Revision, img.Revision())
	}
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	c.dirs["m2"] = filepath.Join(base, "m2")
	c.open("m2", true)
	c.until("a second voter", func() error {
		if n := c.leader().voters(); n != 2 {
			return fmt.Errorf("%d voters", n)
		}
		return nil
	})
	c.agree()
	// A request that was made before the archive may have been done there.
	old := clientNamed("acme", "late")
	old.ID, old.AgeUS = "019aa000-0000-7000-8000-000000000001", time.Since(archive.Image.Counters().Time.Std()).Microseconds()+1_000_000
	if _, err := c.write(old); !errors.Is(err, store.ErrRequestReused) {
		t.Errorf("a request that is older than the archive: %v", err)
	}
}

func TestWhereNoClusterIsFoundedFromAnArchive(t *testing.T) {
	t.Parallel()
	archive, ring := archived(t)
	key, err := pki.NewClusterKey()
	if err != nil {
		t.Fatal(err)
	}
	other := pki.NewKeyring(key)
	sealed := ring.First().ID()
	for _, tt := range []struct {
		fact  string
		keys  *pki.Keyring
		files []string
		code  store.Code
		says  []string
	}{
		{"without a cluster key", nil, nil, store.CodeInvalid, []string{sealed, "--cluster-key-file"}},
		{"with another cluster key", &other, nil, store.CodeIntegrity, []string{sealed, other.IDs()}},
		{"in a directory that is not empty", &ring, []string{"notes.txt"}, store.CodeRefused, []string{"notes.txt"}},
		{"in that of a node", &ring, []string{"node.json", "raft"}, store.CodeRefused, []string{"node.json, raft", "without --offline"}},
		{"beside a cluster key", &ring, []string{"cluster.key"}, store.CodeRefused, []string{"cluster.key", "--cluster-key-file"}},
		{"in an empty one that mkfs has made", &ring, []string{"lost+found", "lock"}, "", nil},
	} {
		dir := t.TempDir()
		for _, f := range tt.files {
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := everything(t, dir)
		o := &Offline{Dir: dir, Name: "m1", Keys: tt.keys, Archive: archive, Now: time.Now()}
		_, looked := o.Check()
		if everything(t, dir) != before {
			t.Errorf("%s: a look has changed the directory", tt.fact)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		before = everything(t, dir)
		_, done := o.Found()
		for _, err := range []error{looked, done} {
			var e *store.Error
			if tt.code == "" && err == nil {
				continue
			}
			if !errors.As(err, &e) || e.Code != tt.code {
				t.Errorf("%s: %v, want %q", tt.fact, err, tt.code)
				continue
			}
			for _, says := range tt.says {
				if !strings.Contains(e.Message+"\n"+e.Hint, says) {
					t.Errorf("%s: %q, hint %q, want %q", tt.fact, e.Message, e.Hint, says)
				}
			}
		}
		if tt.code != "" && everything(t, dir) != before {
			t.Errorf("%s: the directory was changed", tt.fact)
		}
	}
}

// Killed at any change of the disk, it can be done again; and no node starts on
// what is half done.
func TestAKillAtEveryStepOfAFoundingFromAnArchive(t *testing.T) {
	t.Parallel()
	archive, ring := archived(t)
	base := memoryDir(t)
	refused := 0
	for n, killed := 0, true; killed; n++ {
		dir := filepath.Join(base, fmt.Sprint(n))
		var f faultdisk.Disk
		was := f.KillAfter(n)
		keys := ring
		o := Offline{Dir: dir, Name: "m1", Keys: &keys, Archive: archive, Now: time.Now(), disk: &f}
		_, err := o.Found()
		if killed = was(); killed != (err != nil) {
			t.Fatalf("killed after %d steps: %v, %v", n, killed, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "node.json")); err == nil && killed {
			start := dir + "-started"
			copyTo(t, start, dir)
			if _, err := startsFounded(start, archive.Image); err == nil {
				if _, left := os.Lstat(filepath.Join(start, offlineFile)); left == nil {
					t.Errorf("killed after %d steps, a node starts on what is half done", n)
				}
			} else if !strings.Contains(err.Error(), "was cut short") {
				t.Errorf("killed after %d steps: %v", n, err)
			}
			refused++
			os.RemoveAll(start)
		}
		again := Offline{Dir: dir, Name: "m1", Keys: &keys, Archive: archive, Now: time.Now()}
		switch _, err := again.Found(); {
		case !killed || errors.Is(err, store.ErrRefused): // it was done
		case err != nil:
			t.Fatalf("killed after %d steps, and done again: %v", n, err)
		}
		if generation, err := startsFounded(dir, archive.Image); err != nil || generation != 1 {
			t.Fatalf("killed after %d steps, and done again: of generation %d, %v", n, generation, err)
		}
		if names, _ := filepath.Glob(filepath.Join(dir, "*.*")); slices.Contains(names, filepath.Join(dir, offlineFile)) {
			t.Errorf("after %d steps there is %v", n, names)
		}
		os.RemoveAll(dir)
	}
	if refused == 0 {
		t.Error("it was never killed close to its end")
	}
}

// startsFounded is startsAs for a cluster whose log begins anew.
func startsFounded(dir string, archive *store.Image) (uint64, error) {
	tx := archive.Begin()
	img, _ := tx.Freeze(0, 0)
	return startsAs(dir, img)
}

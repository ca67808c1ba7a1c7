package cmd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// archive is one of a state with nothing in it.
func archive(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := snapshot.Write(&b, store.NewImage(), "c1"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSnapshotSave(t *testing.T) {
	good := archive(t)
	t.Run("to a file, in place of what is there", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "b.tgz")
		if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		w.fake.archive, w.manifest.Index = good, 9800
		w.run("snapshot", "save", path).want(t, 0, path+" saved: index 9800, "+bytesText(int64(len(good)))+"\n", "")
		wantFile(t, path, string(good))
	})
	t.Run("under the name of its index", func(t *testing.T) {
		t.Chdir(t.TempDir())
		w := newWorld()
		w.fake.archive, w.manifest.Index = good, 9800
		w.run("snapshot", "save", "-o", "name").want(t, 0, "cpctl-9800.tgz\n", "")
		wantFile(t, "cpctl-9800.tgz", string(good))
	})
	t.Run("to stdout", func(t *testing.T) {
		w := newWorld()
		w.fake.archive, w.manifest.Index = good, 9800
		w.run("snapshot", "save", "-").want(t, 0, string(good), "snapshot saved: index 9800, revision 0\n")
	})
	t.Run("not to a terminal", func(t *testing.T) {
		w := newWorld()
		w.terminal = true
		if r := w.run("snapshot", "save", "-"); r.code != 2 || r.out != "" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("damaged on the way: the old one stays", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "b.tgz")
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		w.fake.archive = good[:len(good)-1]
		if r := w.run("snapshot", "save", path); r.code != 11 || r.out != "" || !strings.Contains(r.err, "did not arrive whole") {
			t.Errorf("%+v", r)
		}
		wantFile(t, path, "old")
	})
	t.Run("no leader: no file", func(t *testing.T) {
		dir := t.TempDir()
		w := newWorld()
		w.fail = store.Errorf(store.CodeUnavailable, "no leader")
		w.run("snapshot", "save", filepath.Join(dir, "b.tgz")).want(t, 10, "", "cpctl: no leader\n")
		wantEmpty(t, dir)
	})
	t.Run("others come first", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "b.tgz")
		for _, c := range []struct {
			args  []string
			gives int
		}{{[]string{"snapshot", "save", path}, 1}, {[]string{"snapshot", "save", "-"}, 1}, {[]string{"snapshot", "save", os.DevNull}, 1}, {[]string{"snapshot", "verify", path}, 0}} {
			w, gave := newWorld(), 0
			w.fake.archive = good
			if r := w.with(func(e *Env) { e.Background = func() { gave++ } }, c.args...); r.code != 0 || gave != c.gives {
				t.Errorf("%v: exit %d, it gives way %d times, want %d", c.args, r.code, gave, c.gives)
			}
		}
	})
	t.Run("to a device", func(t *testing.T) {
		w := newWorld()
		w.fake.archive = good
		if r := w.run("snapshot", "save", os.DevNull); r.code != 0 {
			t.Errorf("%+v", r)
		}
		if st, err := os.Stat(os.DevNull); err != nil || st.Mode().IsRegular() {
			t.Errorf("the device is gone: %v, %v", st, err)
		}
	})
}

func TestSnapshotInspect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tgz")
	good := archive(t)
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	size := bytesText(int64(len(good)))
	const rest = "index      0 (term 0)\ncreated    -\ncontents   0 tenants, 0 clients, 0 scopes, 0 keys\n"
	newWorld().run("snapshot", "inspect", path).want(t, 0, "file       "+path+", "+size+", intact\n"+rest, "")
	newWorld().run("snapshot", "verify", path).want(t, 0, path+": intact\n", "")
	w := newWorld()
	w.stdin = string(good)
	w.run("snapshot", "inspect", "-").want(t, 0, "file       -, "+size+", intact\n"+rest, "")
	if len(w.dialled) != 0 {
		t.Error("a server was asked")
	}
	for _, verb := range []string{"inspect", "verify"} {
		w := newWorld()
		w.stdin = "a text file"
		if r := w.run("snapshot", verb, "-"); r.code != 11 || r.out != "" || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s of a text file: %+v", verb, r)
		}
	}
}

func TestRestore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tgz")
	good := archive(t)
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	const counts = "          BEFORE   AFTER\ntenants        1      12\nclients        3    1904\nscopes         0       0\nkeys           0       0\n"
	w := newWorld()
	w.run("restore", path, "-y", "--request-id", "r1").want(t, 0, path+" restored: 1 added, 0 changed, 1 removed\n"+counts, "")
	if !bytes.Equal(w.restored, good) || w.restore.RequestID != "r1" || w.restore.DryRun {
		t.Errorf("sent %d bytes, %+v", len(w.restored), w.restore)
	}
	w.run("snapshot", "restore", path, "--dry-run").want(t, 0,
		"+ client/acme/web\n- scope/acme/admin\n"+path+" restored: 1 added, 0 changed, 1 removed (dry run)\n"+counts,
		"compared with revision 4711; to restore over that one only: --expect-revision 4711\n")
	if !w.restore.DryRun || w.restore.RequestID == "" || w.restore.ExpectRevision != nil {
		t.Errorf("%+v", w.restore)
	}
	w.restores = &rpc.RestoreReply{Difference: &rpc.Difference{Before: store.Counts{Tenants: 1, Clients: 3}, After: store.Counts{Tenants: 1, Clients: 3}}, Revision: 4711, Published: true}
	w.run("restore", path, "-y").want(t, 0, path+" unchanged: the state is that of the archive already\n"+strings.NewReplacer("12", " 1", "1904", "   3").Replace(counts), "")
	w.restores = &rpc.RestoreReply{Replayed: true, ChangedTotal: 7, Revision: 4711, Published: true}
	w.run("restore", path, "-y").want(t, 0, path+" restored by an earlier attempt, at revision 4711: 7 documents changed\n", "")
	if r := w.run("restore", path, "-y", "-o", "json"); strings.Contains(r.out, "before") || strings.Contains(r.out, "added") || !strings.Contains(r.out, `"changed_total": 7`) {
		t.Errorf("what an earlier attempt did: %s", r.out)
	}
	w.restores = nil
	for _, n := range []uint64{0, 4711} {
		w.run("restore", path, "-y", "--expect-revision", fmt.Sprint(n)).want(t, 0, path+" restored: 1 added, 0 changed, 1 removed\n"+counts, "")
		if got := w.restore.ExpectRevision; got == nil || *got != n {
			t.Errorf("expects %v, want %d", got, n)
		}
	}
	w = newWorld()
	w.fail = store.Errorf(store.CodeUnknown, "no answer")
	w.run("restore", path, "-y", "--request-id", "r2").want(t, 9, "",
		"cpctl: no answer\n  the change may have been made; find out, and make it at most once, with:\n  cpctl restore "+path+" -y --request-id r2\n")
	w = newWorld()
	w.stdin = "a text file"
	if r := w.run("restore", "-", "-y"); r.code != 11 || w.restored != nil {
		t.Errorf("a text file: %+v", r)
	}
}

package publish

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// stopped makes a directory with the files of a state and no publisher.
func stopped(t *testing.T, w *world) (dir string, img *store.Image) {
	t.Helper()
	dir = t.TempDir()
	p := open(t, dir)
	img, _ = w.image()
	p.Start(img)
	wait(t, p, img.Index)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, img
}

func acme(t *testing.T) *world {
	w := newWorld(t)
	w.tenant("acme", 1, "web", "cli")
	w.tenant("beta", 1, "x")
	return w
}

// Only what this boot has finished, and what is the state, counts unread.
func TestFilesOfThisBootCountAtOnce(t *testing.T) {
	for _, c := range []struct {
		fact   string
		boot   string
		change func(dir string, w *world) // before the second start
		ready  bool
	}{
		{"same boot, same state", thisRun, func(string, *world) {}, true},
		{"another boot", "boot-2", func(string, *world) {}, false},
		{"the state has moved on", thisRun, func(_ string, w *world) { w.set(store.ClientPath("acme", "web"), 2) }, false},
		{"no marker", thisRun, func(dir string, _ *world) { os.Remove(filepath.Join(dir, "data/.applied")) }, false},
		{"a damaged marker", thisRun, func(dir string, _ *world) { os.Truncate(filepath.Join(dir, "data/.applied"), 100) }, false},
	} {
		w := acme(t)
		dir, _ := stopped(t, w)
		c.change(dir, w)
		img, _ := w.image()
		p := open(t, dir, boot(c.boot))
		p.first = img
		if got := p.trusted(); got != c.ready {
			t.Errorf("%s: counts at once: %v, want %v", c.fact, got, c.ready)
		}
		p.Start(img)
		wait(t, p, img.Index)
		wantFiles(t, dir, img)
		if a, err := ReadApplied(filepath.Join(dir, dataName)); err != nil || a.BootID != c.boot {
			t.Errorf("%s: .applied = %+v, %v, want boot id %s", c.fact, a, err, c.boot)
		}
	}
}

// TestAMarkerOfWhichOnlyItsLengthCameToTheDisk: nothing of it is left as it was, and
// a check finds nothing, when one record was written.
func TestAMarkerOfWhichOnlyItsLengthCameToTheDisk(t *testing.T) {
	w := acme(t)
	dir, _ := stopped(t, w)
	if err := os.WriteFile(filepath.Join(dir, "data/.applied"), make([]byte, markerSize), 0o600); err != nil {
		t.Fatal(err)
	}
	p := started(t, dir, w, boot("boot-2"))
	img, _ := w.image()
	if faults, err := p.Check(img, false); err != nil || len(faults) > 0 {
		t.Errorf("a check finds %v, %v", faults, err)
	}
}

// spoil is what people and crashes do to data/.
var spoil = []struct {
	fact   string
	spoil  func(data string) error
	faults []Fault
}{
	{"an edited file", func(d string) error {
		return os.WriteFile(d+"/tenants/acme/clients/web.json", []byte("{}\n"), 0o600)
	}, []Fault{{"tenants/acme/clients/web.json", ProblemChanged}}},
	{"a file with one other byte", func(d string) error {
		f, err := os.OpenFile(d+"/keys/beta/jwks.json", os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte("#"), 50)
		return errors.Join(err, f.Close())
	}, []Fault{{"keys/beta/jwks.json", ProblemChanged}}},
	{"an emptied file", func(d string) error {
		return os.Truncate(d+"/tenants/acme/tenant.json", 0)
	}, []Fault{{"tenants/acme/tenant.json", ProblemChanged}}},
	{"a lost file", func(d string) error { return os.Remove(d + "/keys/acme/keyset.json") },
		[]Fault{{"keys/acme/keyset.json", ProblemMissing}}},
	{"a lost directory", func(d string) error { return os.RemoveAll(d + "/tenants/acme/clients") },
		[]Fault{{"tenants/acme/clients/cli.json", ProblemMissing}, {"tenants/acme/clients/web.json", ProblemMissing}}},
	{"a file of somebody's own", func(d string) error { return os.WriteFile(d+"/notes.txt", nil, 0o600) },
		[]Fault{{"notes.txt", ProblemForeign}}},
	{"a client that nobody created", func(d string) error {
		return os.WriteFile(d+"/tenants/acme/clients/evil.json", []byte("{}\n"), 0o600)
	}, []Fault{{"tenants/acme/clients/evil.json", ProblemForeign}}},
	{"a tree of somebody's own", func(d string) error {
		return errors.Join(os.MkdirAll(d+"/tenants/mine/clients", 0o700), os.WriteFile(d+"/tenants/mine/clients/a.json", nil, 0o600))
	}, []Fault{{"tenants/mine", ProblemForeign}}},
	{"a directory with the name of a system document", func(d string) error { return os.Mkdir(d+"/system", 0o700) },
		[]Fault{{"system", ProblemForeign}}},
	{"an empty directory", func(d string) error { return os.Mkdir(d+"/keys/empty", 0o700) },
		[]Fault{{"keys/empty", ProblemForeign}}},
	{"a scratch file of a crash", func(d string) error { return os.WriteFile(d+"/tenants/.tmp", nil, 0o600) },
		[]Fault{{"tenants/.tmp", ProblemForeign}}},
	{"a file that became a link", func(d string) error {
		name := d + "/tenants/acme/clients/web.json"
		return errors.Join(os.Rename(name, d+"/../copy.json"), os.Symlink("../../../../copy.json", name))
	}, []Fault{{"tenants/acme/clients/web.json", ProblemChanged}}},
	{"a directory that became a link", func(d string) error {
		name := d + "/tenants/acme"
		return errors.Join(os.Rename(name, d+"/../copy"), os.Symlink("../../copy", name))
	}, []Fault{
		{"tenants/acme", ProblemForeign}, {"tenants/acme/clients/cli.json", ProblemMissing},
		{"tenants/acme/clients/web.json", ProblemMissing}, {"tenants/acme/scopes/read%3A%41ll.json", ProblemMissing},
		{"tenants/acme/tenant.json", ProblemMissing},
	}},
	{"a file that became a directory", func(d string) error {
		name := d + "/keys/beta/keyset.json"
		return errors.Join(os.Remove(name), os.MkdirAll(name+"/in/it", 0o700))
	}, []Fault{{"keys/beta/keyset.json", ProblemChanged}}},
	{"a directory that became a file", func(d string) error {
		return errors.Join(os.RemoveAll(d+"/keys"), os.WriteFile(d+"/keys", nil, 0o600))
	}, []Fault{
		{"keys", ProblemForeign}, {"keys/acme/jwks.json", ProblemMissing}, {"keys/acme/keyset.json", ProblemMissing},
		{"keys/beta/jwks.json", ProblemMissing}, {"keys/beta/keyset.json", ProblemMissing},
	}},
	{"a pipe in the place of a file", func(d string) error {
		name := d + "/tenants/beta/tenant.json"
		return errors.Join(os.Remove(name), unix.Mkfifo(name, 0o600))
	}, []Fault{{"tenants/beta/tenant.json", ProblemChanged}}},
	{"a file that all may read", func(d string) error { return os.Chmod(d+"/keys/acme/keyset.json", 0o644) },
		[]Fault{{"keys/acme/keyset.json", ProblemMode}}},
	{"a directory that all may enter", func(d string) error { return os.Chmod(d+"/tenants/acme", 0o755) },
		[]Fault{{"tenants/acme", ProblemMode}}},
	{"a link to a file outside, added", func(d string) error { return os.Symlink("/etc/passwd", d+"/tenants/acme/clients/p.json") },
		[]Fault{{"tenants/acme/clients/p.json", ProblemForeign}}},
	{"a second name of a document", func(d string) error {
		return os.Link(d+"/tenants/acme/tenant.json", d+"/tenants/acme/clients/tenant.json")
	}, []Fault{{"tenants/acme/clients/tenant.json", ProblemForeign}}},
	{"nothing", func(string) error { return nil }, nil},
}

// Files that were edited or damaged are put right at start.
func TestStartPutsRightWhatIsWrong(t *testing.T) {
	inMemory(t)
	w := acme(t)
	for _, c := range spoil {
		for _, id := range []string{thisRun, "boot-2"} {
			dir, img := stopped(t, w)
			if err := c.spoil(filepath.Join(dir, dataName)); err != nil {
				t.Fatal(err)
			}
			p := open(t, dir, boot(id))
			p.Start(img)
			wait(t, p, img.Index)
			if faults, err := p.Check(img, false); err != nil || len(faults) > 0 {
				t.Errorf("%s (%s): still wrong: %v, %v", c.fact, id, faults, err)
			}
			wantFiles(t, dir, img)
			if err := p.Close(); err != nil {
				t.Errorf("%s (%s): %v", c.fact, id, err)
			}
			if t.Failed() {
				t.Fatalf("after %s (%s)", c.fact, id)
			}
		}
	}
}

func TestStartOnADirectoryOfSomethingElse(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data/tenants/acme/deep/er"), 0o755); err != nil {
		t.Fatal(err)
	}
	w := acme(t)
	p := started(t, dir, w)
	img := w.publish(p)
	wantFiles(t, dir, img)
}

func TestALargeRepairIsSeenAtOneMoment(t *testing.T) {
	inMemory(t)
	w := newWorld(t)
	w.tenant("acme", 1)
	for i := range wholeFrom {
		w.set(store.ClientPath("acme", strings.Repeat("c", 1+i%20)+string(rune('a'+i%26))+strings.Repeat("d", i/26)), 1)
	}
	dir, img := stopped(t, w)
	if err := os.RemoveAll(filepath.Join(dir, "data/tenants")); err != nil {
		t.Fatal(err)
	}
	f := new(faulty)
	exchanged := 0
	p := open(t, dir, boot("boot-2"), via(f))
	f.set(func(call, name string) error {
		if call == "exchange" && name == dataName {
			exchanged++
		}
		return nil
	})
	p.Start(img)
	wait(t, p, img.Index)
	f.set(nil)
	if exchanged != 1 {
		t.Errorf("data/ was exchanged %d times, want once", exchanged)
	}
	wantFiles(t, dir, img)
}

// What happens while the files are verified is published once they are.
func TestPublishBeforeTheFilesAreVerified(t *testing.T) {
	w := acme(t)
	dir, first := stopped(t, w)
	p := open(t, dir, boot("boot-2"))
	w.set(store.ClientPath("acme", "web"), 2)
	p.Publish(w.image())
	if st := p.Status(); st.Ready || st.PublishedIndex != 0 {
		t.Errorf("status before the start: %+v", st)
	}
	p.Start(first)
	w.drop("beta")
	img := w.publish(p)
	wantFiles(t, dir, img)
}

// A reader never sees an older state than it saw before: an image that is
// older than the files waits for one that is not.
func TestAnOlderImageWaits(t *testing.T) {
	w := acme(t)
	old, _ := w.image()
	w.set(store.ClientPath("acme", "web"), 9)
	w.tenant("gamma", 1)
	dir, newer := stopped(t, w)
	for _, id := range []string{thisRun, "boot-2"} {
		p := open(t, dir, boot(id))
		p.Start(old)
		if id == thisRun {
			until(t, "it waits", func() bool {
				_, err := p.Check(nil, true) // answered when the goroutine had its turn
				return errors.Is(err, store.ErrUnavailable)
			})
			if st := p.Status(); st.Ready {
				t.Error("files that are newer than the state count")
			}
			wantFiles(t, dir, newer)
			p.Publish(newer, nil)
			wait(t, p, newer.Index)
			wantFiles(t, dir, newer)
		} else { // after a boot nothing was promised yet
			wait(t, p, old.Index)
			if got := files(t, dir); got["tenants/gamma/tenant.json"] != "" {
				t.Error("a tenant of a newer state is left")
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		fact  string
		make  func(dir string) error
		says  string
		exact error
	}{
		{"the files of another cluster", func(dir string) error {
			p, err := Open(Config{Dir: dir, ClusterID: "another", Group: -1})
			if err != nil {
				return err
			}
			p.Start(store.NewImage())
			return p.Close()
		}, "another", store.ErrIntegrity},
		{"a data/ that is a link", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/elsewhere", 0o700), os.Symlink("elsewhere", dir+"/data"))
		}, "link", nil},
		{"a data/ that is a file", func(dir string) error { return os.WriteFile(dir+"/data", nil, 0o600) }, "not a directory", nil},
		{"a directory that is not there", os.Remove, "no such file", nil},
	} {
		dir := t.TempDir()
		if err := c.make(dir); err != nil {
			t.Fatalf("%s: %v", c.fact, err)
		}
		_, err := Open(Config{Dir: dir, ClusterID: cluster, Group: -1})
		if err == nil || !strings.Contains(err.Error(), c.says) || c.exact != nil && !errors.Is(err, c.exact) {
			t.Errorf("%s: err = %v, want one with %q", c.fact, err, c.says)
		}
	}
}

func TestOpenSaysWhenTheFileSystemCannotExchange(t *testing.T) {
	f := new(faulty)
	f.set(func(call, _ string) error {
		if call == "exchange" {
			return unix.EINVAL
		}
		return nil
	})
	dir := t.TempDir()
	_, err := Open(Config{Dir: dir, ClusterID: cluster, Group: -1, Disk: f})
	if err == nil || !strings.Contains(err.Error(), "RENAME_EXCHANGE") {
		t.Errorf("err = %v, want one that names RENAME_EXCHANGE", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, yardName)); err == nil {
		t.Error("the probe left restore.tmp behind")
	}
}

func TestMountPoints(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "plain"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"/proc": true, dir + "/plain": false} {
		parent, err := unix.Open(filepath.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := mountPoint(parent, filepath.Base(name)); err != nil || got != want {
			t.Errorf("%s is a mount point: %v, %v, want %v", name, got, err, want)
		}
		unix.Close(parent)
	}
}

func TestOpenRemovesLeftovers(t *testing.T) {
	w := acme(t)
	dir, img := stopped(t, w)
	for _, name := range []string{"restore.tmp/1/tenants/acme", "restore.tmp/2"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"restore.tmp/1/tenants/acme/tenant.json", "restore.tmp/3"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("the directory holds %v, want only data", left)
	}
	wantFiles(t, dir, img)
}

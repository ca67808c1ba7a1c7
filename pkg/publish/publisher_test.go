package publish

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestFilesFollowTheImage(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	p := started(t, dir, w)
	for _, step := range []struct {
		fact   string
		change func()
	}{
		{"an empty state has no directory", func() {}},
		{"a tenant appears with all it has", func() { w.tenant("acme", 1, "web", "cli") }},
		{"a document is replaced", func() { w.set(store.ClientPath("acme", "web"), 2) }},
		{"a document of another length is replaced", func() { w.set(store.ClientPath("acme", "web"), 25) }},
		{"nothing changes", func() {}},
		{"a client goes", func() { w.tx.Clients("acme").Delete("web") }},
		{"the last client goes, its directory with it", func() { w.tx.Clients("acme").Delete("cli") }},
		{"the last scope goes, its directory with it", func() { w.tx.Scopes("acme").Delete("read:All") }},
		{"a second tenant appears", func() { w.tenant("zeta", 3, "a") }},
		{"keys go alone", func() { w.tx.Keys("zeta").Delete("zeta") }},
		{"a tenant goes", func() { w.drop("acme") }},
		{"a tenant comes back as another one", func() { w.tenant("acme", 4, "new") }},
		{"a tenant is made again in one batch", func() { w.drop("acme"); w.tenant("acme", 5, "newer") }},
		{"the last tenant goes, and tenants/ with it", func() {
			w.drop("acme")
			w.tx.Tenants().Delete("zeta")
			w.tx.Scopes("zeta").Delete("read:All")
			w.tx.Clients("zeta").Delete("a")
		}},
	} {
		step.change()
		img := w.publish(p)
		t.Logf("%s: index %d", step.fact, img.Index)
		wantFiles(t, dir, img)
		if t.Failed() {
			t.Fatalf("after: %s", step.fact)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); !slices.Equal(left, []string{dataName}) {
		t.Errorf("the directory holds %v after Close, want only data", left)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestModesDoNotDependOnTheUmask(t *testing.T) {
	closed := 0o277
	if os.Geteuid() != 0 {
		closed = 0o077 // only the superuser gets into directories that it may not write
	}
	before := unix.Umask(0)
	unix.Umask(before)
	defer unix.Umask(before)
	for _, c := range []struct {
		fact      string
		umask     int
		group     int
		dir, file os.FileMode
	}{
		{"owner only, open umask", 0, -1, 0o700, 0o600},
		{"owner only, closed umask", closed, -1, 0o700, 0o600},
		{"group, usual umask", 0o077, os.Getegid(), 0o750, 0o640},
		{"group, open umask", 0, os.Getegid(), 0o750, 0o640},
	} {
		dir := t.TempDir()
		old := unix.Umask(c.umask)
		w := newWorld(t)
		p := started(t, dir, w, func(cfg *Config) { cfg.Group = c.group })
		w.tenant("acme", 1, "web")
		w.publish(p)
		w.tenant("acme", 2, "web")
		img := w.publish(p)
		p.Replace(img)
		faults, err := p.Check(img, false)
		unix.Umask(old)
		if err != nil || len(faults) > 0 {
			t.Errorf("%s: check: %v, %v", c.fact, faults, err)
		}
		err = filepath.WalkDir(filepath.Join(dir, dataName), func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := e.Info()
			want := c.file
			if e.IsDir() {
				want = c.dir
			}
			if err == nil && st.Mode().Perm() != want {
				t.Errorf("%s: %s has mode %v, want %v", c.fact, path, st.Mode().Perm(), want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestFilesBelongToTheGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give files to any group")
	}
	dir := t.TempDir()
	w := newWorld(t)
	w.tenant("acme", 1, "web")
	p := started(t, dir, w, func(cfg *Config) { cfg.Group = 12345 })
	w.set(store.ClientPath("acme", "web"), 2)
	w.publish(p)
	for _, name := range []string{".", "data", "data/.applied", "data/tenants/acme/clients", "data/tenants/acme/clients/web.json", "data/keys/acme/jwks.json"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil || st.Gid != 12345 {
			t.Errorf("%s: group %d, %v, want 12345", name, st.Gid, err)
		}
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o710 {
		t.Errorf("the data directory: %v, %v, want 0710", st.Mode().Perm(), err)
	}
}

func TestChangesOfABatchAreInOrder(t *testing.T) {
	dir := t.TempDir()
	f := new(faulty)
	w := newWorld(t)
	w.tenant("old", 1, "web")
	p := started(t, dir, w, via(f))
	var calls []string
	f.set(func(call, name string) error {
		if _, err := strconv.Atoi(name); err == nil { // in restore.tmp
			name = "out"
		}
		if call == "exchange" || call == "rename" || call == "unlink" && strings.HasSuffix(name, ".json") {
			calls = append(calls, call+" "+name)
		}
		return nil
	})
	wantCalls := func(fact string, want ...string) {
		t.Helper()
		w.publish(p)
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.Equal(calls, want) {
			t.Errorf("%s:\n got %q\nwant %q", fact, calls, want)
		}
		calls = nil
	}
	w.tenant("acme", 1, "b", "a")
	wantCalls("what others refer to comes first, the tenant last",
		"rename read%3A%41ll.json", "rename a.json", "rename b.json", "rename jwks.json", "rename keyset.json", "rename tenant.json")
	w.tenant("acme", 2, "b")
	w.tx.Scopes("acme").Delete("read:All")
	w.load(store.TenantPath("acme"), document("acme", 2, 2)) // the tenant that it was
	w.set(store.ScopePath("acme", "other"), 1)
	w.tx.Clients("acme").Delete("a")
	wantCalls("what is gone comes last, in reverse",
		"rename other.json", "exchange b.json", "exchange jwks.json", "exchange keyset.json", "exchange tenant.json",
		"unlink a.json", "unlink read%3A%41ll.json")
	w.drop("old")
	wantCalls("a deleted tenant is taken out as a whole, then its keys", "rename out", "rename out")
}

func TestWhatIsHandedOverIsPublishedTogether(t *testing.T) {
	dir := t.TempDir()
	f := new(faulty)
	w := newWorld(t)
	w.tenant("acme", 1, "web", "other")
	p := started(t, dir, w, via(f))
	entered, leave := make(chan struct{}), make(chan struct{})
	writes := 0
	f.set(func(call, _ string) error {
		if call == "write" {
			if writes++; writes == 1 {
				close(entered)
				<-leave
			}
		}
		return nil
	})
	w.set(store.ClientPath("acme", "web"), 2)
	p.Publish(w.image())
	<-entered // the first batch is being written
	for n := range uint64(50) {
		w.set(store.ClientPath("acme", "web"), 3+n)
		p.Publish(w.image()) // does not wait
	}
	close(leave)
	img := w.publish(p)
	wantFiles(t, dir, img)
	f.mu.Lock()
	defer f.mu.Unlock()
	if writes != 2 {
		t.Errorf("51 changes of a file that was being written took %d writes, want 2", writes)
	}
}

func TestIdleMovesTheIndex(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	w.tenant("acme", 1)
	p := started(t, dir, w)
	p.Idle(40)
	wait(t, p, 40)
	a, err := ReadApplied(filepath.Join(dir, dataName))
	if err != nil || a.Index != 40 || a.State != StateDone || a.Revision != 1 {
		t.Errorf(".applied = %+v, %v, want done at index 40, revision 1", a, err)
	}
	if st := p.Status(); st != (Status{PublishedIndex: 40, Ready: true}) {
		t.Errorf("status = %+v", st)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	p := started(t, t.TempDir(), newWorld(t))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx, 99); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want the context's", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiters) != 0 {
		t.Errorf("%d waiters are left behind", len(p.waiters))
	}
}

func TestCloseEndsEveryWait(t *testing.T) {
	p := started(t, t.TempDir(), newWorld(t))
	done := make(chan error, 1)
	go func() { done <- p.Wait(context.Background(), 99) }()
	until(t, "somebody waits", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiters) > 0 })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("err = %v, want unavailable", err)
	}
	if _, err := p.Check(nil, false); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("check after close: %v, want unavailable", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

func TestClosePublishesWhatIsPending(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	p := open(t, dir)
	first, _ := w.image()
	p.Start(first)
	w.tenant("acme", 1, "web")
	img, changed := w.image()
	p.Publish(img, changed)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, img)
}

func TestCloseWithoutStart(t *testing.T) {
	p := open(t, t.TempDir())
	if _, err := p.Check(nil, true); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("check before start: %v, want unavailable", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// Invariant 1: nodes that applied the same log hold the same files.
func TestTwoLivesOfOneStateMakeEqualTrees(t *testing.T) {
	w := newWorld(t)
	quiet, restless := t.TempDir(), t.TempDir()
	p := started(t, restless, w)
	w.tenant("acme", 1, "web", "cli")
	w.tenant("beta", 1, "x")
	w.publish(p)
	w.drop("beta")
	w.tx.Clients("acme").Delete("web")
	w.publish(p)
	p.Close()
	w.tenant("beta", 2, "y")
	w.set(store.ClientPath("acme", "cli"), 2)
	img, _ := w.image()
	p = open(t, restless)
	p.Start(img)
	wait(t, p, img.Index)
	q := open(t, quiet)
	q.Start(img)
	wait(t, q, img.Index)
	if a, b := files(t, restless), files(t, quiet); !maps.Equal(a, b) {
		t.Errorf("the trees differ:\n%v\n%v", slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	}
	wantFiles(t, quiet, img)
}

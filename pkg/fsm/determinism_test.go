package fsm

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
)

// What a process is told in which TestTheSameLogGivesTheSameBytes is one of the
// nodes: where to, and what is different for it.
const (
	lifeDir   = "CPCTL_LIFE_DIR"
	lifeUmask = "CPCTL_LIFE_UMASK"
	lifeClock = "CPCTL_LIFE_CLOCK" // how far ahead of the first second of 2000, if given
	lifeBatch = "CPCTL_LIFE_BATCH" // entries applied at once
)

// TestTheSameLogGivesTheSameBytes applies one log in processes that have nothing
// else in common: processors, umask, time zone, locale, clock, batches. Digests
// and answers after every entry, the archive and the files are equal.
func TestTheSameLogGivesTheSameBytes(t *testing.T) {
	if dir := os.Getenv(lifeDir); dir != "" {
		live(t, dir)
		return
	}
	lives := []map[string]string{
		{"GOMAXPROCS": "1", "TZ": "UTC", lifeUmask: "077", lifeBatch: "1"},
		{"GOMAXPROCS": "4", "TZ": "Pacific/Kiritimati", "LANG": "tr_TR.UTF-8", "HOME": "/nowhere", lifeUmask: "000", lifeBatch: "64"},
		{"GOMAXPROCS": "2", "TZ": "America/St_Johns", "GOGC": "5", lifeUmask: "027", lifeBatch: "7", lifeClock: "1h"},
	}
	var first map[string]string
	for i, env := range lives {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^TestTheSameLogGivesTheSameBytes$", "-test.count=1")
		cmd.Env = append(os.Environ(), lifeDir+"="+dir)
		for _, name := range slices.Sorted(maps.Keys(env)) {
			cmd.Env = append(cmd.Env, name+"="+env[name])
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("life %d: %v\n%s", i, err, out)
		}
		got := tree(t, dir)
		if first == nil {
			if first = got; len(got) < 30 || got["archive.tgz"] == "" || got["answers"] == "" {
				t.Fatalf("a life has left %d files", len(got))
			}
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(first)) {
			if got[name] != first[name] {
				t.Errorf("life %d (%v): %s differs: %.200q, want %.200q", i, env, name, got[name], first[name])
			}
			delete(got, name)
		}
		for _, name := range slices.Sorted(maps.Keys(got)) {
			t.Errorf("life %d (%v): %s is there and not in the first", i, env, name)
		}
	}
}

// live is the life of one node, in a process of its own.
func live(t *testing.T, dir string) {
	umask, err := strconv.ParseInt(os.Getenv(lifeUmask), 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	unix.Umask(int(umask))
	if want := os.Getenv("GOMAXPROCS"); strconv.Itoa(runtime.GOMAXPROCS(0)) != want {
		t.Fatalf("GOMAXPROCS is %d, want %s", runtime.GOMAXPROCS(0), want)
	}
	ahead, _ := time.ParseDuration(os.Getenv(lifeClock))
	if ahead == 0 {
		apply(t, dir)
		return
	}
	synctest.Test(t, func(t *testing.T) { // the clock stands in the year 2000
		time.Sleep(ahead)
		apply(t, dir)
		if now := time.Now().UTC(); now.Year() != 2000 {
			t.Errorf("the clock shows %s", now)
		}
	})
}

// apply applies the log with a real marker and real files.
func apply(t *testing.T, dir string) {
	size, err := strconv.Atoi(os.Getenv(lifeBatch))
	if err != nil {
		t.Fatal(err)
	}
	marker, _, _, err := publish.OpenCommitted(nil, filepath.Join(dir, "committed"), cluster)
	if err != nil {
		t.Fatal(err)
	}
	files, err := publish.Open(publish.Config{Dir: dir, ClusterID: cluster, Group: -1})
	if err != nil {
		t.Fatal(err)
	}
	files.Start(store.NewImage())
	f := New(Config{Image: store.NewImage(), ClusterID: func() string { return cluster }, Commit: marker.Write, Files: files,
		Stop: func(err error) { t.Errorf("stopped: %v", err) }})
	var answers bytes.Buffer
	for batch := range slices.Chunk(history(t), size) {
		out := f.ApplyBatch(batch)
		for i, e := range batch {
			fmt.Fprintf(&answers, "%d:%s\n", e.Index, shown(e, out[i]))
		}
	}
	img := f.Image()
	fmt.Fprintln(&answers, img.Index, img.Term, img.Revision(), img.DataDigest(), img.StateDigest())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := files.Wait(ctx, img.Index); err != nil {
		t.Fatalf("the files of index %d: %v", img.Index, err)
	}
	archive := persisted(t, f)
	for name, b := range map[string][]byte{"archive.tgz": archive, "answers": answers.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Error(err)
	}
	if err := marker.Close(); err != nil {
		t.Error(err)
	}
}

// shown is what a caller gets to know of an entry.
func shown(e *raft.Log, answer any) string {
	o, ok := answer.(*Outcome)
	if !ok {
		return fmt.Sprint(" ", e.Type, " ", answer)
	}
	var b strings.Builder
	for _, r := range o.Results {
		fmt.Fprintf(&b, " %d %v %v %v %q;", r.Revision, r.Stale, r.Replayed != nil, r.Names, r.Refusal)
	}
	return b.String()
}

// tree reads what a life has left: modes and bytes, but of the two markers,
// which name the boot.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || name == "." || name == "committed" || name == "data/.applied" || name == "restore.tmp" {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		got[name] = info.Mode().String()
		if e.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		got[name] += "\n" + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

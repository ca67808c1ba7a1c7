package node

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/crash"
	"github.com/cpctl/cpctl/test/faultdisk"
)

// startsAs starts a node up to where raft comes in, and returns its generation.
func startsAs(dir string, shown *store.Image) (generation uint64, err error) {
	n, _, err := bootState(Config{Dir: dir, Name: "n1", Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Stop: func(err error) { panic(err) }})
	if err != nil {
		return 0, err
	}
	img, now := n.Image(), n.self.Generation
	if img.DataDigest() != shown.DataDigest() || img.Index < shown.Index {
		err = fmt.Errorf("it shows %d, %.8s, and had shown %d, %.8s", img.Index, img.DataDigest(), shown.Index, shown.DataDigest())
	}
	if f := foundIn(img); err == nil && f.Generation != now {
		err = fmt.Errorf("its state is of generation %d, it of %d", f.Generation, now)
	}
	if closing := stopState(n); err == nil {
		err = closing
	}
	return now, err
}

// A recovery that is killed at any change of the disk leaves the directory that
// was, or the one that is to be; and it may be done again.
func TestAKillAtEveryStepOfARecovery(t *testing.T) {
	t.Parallel()
	whole, shown := aloneNode(t)
	base := memoryDir(t)
	seen := map[uint64]int{}
	for n, killed := 0, true; killed; n++ {
		dir := filepath.Join(base, fmt.Sprint(n))
		copyTo(t, dir, whole)
		s := survey(t, dir)
		var f faultdisk.Disk
		was := f.KillAfter(n)
		r, err := s.recoverOn(&f, time.Now())
		s.Close()
		if killed = was(); killed != (err != nil) {
			t.Fatalf("killed after %d steps: %v, recovered %+v, %v", n, killed, r, err)
		}
		// The node starts, as what it was or as what it is to be.
		start := dir + "-started"
		copyTo(t, start, dir)
		generation, err := startsAs(start, shown)
		if err != nil {
			t.Fatalf("killed after %d steps, it does not start: %v", n, err)
		}
		for before := range seen {
			if before > generation {
				t.Errorf("after %d steps it is of generation %d again", n, generation)
			}
		}
		seen[generation]++
		if _, err := os.Lstat(filepath.Join(start, raftNew)); err == nil {
			t.Errorf("after %d steps the start leaves %s", n, raftNew)
		}
		// The command is given again.
		if killed {
			s := survey(t, dir)
			begun := s.Begun != 0
			r, err := s.Recover(time.Now())
			if err != nil {
				// Only what was done to its last step is a directory that could be recovered once more.
				t.Fatalf("killed after %d steps, and done again: %v", n, err)
			}
			if r.Resumed != begun {
				t.Errorf("killed after %d steps, and done again: resumed %t", n, r.Resumed)
			}
			s.Close()
		}
		if again, err := startsAs(dir, shown); err != nil || again < 2 {
			t.Fatalf("killed after %d steps, and done again, it is of generation %d, %v", n, again, err)
		}
		os.RemoveAll(dir)
		os.RemoveAll(start)
	}
	if seen[1] < 10 || seen[2] < 10 || len(seen) != 2 {
		t.Errorf("starts by generation: %v", seen)
	}
}

// Power is lost while the three parts of a directory change their places.
func TestAPowerCutInARecovery(t *testing.T) {
	t.Parallel()
	whole, shown := aloneNode(t)
	base := memoryDir(t)
	ready := filepath.Join(base, "ready")
	copyTo(t, ready, whole)
	s := survey(t, ready)
	var f faultdisk.Disk
	f.Set(func(call, name string) error {
		if _, err := os.Lstat(filepath.Join(ready, recoveringFile)); err == nil && call != "sync" {
			return faultdisk.ErrKilled // all is decided, and nothing was moved
		}
		return nil
	})
	if _, err := s.recoverOn(&f, time.Now()); err == nil {
		t.Fatal("it was not killed")
	}
	s.Close()

	home := filepath.Join(base, "n1")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	recorder, err := crash.NewRecorder(home)
	if err != nil {
		t.Fatal(err)
	}
	if err := rewrite(recorder, ready, home); err != nil {
		t.Fatal(err)
	}
	recorder.Note("the directory is there")
	d := &dataDir{path: home, disk: recorder}
	r, err := d.recovering()
	if err != nil || r == nil {
		t.Fatal(err)
	}
	if err := d.finishRecovery(r); err != nil {
		t.Fatal(err)
	}
	ops, err := recorder.Ops()
	if err != nil {
		t.Fatal(err)
	}
	state, began, tried := crash.NewState(), false, 0
	for k, o := range append(ops, &crash.Op{Kind: crash.Note, Note: "the end"}) {
		if o.Kind == crash.Note && !began {
			began = true
			state.SyncAll()
			continue
		}
		if began {
			trees := map[string]*crash.Tree{"killed": state.Kept(), "lost": state.Lost()}
			for seed := range uint64(10) {
				trees[fmt.Sprint("part ", seed)] = state.Part(rand.New(rand.NewPCG(uint64(k), seed)))
			}
			for what, tree := range trees {
				dir := filepath.Join(base, "start")
				if err := tree.Put(dir); err != nil {
					t.Fatal(err)
				}
				if generation, err := startsAs(dir, shown); err != nil || generation != 2 {
					t.Errorf("before call %d (%s), %s: of generation %d, %v", k, o, what, generation, err)
				}
				os.RemoveAll(dir)
				tried++
			}
		}
		if o.Kind != crash.Note {
			state.Apply(o)
		}
	}
	if tried < 200 {
		t.Errorf("only %d were tried", tried)
	}
}

// rewrite makes a copy of a directory through a disk.
func rewrite(fs disk.FS, from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	dir, err := disk.Open(to)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	for _, e := range entries {
		if e.IsDir() {
			if err := fs.Mkdir(dir, e.Name(), 0o700); err != nil {
				return err
			}
			if err := rewrite(fs, filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		fd, err := fs.Create(dir, e.Name(), 0o600)
		if err != nil {
			return err
		}
		err = fs.Write(fd, b)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

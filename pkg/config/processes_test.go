package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// adds is in the environment of a process that only adds contexts to the file
// of its name: how many, and how they begin.
const adds = "CPCTL_TEST_ADDS"

func TestMain(m *testing.M) {
	if job := strings.Fields(os.Getenv(adds)); len(job) == 3 {
		if err := add(job[0], job[1], job[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func add(path, prefix, times string) error {
	n, err := strconv.Atoi(times)
	for i := 0; i < n && err == nil; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err = Update(ctx, path, func(f *File) error {
			f.Put(some(fmt.Sprintf("%s-%d", prefix, i%10)))
			return nil
		})
		cancel()
	}
	return err
}

func adder(path, prefix string, times int) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", adds, path, prefix, times))
	cmd.Stderr = os.Stderr
	return cmd
}

func TestConcurrentProcessesLoseNoContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpctl", "config.yaml") // they also race to make the directory
	var all []*exec.Cmd
	for i := range 8 {
		cmd := adder(path, fmt.Sprintf("p%d", i), 10)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Contexts) != 80 {
		t.Errorf("%d contexts of 80 are left: %v", len(f.Contexts), f.Names())
	}
}

func TestAKilledProcessLeavesAWholeFileAndHoldsNobodyUp(t *testing.T) {
	path := put(t, some("prod"))
	for i := range 10 {
		cmd := adder(path, fmt.Sprintf("k%d", i%3), 1_000_000)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool { // it has begun
			f, err := Read(path)
			if err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
			return f.Find(fmt.Sprintf("k%d-%d", i%3, i%10)) != nil
		})
		cmd.Process.Kill()
		cmd.Wait()
		if f, err := Read(path); err != nil || f.Find("prod") == nil {
			t.Fatalf("round %d: %v, %v", i, f, err)
		}
	}
	left := filepath.Join(filepath.Dir(path), ".save-config.yaml-7") // as one that was killed in between leaves it
	if err := os.WriteFile(left, []byte(someKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Update(context.Background(), path, func(f *File) error { f.Put(some("after")); return nil }); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"config.yaml", "config.yaml.lock"}; !slices.Equal(names, want) {
		t.Errorf("the directory holds %v, want %v", names, want)
	}
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in 30 s")
		}
	}
}

func TestAnUpdateWaitsNoLongerThanItMay(t *testing.T) {
	path := put(t, some("prod"))
	err := Update(context.Background(), path, func(*File) error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		return Update(ctx, path, func(*File) error { return errors.New("two at once") })
	})
	wantRefusal(t, err, "unavailable", "in use by another cpctl")
}

func TestWhatIsPendingIsKeptUntilItIsDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpctl", "config.yaml")
	made := 0
	pending := func(id string) string {
		b, err := Pending(context.Background(), path, id, func() ([]byte, error) { made++; return fmt.Appendf(nil, "%s %d", id, made), nil })
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, want := range []string{"a 1", "a 1"} {
		if got := pending("a"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := pending("b"); got != "b 2" {
		t.Errorf("another id: %q", got)
	}
	if st, err := os.Stat(PendingFile(path, "a")); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := Done(path, "a"); err != nil {
		t.Fatal(err)
	}
	if err := Done(path, "a"); err != nil {
		t.Errorf("done twice: %v", err)
	}
	if got := pending("a"); got != "a 3" {
		t.Errorf("after it was done: %q", got)
	}

	long := time.Now().Add(-pendingLife - time.Hour)
	if err := os.Chtimes(PendingFile(path, "b"), long, long); err != nil {
		t.Fatal(err)
	}
	pending("a")
	if _, err := os.Stat(PendingFile(path, "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what nobody came back for is still there: %v", err)
	}
	if _, err := Pending(context.Background(), path, "c", func() ([]byte, error) { return nil, errors.New("no") }); err == nil || err.Error() != "no" {
		t.Errorf("err = %v", err)
	}
	if _, err := os.Stat(PendingFile(path, "c")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was not made is kept: %v", err)
	}
}

func TestWhatOneDoesAloneNobodyDoesBeside(t *testing.T) {
	path := put(t, some("prod"))
	did := ""
	err := Alone(path, func() error {
		did += "a"
		return Alone(path, func() error { did += "b"; return nil })
	})
	if err != nil || did != "a" {
		t.Errorf("did %q, %v", did, err)
	}
	if err := Alone(path, func() error { did += "c"; return nil }); err != nil || did != "ac" {
		t.Errorf("did %q, %v", did, err)
	}
}

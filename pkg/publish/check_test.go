package publish

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// Files that were edited or damaged are found and, when asked for, put right.
func TestCheckFindsAndRepairs(t *testing.T) {
	inMemory(t)
	for _, c := range append(spoil,
		struct {
			fact   string
			spoil  func(data string) error
			faults []Fault
		}{"a lost marker", func(d string) error { return os.Remove(d + "/.applied") }, []Fault{{".applied", ProblemForeign}}},
		struct {
			fact   string
			spoil  func(data string) error
			faults []Fault
		}{"a data/ that was taken away", func(d string) error { return os.Rename(d, d+".away") }, []Fault{{".", ProblemForeign}}},
		struct {
			fact   string
			spoil  func(data string) error
			faults []Fault
		}{"a data/ that was put in its place", func(d string) error {
			if err := os.Rename(d, d+".away"); err != nil {
				return err
			}
			return os.CopyFS(d, os.DirFS(d+".away"))
		}, []Fault{{".", ProblemForeign}}},
		struct {
			fact   string
			spoil  func(data string) error
			faults []Fault
		}{"a data/ that all may enter", func(d string) error { return os.Chmod(d, 0o755) }, []Fault{{".", ProblemMode}}},
	) {
		w := acme(t)
		dir := t.TempDir()
		p := started(t, dir, w)
		img := w.publish(p)
		if err := c.spoil(filepath.Join(dir, dataName)); err != nil {
			t.Fatal(err)
		}
		for _, repair := range []bool{false, true} {
			got, err := p.Check(img, repair)
			if err != nil || !slices.Equal(got, c.faults) {
				t.Errorf("%s, repair %v: %v, %v, want %v", c.fact, repair, got, err, c.faults)
			}
		}
		if got, err := p.Check(img, false); err != nil || len(got) > 0 {
			t.Errorf("%s: after the repair: %v, %v", c.fact, got, err)
		}
		wantFiles(t, dir, img)
		w.set(store.ClientPath("acme", "web"), 7)
		wantFiles(t, dir, w.publish(p))
		if t.Failed() {
			t.Fatalf("after %s", c.fact)
		}
	}
}

// A bit that changes in the marker beside the running node, and its mode.
func TestCheckFindsADamagedMarker(t *testing.T) {
	w := acme(t)
	dir := t.TempDir()
	p := started(t, dir, w)
	w.set(store.ClientPath("acme", "web"), 3)
	img := w.publish(p) // both of its slots are in use now
	path := filepath.Join(dir, dataName, appliedName)
	flip := func(i int) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte{b[i] ^ 4}, int64(i))
		return errors.Join(err, f.Close())
	}
	for _, c := range []struct {
		fact    string
		spoil   func() error
		problem string
	}{
		{"a bit of the first slot", func() error { return flip(20) }, ProblemChanged},
		{"a bit of the second slot", func() error { return flip(slotSize + 20) }, ProblemChanged},
		{"a bit of each", func() error { return errors.Join(flip(100), flip(markerSize-1)) }, ProblemChanged},
		{"nothing left", func() error { return os.Truncate(path, 0) }, ProblemChanged},
		{"a mode", func() error { return os.Chmod(path, 0o666) }, ProblemMode},
	} {
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		want := []Fault{{appliedName, c.problem}}
		for _, repair := range []bool{false, true} {
			if got, err := p.Check(img, repair); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, repair %v: %v, %v, want %v", c.fact, repair, got, err, want)
			}
		}
		if got, err := p.Check(img, false); err != nil || len(got) > 0 {
			t.Errorf("%s: after the repair: %v, %v", c.fact, got, err)
		}
		wantFiles(t, dir, img)
	}
}

// Whoever owns a file may change it.
func TestCheckFindsAnotherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a file away")
	}
	w := acme(t)
	dir := t.TempDir()
	p := started(t, dir, w)
	img := w.publish(p)
	path := filepath.Join(dir, dataName, store.TenantPath("acme"))
	if err := os.Chown(path, 65534, -1); err != nil {
		t.Fatal(err)
	}
	want := []Fault{{store.TenantPath("acme"), ProblemMode}}
	if got, err := p.Check(img, true); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := p.Check(img, false); err != nil || len(got) > 0 {
		t.Errorf("after the repair: %v, %v", got, err)
	}
}

// An image that was not handed over is what a check compares with, too.
func TestCheckWithAnImageOfItsOwn(t *testing.T) {
	w := acme(t)
	dir := t.TempDir()
	p := started(t, dir, w)
	w.drop("beta")
	w.set(store.ClientPath("acme", "web"), 2)
	img, _ := w.image()
	want := []Fault{{"keys/beta", ProblemForeign}, {"tenants/acme/clients/web.json", ProblemChanged}, {"tenants/beta", ProblemForeign}}
	got, err := p.Check(img, true)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	wait(t, p, img.Index)
	wantFiles(t, dir, img)
}

// A check goes on beside changes and takes none of them for a fault.
func TestCheckBesideChanges(t *testing.T) {
	w := acme(t)
	dir := t.TempDir()
	p := started(t, dir, w)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			if got, err := p.Check(nil, false); err != nil || len(got) > 0 {
				t.Errorf("got %v, %v, want no fault", got, err)
			}
		}
	}()
	for n := uint64(2); ; n++ {
		w.set(store.ClientPath("acme", "web"), n)
		if n%2 == 0 {
			w.tenant("flicker", n, "a")
		} else {
			w.drop("flicker")
		}
		img := w.publish(p)
		select {
		case <-done:
			wantFiles(t, dir, img)
			return
		default:
		}
	}
}

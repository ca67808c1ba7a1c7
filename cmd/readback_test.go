package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/snapshot"
)

// TestAnArchiveIsReadBackWhileItGrows: the verdict is about the whole file, in
// whichever pieces it came.
func TestAnArchiveIsReadBackWhileItGrows(t *testing.T) {
	good := archive(t)
	bad := append([]byte(nil), good...)
	bad[len(bad)/2] ^= 1
	open := func() *readBack {
		f, err := os.Create(filepath.Join(t.TempDir(), "a.tgz"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return newReadBack(f)
	}
	write := func(r *readBack, b []byte, step int) {
		t.Helper()
		for ; len(b) > 0; b = b[min(step, len(b)):] {
			if _, err := r.Write(b[:min(step, len(b))]); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole := func(when string, r *readBack) {
		t.Helper()
		c, err := r.verdict()
		if err != nil || c.Size != int64(len(good)) {
			t.Fatalf("%s: %+v, %v", when, c, err)
		}
		r.giveUp() // of which nothing comes any more
	}
	for _, step := range []int{1, 100, len(good)} {
		r := open()
		write(r, good, step)
		whole("in steps", r)
	}
	r := open()
	write(r, bad, 64)
	if c, err := r.verdict(); err == nil {
		t.Errorf("one bit is another: %+v", c)
	}
	r = open()
	write(r, good[:len(good)-1], 64)
	if c, err := r.verdict(); err == nil {
		t.Errorf("the last byte is missing: %+v", c)
	}
	r = open()
	for _, b := range [][]byte{bad, good[:len(good)/2], append(good[:len(good):len(good)], good...)} {
		write(r, b, 64)
		if err := r.Rewind(); err != nil {
			t.Fatal(err)
		}
	}
	write(r, good, 64)
	whole("sent anew", r)
}

func TestAReadingThatIsGivenUpEnds(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "a.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := newReadBack(f)
	if _, err := r.Write(archive(t)[:20]); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		r.giveUp()
		_, err := r.verdict()
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, errGivenUp) {
			t.Errorf("it says %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for the rest")
	}
	if _, err := snapshot.Verify(f.Name()); err == nil {
		t.Error("what was given up is whole")
	}
}

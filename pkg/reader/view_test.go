package reader_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/reader"
)

// moment is what one reader has seen, which never goes back.
type moment struct {
	client, scope, keys uint64
	settled, looks      int
}

// look reads four files that the world always changes together.
func (m *moment) look(r *reader.Reader) error {
	alone, err := r.Client("acme", "web") // is always there
	if err != nil || alone.Revision < m.client {
		return fmt.Errorf("one document: from revision %d to %+v, %w", m.client, alone, err)
	}
	m.client = alone.Revision
	var client *reader.Client
	var scope *reader.Scope
	var keys []reader.Key
	var set []byte
	marker, err := r.View(func(v *reader.View) (err error) {
		if client, err = v.Client("acme", "web"); err != nil {
			return err
		}
		if keys, err = v.Keys("acme"); err != nil {
			return err
		}
		if set, err = v.JWKS("acme"); err != nil {
			return err
		}
		scope, err = v.Scope("acme", "orders:read")
		return err
	})
	if err != nil {
		return err
	}
	m.looks++
	made := uint64(keys[0].CreatedAt.UnixMicro())
	if client.Revision < m.client || scope.Revision < m.scope || made < m.keys {
		return fmt.Errorf("from revisions %d, %d, %d back to %d, %d, %d", m.client, m.scope, m.keys, client.Revision, scope.Revision, made)
	}
	m.client, m.scope, m.keys = client.Revision, scope.Revision, made
	if !marker.Settled {
		return nil
	}
	m.settled++
	if client.Revision != scope.Revision || made != scope.Revision || !strings.Contains(string(set), `"kid": "`+keys[0].KID+`"`) {
		return fmt.Errorf("a settled view of revisions %d, %d, %d and the set %s", client.Revision, scope.Revision, made, set)
	}
	return nil
}

// Readers beside every way in which the node changes its files: one by one, by
// swapping data/, and by restarts, which delete the swapped trees at once.
func TestASettledViewIsOfOneMoment(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	stop := make(chan struct{})
	seen := make([]moment, 3)
	var readers sync.WaitGroup
	for i := range seen {
		readers.Go(func() {
			r := w.reader()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := seen[i].look(r); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	const last = 120
	for n := uint64(2); n <= last; n++ {
		w.client("acme", "web", n)
		w.scope("acme", "orders:read", n)
		w.keys("acme", fmt.Sprint("k", n), n)
		switch n % 20 {
		case 7:
			w.replace()
		case 13:
			w.publish()
			w.stop()
			w.start("")
		default:
			w.publish()
		}
	}
	close(stop)
	readers.Wait()
	for i := range seen {
		if seen[i].settled == 0 {
			t.Errorf("reader %d: none of %d views was settled", i, seen[i].looks)
		}
		if err := seen[i].look(w.reader()); err != nil || seen[i].client != last {
			t.Errorf("reader %d is at revision %d at the end, not %d; %v", i, seen[i].client, last, err)
		}
		t.Logf("reader %d: %d views, %d settled", i, seen[i].looks, seen[i].settled)
	}
}

func TestAViewIsLookedAtAgainWhenTheFilesChange(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	r := w.reader()
	for _, c := range []struct {
		fact    string
		change  func()
		always  bool
		looks   int
		settled bool
		seen    uint64 // revision of the client in the last look
	}{
		{"nothing changes", func() {}, true, 1, true, 1},
		{"once, file by file", func() { w.client("acme", "web", 2); w.publish() }, false, 2, true, 2},
		// a tree that was swapped out is as it was, whole: one moment, as long as it is there
		{"once, by a swap", func() { w.client("acme", "web", 3); w.replace() }, false, 1, true, 2},
		{"every time", func() { w.client("acme", "web", 4); w.publish() }, true, 5, false, 4},
		{"by a swap, and the old tree is deleted", func() { w.client("acme", "web", 5); w.replace(); w.stop(); w.start("") }, false, 2, true, 5},
	} {
		t.Run(c.fact, func(t *testing.T) {
			w.t = t
			looks, seen := 0, uint64(0)
			m, err := r.View(func(v *reader.View) error {
				got, err := v.Client("acme", "web")
				if err != nil {
					return err
				}
				seen = got.Revision
				if looks++; looks == 1 || c.always {
					c.change()
				}
				return nil
			})
			if err != nil || looks != c.looks || m.Settled != c.settled || seen != c.seen {
				t.Errorf("%d looks, settled %v, revision %d, %v; want %d, %v, %d", looks, m.Settled, seen, err, c.looks, c.settled, c.seen)
			}
		})
	}
}

// What a look misses because the tree goes away under it is not missing.
func TestADocumentIsNotMissingBecauseItsTreeIs(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	r := w.reader()
	looks := 0
	m, err := r.View(func(v *reader.View) error {
		if looks++; looks == 1 {
			w.replace()
			w.stop() // deletes the old tree
			w.start("")
		}
		_, err := v.Client("acme", "web")
		if looks == 1 && !errors.Is(err, reader.ErrNotFound) {
			t.Errorf("the old tree is still there: %v", err)
		}
		return err
	})
	if err != nil || looks != 2 || !m.Settled {
		t.Errorf("%d looks, settled %v, %v", looks, m.Settled, err)
	}
}

// exchange swaps data/ with a copy of itself, as a repair does.
func (w *world) exchange() {
	w.t.Helper()
	copied := w.dir + "/copy"
	w.fatal(os.CopyFS(copied, os.DirFS(w.data(""))))
	w.fatal(unix.Renameat2(unix.AT_FDCWD, copied, unix.AT_FDCWD, w.data(""), unix.RENAME_EXCHANGE))
}

// bury deletes what exchange swapped out, as the node does: the marker first.
func (w *world) bury() {
	w.t.Helper()
	w.fatal(os.Remove(w.dir + "/copy/.applied"))
	w.fatal(os.RemoveAll(w.dir + "/copy"))
}

func TestNoReaderNoticesThatATreeIsDeleted(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	w.stop()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			r := w.reader()
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err1 := r.Marker()
				_, err2 := r.Client("acme", "web")
				_, err3 := r.View(func(v *reader.View) error { _, err := v.JWKS("acme"); return err })
				if err := errors.Join(err1, err2, err3); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 120 {
		w.exchange()
		w.bury()
	}
	close(stop)
	readers.Wait()
}

// When every look comes too late for its tree, nothing is known.
func TestWhatIsNeverSeenIsNotMissing(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	w.stop()
	m, err := w.reader().View(func(v *reader.View) error {
		w.exchange()
		w.bury()
		_, err := v.Client("acme", "web")
		return err
	})
	if !errors.Is(err, reader.ErrNotReady) || errors.Is(err, reader.ErrNotFound) || m.Settled {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestAnErrorOfTheLookIsTheAnswer(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	own := errors.New("own")
	looks := 0
	if m, err := w.reader().View(func(*reader.View) error { looks++; return own }); !errors.Is(err, own) || looks != 1 || !m.Settled {
		t.Errorf("%d looks, %v, %v", looks, m, err)
	}
	var kept *reader.View
	if _, err := w.reader().View(func(v *reader.View) error { kept = v; return nil }); err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(w.data("")) // gets the number of the descriptor that was closed
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := kept.Client("acme", "web"); err == nil || errors.Is(err, reader.ErrNotFound) {
		t.Errorf("a view that is over reads on: %v", err)
	}
}

func TestATenantThatIsDeletedIsGoneWhole(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.tenant("other", 1)
	w.start("")
	r := w.reader()
	for _, name := range []string{"web", "Legacy~1"} {
		w.fatal(w.tx.Clients("acme").Delete(name))
	}
	for _, name := range []string{"orders:read", ".hidden/A"} {
		w.fatal(w.tx.Scopes("acme").Delete(name))
	}
	w.fatal(w.tx.Keys("acme").Delete("acme"))
	w.fatal(w.tx.Tenants().Delete("acme"))
	w.publish()
	if _, err := r.Clients("acme"); !errors.Is(err, reader.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if slugs, err := r.Tenants(); err != nil || strings.Join(slugs, " ") != "other" {
		t.Errorf("%q, %v", slugs, err)
	}
	w.fatal(w.tx.Tenants().Delete("other"))
	w.publish()
	if _, err := os.Stat(w.data("tenants")); !os.IsNotExist(err) {
		t.Fatalf("tenants/ is still there: %v", err)
	}
	if slugs, err := r.Tenants(); err != nil || len(slugs) != 0 || slugs == nil {
		t.Errorf("%q, %v", slugs, err)
	}
}

func BenchmarkReads(b *testing.B) {
	w := newWorld(b)
	w.acme()
	w.start("")
	r := w.reader()
	for name, f := range map[string]func() error{
		"client": func() error { _, err := r.Client("acme", "web"); return err },
		"jwks":   func() error { _, err := r.JWKS("acme"); return err },
		"marker": func() error { _, err := r.Marker(); return err },
		"view of a client and a scope": func() error {
			_, err := r.View(func(v *reader.View) error {
				_, err1 := v.Client("acme", "web")
				_, err2 := v.Scope("acme", "orders:read")
				return errors.Join(err1, err2)
			})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w.fatal(f())
			}
		})
	}
}

package reader_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/reader"
)

func TestEveryChangeIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	r := w.reader()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := r.Changed(ctx, reader.Marker{})
	if err != nil || !m.Settled || m.Index != 1 {
		t.Fatalf("the first marker is %+v, %v", m, err)
	}
	n := uint64(1)
	for _, c := range []struct {
		fact string
		do   func()
	}{
		{"a file", func() { n++; w.client("acme", "web", n); w.publish() }},
		{"the whole of data/", func() { n++; w.client("acme", "web", n); w.replace() }},
		{"a restart that changes nothing but the index", func() { w.stop(); w.start(""); w.publish() }},
		{"a swap with an equal tree, as of a repair", func() { w.exchange() }},
	} {
		c.do()
		next, err := r.Changed(ctx, m)
		if err != nil || next == m || !next.Settled {
			t.Fatalf("%s: %+v, %v; before it was %+v", c.fact, next, err, m)
		}
		if got, err := r.Client("acme", "web"); err != nil || got.Revision != n {
			t.Errorf("%s: revision %d, %v; want %d", c.fact, got.Revision, err, n)
		}
		m = next
	}
}

// Whoever reads after each notice has the last change in the end, however many
// there were meanwhile.
func TestTheLastChangeIsNeverMissed(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	const last = 300
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	before := runtime.NumGoroutine()
	go func() {
		r := w.reader()
		r.Interval = time.Millisecond
		notices := 0
		for m, seen := (reader.Marker{}), uint64(0); ; notices++ {
			var err error
			if m, err = r.Changed(ctx, m); err != nil {
				done <- fmt.Errorf("%w at revision %d of %d, after %d notices", err, seen, last, notices)
				return
			}
			c, err := r.Client("acme", "web")
			if err != nil || c.Revision < seen {
				done <- fmt.Errorf("from revision %d to %+v, %v", seen, c, err)
				return
			}
			if seen = c.Revision; seen == last {
				done <- nil
				return
			}
		}
	}()
	for n := uint64(2); n <= last; n++ {
		w.client("acme", "web", n)
		if n%50 == 0 {
			w.replace()
		} else {
			w.publish()
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

func TestChangedWaitsForFilesThatAreReady(t *testing.T) {
	w := newWorld(t)
	r := w.reader()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Changed(ctx, reader.Marker{}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, reader.ErrNotReady) {
		t.Errorf("%v, want that the time is over and that there were no files", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	got := make(chan error, 1)
	go func() {
		m, err := r.Changed(ctx, reader.Marker{})
		if err == nil && !m.Settled {
			err = errors.New("not settled")
		}
		got <- err
	}()
	w.acme()
	w.start("the-boot-before")
	w.stop()
	w.start("")
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestChangedEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	r := w.reader()
	m, err := r.Marker()
	w.fatal(err)
	why := errors.New("the server stops")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	if got, err := r.Changed(ctx, m); !errors.Is(err, why) || errors.Is(err, reader.ErrNotReady) || got != m {
		t.Errorf("%+v, %v", got, err)
	}
}

// A change that is stuck half-way is told of once, and once more when it is done.
func TestAChangeThatIsStuckIsNoticedToo(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	w.stop()
	r := w.reader()
	m, err := r.Marker()
	w.fatal(err)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	w.fatal(err)
	write := func(state string, sequence int) {
		text := fmt.Sprintf(`%d {"state":%q,"index":9,"boot_id":%q}`, sequence, state, strings.TrimSpace(string(boot)))
		text += strings.Repeat(" ", 502-len(text)) + "\n"
		f, err := os.OpenFile(w.data(".applied"), os.O_WRONLY, 0)
		w.fatal(err)
		defer f.Close()
		_, err = f.WriteAt(fmt.Appendf(nil, "%08x %s", crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)), text), int64(sequence%2)*512)
		w.fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	write("intent", 1000)
	stuck, err := r.Changed(ctx, m)
	if err != nil || stuck.Settled || stuck.Index != 9 {
		t.Fatalf("%+v, %v", stuck, err)
	}
	short, cancelShort := context.WithTimeout(ctx, 20*r.Interval)
	defer cancelShort()
	if again, err := r.Changed(short, stuck); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("told of twice: %+v, %v", again, err)
	}
	write("done", 1001)
	if done, err := r.Changed(ctx, stuck); err != nil || !done.Settled {
		t.Errorf("%+v, %v", done, err)
	}
}

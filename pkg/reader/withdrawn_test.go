package reader_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/reader"
)

// A node that has found its state to be wrong takes its files back: nobody reads
// them any more, whoever waits is told of the right ones when they come, and a
// look that was under way is not of one moment.
func TestWithdrawnFilesAreNotRead(t *testing.T) {
	w := newWorld(t)
	w.acme()
	w.start("")
	r := w.reader()
	since, err := r.Marker()
	w.fatal(err)
	refused := func() bool {
		_, one := r.Client("acme", "web")
		_, list := r.Clients("acme")
		_, marker := r.Marker()
		for _, err := range []error{one, list, marker} {
			if !errors.Is(err, reader.ErrWithdrawn) || !errors.Is(err, reader.ErrNotReady) {
				return false
			}
		}
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	looks := 0
	m, err := r.View(func(v *reader.View) error {
		if looks++; looks == 1 {
			w.files.Withdraw("another state than the others")
			for !refused() {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Millisecond):
				}
			}
		}
		_, err := v.Client("acme", "web")
		return err
	})
	if m.Settled || !errors.Is(err, reader.ErrWithdrawn) {
		t.Errorf("a look under way: settled %v, %v", m.Settled, err)
	}

	changed := make(chan error, 1)
	go func() {
		m, err := r.Changed(ctx, since)
		if err == nil && !m.Settled {
			err = errors.New("it is not settled")
		}
		changed <- err
	}()
	w.tenant("acme", 2)
	img, _ := w.image()
	w.files.Readmit(img)
	w.fatal(<-changed)
	if a, err := r.Tenant("acme"); err != nil || a.Revision != 2 {
		t.Errorf("after the repair: %+v, %v", a, err)
	}
}

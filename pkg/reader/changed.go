package reader

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// unsettledLooks is for how many looks Changed waits for files that are being
// changed: longer than that they are stuck, for want of disk space perhaps, and
// what is there is all there is.
const unsettledLooks = 5

// Changed waits until the files are others than those of a marker, or until
// they are ready if they are not, and returns the marker of what they hold then.
// The zero Marker is that of no files: the answer comes at once. It compares
// states and does not collect events, so that the last change is never missed:
//
//	for m, err := r.View(load); ; m, err = r.View(load) {
//		...
//		if _, err := r.Changed(ctx, m); err != nil {
//			return err
//		}
//	}
//
// A change is noticed within Interval; one look costs some twenty microseconds of a core.
// Looking, and not inotify, also notices that data/ was swapped as a whole, and
// works on every file system. When the context ends the error is its cause,
// joined with ErrNotReady if there were no files.
func (r *Reader) Changed(ctx context.Context, since Marker) (Marker, error) {
	tick := time.NewTicker(max(r.Interval, time.Millisecond))
	defer tick.Stop()
	for unsettled := 0; ; {
		m, err := r.Marker()
		switch {
		case err != nil && !errors.Is(err, ErrNotReady):
			return since, err
		case err != nil, m == since:
			unsettled = 0
		case m.Settled, unsettled == unsettledLooks:
			return m, nil
		default:
			unsettled++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err != nil {
				return since, fmt.Errorf("%w (%w)", context.Cause(ctx), err)
			}
			return since, context.Cause(ctx)
		}
	}
}

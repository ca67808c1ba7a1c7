package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// restore goes back to the archive of the last check, beside the writers.
func (tr *trial) restore() {
	r := tr.book.asksRestore(tr.archived, tr.saved)
	archive := bytes.NewReader(tr.archive)
	id := fmt.Sprintf("restore-%d-%d", tr.seed, r.number)
	tr.load.busy.Go(func() {
		tr.load.rest.RLock()
		defer tr.load.rest.RUnlock()
		conn := tr.load.conn(r.number)
		defer conn.Close()
		for {
			sent := tr.book.now()
			ctx, cancel := context.WithTimeout(tr.load.ctx, 2*live.Patience)
			archive.Seek(0, 0)
			a, err := conn.Restore(ctx, archive, rpc.RestoreArgs{RequestID: id})
			cancel()
			if tr.load.ctx.Err() != nil {
				return
			}
			if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUnavailable) {
				continue // another one is under way, or the leader was lost before anything was done
			}
			if err != nil {
				tr.t.Errorf("restore: %v", err)
				return
			}
			revision := a.Revision
			if !a.Replayed && a.ChangedTotal == 0 {
				revision = 0
			}
			if tr.book.settlesRestore(sent, r, revision) {
				return
			}
		}
	})
}

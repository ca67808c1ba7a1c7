package cluster

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/test/histories"
	"github.com/cpctl/cpctl/test/live"
)

// save takes an archive of the newest state, for later restores: it is a read of
// every document.
func (c *caller) save(ctx context.Context) error {
	n := c.node()
	asked := c.p.m.now()
	var b bytes.Buffer
	manifest, err := c.conn(n).Snapshot(ctx, &b)
	answered := c.p.m.now()
	if err != nil {
		return err
	}
	read, err := snapshot.Read(bytes.NewReader(b.Bytes()), snapshot.Limits{})
	if err != nil {
		return err
	}
	docs, _, err := histories.Archived(read.Image)
	if err != nil {
		return err
	}
	for _, path := range c.p.paths() {
		o := c.p.op(&histories.Op{Client: c.name, Node: n.Name, Doc: path, Kind: histories.Read})
		if o.Call, o.Return, o.Said, o.Found = asked, answered, histories.NotFound, docs[path]; o.Found.There {
			o.Said, o.Revision, o.Index = histories.Done, manifest.Revision, manifest.Index
		}
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.archive = &archive{b.Bytes(), docs}
	return nil
}

// restore goes back to the archive that was saved last. It is one operation on
// every document, and is done at one revision or not at all.
func (c *caller) restore(ctx context.Context) {
	c.p.mu.Lock()
	a := c.p.archive
	c.p.mu.Unlock()
	n := c.node()
	o := c.p.op(&histories.Op{Client: c.name, Node: n.Name, Kind: histories.Restore, ID: newID(), Archive: a.docs})
	reply, err := c.conn(n).Restore(ctx, bytes.NewReader(a.bytes), rpc.RestoreArgs{RequestID: o.ID})
	o.Return = c.p.m.now()
	if err != nil {
		o.Why = err.Error()
		if o.Said = saidOf(err); o.Said == "" || o.Said == histories.Exists || o.Said == histories.NotFound {
			c.p.wrong("%s: a restore is done, or it is not: %v", o, err)
			o.Said = histories.Unknown
		}
		return
	}
	o.Said, o.Revision, o.Index, o.Replayed = histories.Done, reply.Revision, reply.Index, reply.Replayed
	if !reply.Replayed && reply.ChangedTotal == 0 {
		o.Said, o.Revision = histories.Unchanged, 0
	}
}

// newID is the id of a request that is made now.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err) // the system has no randomness
	}
	return id.String()
}

// restoreUnderLoad saves an archive, as a rule, and goes back to it after a
// while, beside all else.
func restoreUnderLoad(m *mixture, p plan) (string, func()) {
	c := newCaller(m.present, fmt.Sprintf("restorer at %.1fs", p.at.Seconds()), 1<<16|p.pick.Uint64N(1<<16))
	saves := p.pick.IntN(4) > 0
	done := make(chan struct{})
	var begin sync.Once
	m.present.busy.Go(func() {
		defer c.close()
		if saves {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_ = c.save(ctx) // else an older one will do
			cancel()
		}
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), settleBy)
		defer cancel()
		c.restore(ctx)
	})
	return "of an archive of now or before", func() { begin.Do(func() { close(done) }) }
}

// behindBy is more entries than the log keeps behind a snapshot.
const behindBy = 1024 + 200

// leaveBehind takes a node away until the others no longer have what it lacks:
// it is given a snapshot.
func leaveBehind(m *mixture, p plan) (string, func()) {
	n := m.follower(p.pick)
	what, back := m.killed(n)
	if what == "" {
		return "", nil
	}
	var flood sync.WaitGroup
	var mu sync.Mutex
	left := behindBy
	for i := range live.FewCallers {
		c := newCaller(m.present, fmt.Sprintf("flood%d at %.1fs", i, p.at.Seconds()), 1<<17|p.pick.Uint64N(1<<16))
		flood.Go(func() {
			defer c.close()
			name := fmt.Sprintf("flood-%d-%d", i, c.rng.Uint32())
			a := c.create(name)
			for deadline := time.Now().Add(p.lasts + 10*time.Second); time.Now().Before(deadline); {
				if c.send(a, c.patience()); a.op.Said == histories.Unknown || a.op.Said == histories.Unavailable && a.op.Kind == histories.Create {
					continue
				}
				mu.Lock()
				left--
				enough := left <= 0
				mu.Unlock()
				if enough || !c.pause(time.Millisecond) {
					return
				}
				a = c.update(name, c.value(), 0)
			}
		})
	}
	m.present.busy.Go(flood.Wait)
	return what + ", which is left behind", func() {
		flood.Wait()
		back()
	}
}

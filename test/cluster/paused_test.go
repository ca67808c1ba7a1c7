package cluster

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

// A leader that stood still does not know of it when it goes on: it must not
// answer from what it knew, nor acknowledge what the others never heard of.
func TestALeaderGoesOnAsAFollowerWhereItStoodStill(t *testing.T) {
	c := live.FoundApart(t, 3)
	r := count(t, c, "acme")
	pauses := []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second}
	if testing.Short() {
		pauses = pauses[:2]
	}
	for _, pause := range pauses {
		t.Run(pause.String(), func(t *testing.T) {
			c := c.As(t)
			r.more(t)
			still := c.Leader()
			still.Pause()
			over, nearly := time.After(pause), time.After(pause-pause/10)
			if pause > 3*time.Second { // long enough for another to lead
				r.moves(t, "while the leader stood still")
			}
			<-nearly
			answered := waiting(r, still)
			<-over // what was asked is in its buffers
			still.Resume()
			answered()
			r.serves(t, still, "after it stood still for "+pause.String())
			r.moves(t, "afterwards")
		})
	}
	r.end()
	c.Identical()
}

// waiting asks a node that stands still for what is newest, many times at once,
// and returns what waits for the answers.
func waiting(r *register, n *live.Node) (answered func()) {
	var asked sync.WaitGroup
	for range 16 {
		c := rpc.NewClient(rpc.Options{Servers: []string{n.Server()}})
		sent := make(chan struct{})
		asked.Go(func() {
			defer c.Close()
			close(sent)
			r.look(context.Background(), c, n, soon)
		})
		<-sent
	}
	return asked.Wait
}

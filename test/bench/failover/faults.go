package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"syscall"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

// kill is kill -9 of the leader, and a command that somebody types at another
// node at that moment.
func (c cluster) kill() (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nodes.Patience)
	defer cancel()
	leader, others, err := c.Leader(ctx)
	if err != nil {
		return 0, err
	}
	calm(ctx) // a kill does not come at the same moment of a heartbeat each time
	at := others[rand.IntN(len(others))]
	began := time.Now()
	if err := leader.Stop(syscall.SIGKILL); err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, c.Binary, "-s", at.Server(), "tenant", "update", "acme", "--display-name", began.String(), "--timeout", nodes.Patience.String()).CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("tenant update: %w\n%s", err, out)
	}
	return took, c.Start(leader)
}

func calm(ctx context.Context) {
	select {
	case <-time.After(time.Duration(rand.IntN(1000)) * time.Millisecond):
	case <-ctx.Done():
	}
}

// transfer hands leadership over under a writer.
func (c cluster) transfer() (time.Duration, error) {
	return c.under(func(ctx context.Context, leader *nodes.Node) error {
		one := nodes.Client(leader)
		defer one.Close()
		t, err := one.Transfer(ctx, rpc.TransferArgs{})
		if err == nil && !t.Changed {
			err = errors.New("leadership did not change")
		}
		return err
	}, func(*nodes.Node) error { return nil })
}

// restart stops the leader under a writer, and starts it again.
func (c cluster) restart() (time.Duration, error) {
	return c.under(func(_ context.Context, leader *nodes.Node) error { return leader.Stop(syscall.SIGTERM) }, c.Start)
}

// under does something to the leader while a client writes at another node, and
// returns the longest time that the client waited for an answer.
func (c cluster) under(do func(context.Context, *nodes.Node) error, afterwards func(*nodes.Node) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nodes.Patience)
	defer cancel()
	leader, others, err := c.Leader(ctx)
	if err != nil {
		return 0, err
	}
	w := &writer{client: nodes.Client(others[rand.IntN(len(others))])}
	defer w.client.Close()
	if err := w.write(ctx); err != nil { // the connection is there
		return 0, err
	}
	done := make(chan error, 1)
	quit := make(chan struct{})
	go func() { done <- w.run(ctx, quit) }()
	calm(ctx)
	err = do(ctx, leader)
	calm(ctx)
	close(quit)
	if err = errors.Join(err, <-done); err != nil {
		return 0, err
	}
	return w.longest, afterwards(leader)
}

// writer writes one change after the other.
type writer struct {
	client  *rpc.Client
	count   int
	longest time.Duration // between two answers
}

func (w *writer) write(ctx context.Context) error {
	w.count++
	patch := json.RawMessage(fmt.Sprintf(`{"display_name":"change %d"}`, w.count))
	_, err := w.client.Write(ctx, &mutation.Request{Op: mutation.OpTenantUpdate, Name: "acme", Patch: patch})
	return err
}

func (w *writer) run(ctx context.Context, quit <-chan struct{}) error {
	for last := time.Now(); ; {
		if err := w.write(ctx); err != nil {
			return err
		}
		now := time.Now()
		w.longest = max(w.longest, now.Sub(last))
		last = now
		select {
		case <-quit:
			return nil
		default:
		}
	}
}

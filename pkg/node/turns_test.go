package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// briefly is the time of a caller who does not wait long.
func briefly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// A caller's time holds also while another change of the members takes its own.
func TestWhoWaitsForTheMembersLeavesInTime(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	if err := n.members.take(c.soon(), membersBusy); err != nil {
		t.Fatal(err)
	}
	serial := n.own.Load().id.Serial
	for what, ask := range map[string]func() error{
		"a removal": func() error {
			_, err := n.Remove(briefly(t), RemoveRequest{Name: "n1", ID: uuid.NewString()}, access.Local("0"))
			return err
		},
		"a revocation":    func() error { _, _, err := n.Revoke(briefly(t), serial, access.Local("0")); return err },
		"another address": func() error { return n.Admit(briefly(t), AdmitRequest{NodeID: n.ID(), Address: n.Address()}) },
	} {
		done := make(chan error, 1)
		go func() { done <- ask() }()
		select {
		case err := <-done:
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s waits for ever", what)
		}
	}
	n.members.give()
	if _, err := n.Remove(c.soon(), RemoveRequest{Name: "n1", ID: uuid.NewString()}, access.Local("0")); !errors.Is(err, store.ErrRefused) {
		t.Errorf("after that: %v", err)
	}
}

// So it does while a restore holds writers back, and that of the restore while
// they are not done.
func TestWhoWaitsAtTheGateLeavesInTime(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	write := func(ctx context.Context) error {
		req := tenantNamed("acme")
		req.ID, req.Seed = uuid.NewString(), make([]byte, 32)
		_, err := n.Write(ctx, req, access.Local("0"))
		return err
	}
	if err := n.writers.enter(c.soon()); err != nil {
		t.Fatal(err)
	}
	if err := n.writers.close(briefly(t)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a restore while a writer is inside: %v", err)
	}
	shut := make(chan error, 1)
	go func() { shut <- n.writers.close(c.soon()) }()
	c.until("the gate is shut", func() error {
		n.writers.mu.Lock()
		defer n.writers.mu.Unlock()
		if n.writers.shut == nil {
			return errors.New("it is open")
		}
		return nil
	})
	if err := write(briefly(t)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a write at a gate that is shut: %v", err)
	}
	n.writers.leave()
	if err := <-shut; err != nil {
		t.Errorf("a restore when all are out: %v", err)
	}
	written := make(chan error, 1)
	go func() { written <- write(c.soon()) }()
	n.writers.open()
	if err := <-written; err != nil {
		t.Errorf("a write when it is open again: %v", err)
	}
}

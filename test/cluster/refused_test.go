package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// A request is on its way to the leader on a line that is slow; its caller asks
// again through another node, and is refused. What was refused is not done when
// the first attempt arrives.
func TestWhatWasRefusedIsNotDoneLater(t *testing.T) {
	const late = 4 * time.Second
	c := live.FoundApart(t, 3)
	leader, through := c.Leader(), c.Followers()[0]
	slow, direct := rpc.NewClient(rpc.Options{Servers: []string{through.Server()}}), rpc.NewClient(rpc.Options{Servers: []string{leader.Server()}})
	defer slow.Close()
	defer direct.Close()
	ask := func(conn *rpc.Client, patience time.Duration, r *mutation.Request) (*mutation.Answer, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return conn.Write(ctx, r)
	}
	acme := func(op mutation.Op) *mutation.Request { return &mutation.Request{Op: op, Name: "acme", Tenant: "acme"} }
	if _, err := ask(slow, live.Patience, acme(mutation.OpTenantCreate)); err != nil { // the node is connected with the leader now
		t.Fatal(err)
	}

	c.Net.Slow(through, leader, late, 0)
	begun, asked := time.Now(), acme(mutation.OpTenantCreate)
	if _, err := ask(slow, time.Second, asked); !errors.Is(err, store.ErrUnknown) {
		t.Fatalf("through a slow line: %v", err)
	}
	if _, err := ask(direct, live.Patience, asked); !errors.Is(err, store.ErrExists) {
		t.Fatalf("asked again: %v", err)
	}
	gone, err := ask(direct, live.Patience, acme(mutation.OpTenantDelete))
	if err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(begun); waited > late {
		t.Skipf("needs a machine on which three requests take less than %s: it was %s", late, waited)
	}
	live.Until(t, "the first attempt has arrived", func() bool { return time.Since(begun) > late+500*time.Millisecond })
	c.Net.Heal()
	if is := c.Settled().Nodes[0].Revision; is != gone.Revision {
		t.Errorf("the cluster is at revision %d, acknowledged was %d: what was refused was done", is, gone.Revision)
	}
}

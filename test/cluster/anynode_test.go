package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// A script writes at one node and reads at another with no pause between: the
// read shows the change, and a refusal knows of it. So does a read with the
// index that the write was answered with, which asks no leader.
func TestWhatIsWrittenAtOneNodeIsReadAtAnother(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	c := found(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), live.Patience)
	defer cancel()
	var nodes []*rpc.Client
	for _, n := range c.Nodes {
		client := rpc.NewClient(rpc.Options{Servers: []string{n.Server()}})
		defer client.Close()
		nodes = append(nodes, client)
	}
	write := func(at *rpc.Client, op mutation.Op, name, patch string) (*mutation.Answer, error) {
		return at.Write(ctx, &mutation.Request{Op: op, Tenant: "acme", Name: name, Patch: json.RawMessage(patch)})
	}
	if _, err := nodes[0].Write(ctx, &mutation.Request{Op: mutation.OpTenantCreate, Tenant: "acme", Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	for i := range rounds {
		a, b := nodes[i%3], nodes[(i+1+i/3%2)%3]
		name := fmt.Sprintf("app-%d", i)
		made, err := write(a, mutation.OpScopeCreate, name, `{"description":"one"}`)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := write(b, mutation.OpScopeCreate, name, `{"description":"two"}`); !errors.Is(err, store.ErrExists) {
			t.Fatalf("round %d: another node makes %s once more: %v", i, name, err)
		}
		for _, read := range []rpc.ReadOptions{{}, {MinIndex: made.Index}} {
			got, err := b.Get(ctx, rpc.GetArgs{Kind: "scope", Tenant: "acme", Name: name, Read: read})
			if err != nil {
				t.Fatalf("round %d: %+v: another node does not show %s: %v", i, read, name, err)
			}
			if got.Index < made.Index {
				t.Errorf("round %d: %+v: read at index %d what was written at %d", i, read, got.Index, made.Index)
			}
		}
		if _, err := write(b, mutation.OpScopeDelete, name, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Get(ctx, rpc.GetArgs{Kind: "scope", Tenant: "acme", Name: name}); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("round %d: a node shows %s, which another has deleted: %v", i, name, err)
		}
	}
}

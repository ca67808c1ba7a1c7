package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// A request is under way to the leader on a line that is slow, and its caller
// has asked again elsewhere and was refused. What was refused does not take effect
// when the first one arrives.
func TestWhatWasRefusedIsNotDoneLater(t *testing.T) {
	const late = 3 * time.Second
	for _, tt := range []struct {
		fact   string
		before []*mutation.Request // that are done first
		asked  *mutation.Request
		said   error               // nil: there is nothing to change
		after  []*mutation.Request // after which it could be done
	}{
		{"a creation of what is there", []*mutation.Request{creation("a")}, creation("b"), store.ErrExists, []*mutation.Request{removal()}},
		{"a creation that need not be", []*mutation.Request{creation("a")}, unlessThere(creation("b")), nil, []*mutation.Request{removal()}},
		{"an update of what is not there", nil, change("b"), store.ErrNotFound, []*mutation.Request{creation("a")}},
		{"an update that changes nothing", []*mutation.Request{creation("b")}, change("b"), nil, []*mutation.Request{change("a")}},
		{"a deletion of what is not there", nil, removal(), store.ErrNotFound, []*mutation.Request{creation("a")}},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			c := live.FoundApart(t, 3)
			leader := c.Leader()
			through := c.Followers()[0]
			c.Must(leader.Server(), "tenant", "create", "acme")
			direct := rpc.NewClient(rpc.Options{Servers: []string{leader.Server()}})
			defer direct.Close()
			ask := func(conn *rpc.Client, patience time.Duration, r *mutation.Request) (*mutation.Answer, error) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				return conn.Write(ctx, r)
			}
			must := func(r *mutation.Request) uint64 {
				a, err := ask(direct, live.Patience, r)
				if err != nil {
					t.Fatalf("%s: %v", r.Op, err)
				}
				return a.Revision
			}
			for _, r := range tt.before {
				must(r)
			}
			id, err := uuid.NewV7()
			if err != nil {
				t.Fatal(err)
			}
			tt.asked.ID = id.String()
			other := rpc.NewClient(rpc.Options{Servers: []string{through.Server()}})
			defer other.Close()
			if _, err := ask(other, live.Patience, &mutation.Request{Op: mutation.OpScopeCreate, Tenant: "acme", Name: "warm"}); err != nil {
				t.Fatal(err) // the node is connected with the leader now
			}

			c.Net.Slow(through, leader, late, 0)
			begun := time.Now()
			if _, err := ask(other, time.Second, tt.asked); !errors.Is(err, store.ErrUnknown) {
				t.Fatalf("through a slow line: %v", err)
			}
			if _, err := ask(direct, live.Patience, tt.asked); !errors.Is(err, tt.said) {
				t.Fatalf("asked again: %v, want %v", err, tt.said)
			}
			var revision uint64
			for _, r := range tt.after {
				revision = must(r)
			}
			if waited := time.Since(begun); waited > late {
				t.Skipf("this machine is too slow: %s have passed", waited)
			}
			live.Until(t, "the first attempt has arrived", func() bool { return time.Since(begun) > late+time.Second })
			c.Net.Heal()
			if st := c.Settled(); st.Nodes[0].Revision != revision {
				t.Errorf("the cluster is at revision %d, acknowledged was %d: the request that was refused was done", st.Nodes[0].Revision, revision)
			}
		})
	}
}

func ofWeb(op mutation.Op) *mutation.Request {
	return &mutation.Request{Op: op, Tenant: "acme", Name: "web"}
}

func creation(label string) *mutation.Request {
	r := ofWeb(mutation.OpClientCreate)
	r.Patch = json.RawMessage(`{"token_endpoint_auth_method":"none","grant_types":["authorization_code"],"redirect_uris":["https://acme.example/cb"],"labels":{"op":"` + label + `"}}`)
	return r
}

func unlessThere(r *mutation.Request) *mutation.Request { r.IfNotExists = true; return r }

func change(label string) *mutation.Request {
	r := ofWeb(mutation.OpClientUpdate)
	r.Patch = json.RawMessage(`{"labels":{"op":"` + label + `"}}`)
	return r
}

func removal() *mutation.Request { return ofWeb(mutation.OpClientDelete) }

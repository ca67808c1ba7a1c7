package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// A node that is gone says so at its next start, by itself.
func TestADirectoryOfWhoIsGoneIsNotStarted(t *testing.T) {
	t.Parallel()
	farewell := store.Errorf(store.CodeDenied, "certificate 0a was revoked: removed by unix/0")
	for _, tt := range []struct {
		name string
		part func(*Node)
		want error // what it stops with
		exit int   // by ExitCode, which knows nothing of classes
		is   error // what a later start is refused with
		says string
	}{
		{"removed", func(n *Node) { n.heed(Member{ID: "other"}, fmt.Errorf("%w: %w", ErrRemoved, farewell)) }, ErrRemoved, 1, ErrRemoved, "certificate 0a was revoked: removed by unix/0"},
		{"told to leave, and heard of it", func(n *Node) {
			n.heed(Member{ID: "other"}, fmt.Errorf("%w: %w", ErrRemoved, store.Errorf(store.CodeDenied, "certificate 0a was revoked: its node left the cluster, as unix/0 asked")))
		}, ErrLeft, 1, store.ErrRefused, "as unix/0 asked"},
		{"told to leave", func(n *Node) {
			done := n.Departing()
			n.heed(Member{ID: "other"}, fmt.Errorf("%w: %w", ErrRemoved, store.Errorf(store.CodeDenied, "certificate 0a was revoked: its node left the cluster, as unix/0 asked"))) // must wait
			n.Depart("admin/ana")
			done()
		}, ErrLeft, 1, store.ErrRefused, "as admin/ana asked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newTrio(t, "n1")
			n := c.leader()
			tt.part(n)
			c.mu.Lock()
			stops := c.stops["n1"]
			c.mu.Unlock()
			if len(stops) != 1 || !errors.Is(stops[0], tt.want) {
				t.Fatalf("it stops with %v", stops)
			}
			if text := stops[0].Error(); strings.Count(text, "left the cluster") > 1 {
				t.Errorf("it says twice that it has left: %s", text)
			}
			c.close("n1")
			n, err := Open(context.Background(), Config{Dir: c.dirs["n1"], Name: "n1", Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
			if err == nil {
				n.Close()
			}
			var e *store.Error
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) || ExitCode(err) != tt.exit || !errors.As(err, &e) || !strings.Contains(e.Hint, "--join") {
				t.Errorf("started again: %v", err)
			}
		})
	}
}

// A node that was removed is not told to have itself removed first.
func TestTheFarewellKnowsWhatWasDone(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2")
	gone := c.others()[0]
	serial := gone.own.Load().id.Serial
	if _, err := c.removal(RemoveRequest{Name: gone.Name(), ID: uuid.NewString()}); err != nil {
		t.Fatal(err)
	}
	why, removed := c.leader().Farewell(serial, gone.ID())
	if why == nil || !removed || !strings.Contains(why.Hint, "an empty data directory") || strings.Contains(why.Hint, "remove it first") {
		t.Errorf("%v, removed %v", why, removed)
	}
}

// Whoever has lost its directory does not come back as the member that it was.
func TestAWipedNodeIsSomebodyElse(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2")
	leader := c.leader()
	csr, _, err := pki.NewCSR("n2")
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range c.nodes {
		token := c.makeToken(access.Node, name+"b", "")
		for what, req := range map[string]EnrolRequest{
			"at a socket":  {NodeID: n.ID(), Name: name, CSR: csr, Voter: true},
			"with a token": {NodeID: n.ID(), Name: name + "b", CSR: csr, Voter: true, Token: token.ID, Secret: token.Secret[:]},
		} {
			by := access.Local("0")
			if req.Token != "" {
				by = access.Newcomer(req.Token, "")
			}
			if _, err := leader.Enrol(c.soon(), req, by); !errors.Is(err, store.ErrExists) || !strings.Contains(err.Error(), "which is a member") {
				t.Errorf("%s %s, under its old id: %v", name, what, err)
			}
		}
		_, err := leader.Enrol(c.soon(), EnrolRequest{NodeID: uuid.NewString(), Name: name, CSR: csr, Voter: true}, access.Local("0"))
		var e *store.Error
		if !errors.Is(err, store.ErrExists) || !errors.As(err, &e) || !strings.Contains(e.Hint, "cpctl cluster remove "+name) {
			t.Errorf("%s under its old name: %v", name, err)
		}
	}
}

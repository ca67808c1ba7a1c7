package rpc

import (
	"context"
	"errors"
	"testing"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// What a node answers by itself it answers to nobody whom the cluster has sent
// away, once it has caught up. Without a leader it goes by what it knows.
func TestReadersAreJudgedOnceTheNodeHasCaughtUp(t *testing.T) {
	f := &fake{img: stateWith(t, map[string]string{}), leads: true, notGood: store.Errorf(store.CodeDenied, "was revoked")}
	serveFake(t, f)
	gone, cancel := context.WithCancel(t.Context())
	defer cancel()
	by := access.Actor{Role: access.Admin, Name: "eve", Serial: "e1", Source: "10.0.0.9:1"}
	s := f.server
	if err := s.allowed(gone, by, access.Status); !errors.Is(err, store.ErrDenied) {
		t.Errorf("status: %v", err)
	}
	if _, _, err := s.image(gone, by, ReadOptions{}); !errors.Is(err, store.ErrDenied) {
		t.Errorf("a read: %v", err)
	}
	if _, _, err := s.image(gone, by, ReadOptions{Stale: true}); err != nil {
		t.Errorf("a stale read, which says nothing of now: %v", err)
	}
	if err := s.allowed(gone, access.Local("0"), access.Status); err != nil {
		t.Errorf("at the socket: %v", err)
	}
	f.leads = false
	if err := s.allowed(gone, by, access.Status); err != nil {
		t.Errorf("nobody leads: %v", err)
	}
}

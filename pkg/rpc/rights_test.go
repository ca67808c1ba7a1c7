package rpc

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// askedBy makes a call of somebody's as the codec would.
func askedBy[A any](by access.Actor, from *access.Actor, args A) *Call[A] {
	return &Call[A]{From: from, Args: args, caller: &Caller{By: by, gone: context.Background(), server: &Server{node: &fake{img: store.NewImage()}}}}
}

func TestReadingIsForThoseWhoMayRead(t *testing.T) {
	t.Parallel()
	s, err := NewServer(&fake{leads: true, img: stateWith(t, nil)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{s}
	bound := access.Actor{Role: access.Reader, Name: "ci", Tenant: "acme", Source: "10.0.0.9:1"}
	forged := access.Local("0")
	for name, ask := range map[string]func(by access.Actor) *store.Error{
		"the list of all tenants": func(by access.Actor) *store.Error {
			var r Reply[*ListReply]
			c.List(askedBy(by, nil, ListArgs{Kind: "tenant"}), &r)
			return r.Err
		},
		"the list of all tenants, in the name of one": func(by access.Actor) *store.Error {
			var r Reply[*ListReply]
			c.List(askedBy(by, nil, ListArgs{Kind: "tenant", Tenant: "acme"}), &r)
			return r.Err
		},
		"another tenant's clients": func(by access.Actor) *store.Error {
			var r Reply[*ListReply]
			c.List(askedBy(by, nil, ListArgs{Kind: "client", Tenant: "globex"}), &r)
			return r.Err
		},
		"another tenant": func(by access.Actor) *store.Error {
			var r Reply[*GetReply]
			c.Get(askedBy(by, nil, GetArgs{Kind: "tenant", Tenant: "acme", Name: "globex"}), &r)
			return r.Err
		},
		"the platform's keys, in somebody else's name": func(by access.Actor) *store.Error {
			var r Reply[*GetReply]
			c.Get(askedBy(by, &forged, GetArgs{Kind: "keyset", Tenant: store.GlobalOwner}), &r)
			return r.Err
		},
		"to move a member": func(by access.Actor) *store.Error {
			var r Reply[struct{}]
			c.Admit(askedBy(by, &forged, AdmitArgs{NodeID: "id-1", Address: "10.0.0.9:7700"}), &r)
			return r.Err
		},
	} {
		if err := ask(bound); err == nil || err.Code != store.CodeDenied {
			t.Errorf("%s: a reader of acme was answered %v", name, err)
		}
		if err := ask(access.Local("0")); err != nil && err.Code == store.CodeDenied {
			t.Errorf("%s: an administrator was denied: %v", name, err)
		}
	}
}

func TestWhoIsBoundToATenantHearsWhatToAskFor(t *testing.T) {
	t.Parallel()
	s, err := NewServer(&fake{leads: true, img: stateWith(t, nil)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ by, says, hint string }{
		{"reader", `reader/ci@acme may not list all tenants: it is bound to tenant "acme"`, "see: cpctl tenant get acme"},
		{"nobody", "nobody/ci@acme may not read", "what the role nobody may do: cpctl help roles"},
	} {
		var r Reply[*ListReply]
		by := access.Actor{Role: access.Role(tt.by), Name: "ci", Tenant: "acme", Source: "10.0.0.9:1"}
		(&Cluster{s}).List(askedBy(by, nil, ListArgs{Kind: "tenant"}), &r)
		if r.Err == nil || r.Err.Code != store.CodeDenied || !strings.HasPrefix(r.Err.Message, tt.says) || r.Err.Hint != tt.hint {
			t.Errorf("%s: %+v, want %s, %s", tt.by, r.Err, tt.says, tt.hint)
		}
	}
}

// An admin elsewhere would else have the cluster key for one call, with no token
// on record.
func TestNobodyEnrolsANodeOverTheNetworkWithoutAToken(t *testing.T) {
	t.Parallel()
	f := &fake{leads: true, img: stateWith(t, nil), enrol: func(EnrolArgs, access.Actor) (*Enrolment, error) { return &Enrolment{}, nil }}
	s, err := NewServer(f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	enrol := func(by access.Actor) *store.Error {
		var r Reply[*Enrolment]
		forged := access.Local("0")
		(&Cluster{s}).Enrol(askedBy(by, &forged, EnrolArgs{NodeID: "id-4", Name: "n4"}), &r)
		return r.Err
	}
	if err := enrol(access.Actor{Role: access.Admin, Name: "ada", Source: "10.0.0.9:1"}); err == nil || err.Code != store.CodeDenied {
		t.Errorf("over the network: %v, want denied", err)
	}
	if err := enrol(access.Local("0")); err != nil {
		t.Errorf("at the socket: %v", err)
	}
}

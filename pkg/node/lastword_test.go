package node

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// A request is on its way on a line that is slow; its caller has asked again, and
// was told what the state said. When the first attempt arrives, the state is one
// in which it could be done: it is told what its caller was told.
func TestWhatARequestWasToldIsTheLastWord(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	web := func() *mutation.Request { return clientNamed("acme", "web") }
	renamed := func(name string) *mutation.Request {
		return &mutation.Request{Op: mutation.OpClientUpdate, Tenant: "acme", Name: "web", Patch: json.RawMessage(`{"client_name":"` + name + `"}`)}
	}
	gone := func() *mutation.Request {
		return &mutation.Request{Op: mutation.OpClientDelete, Tenant: "acme", Name: "web", IgnoreNotFound: true}
	}
	unlessThere := web()
	unlessThere.IfNotExists = true
	strictly := gone()
	strictly.IgnoreNotFound = false
	scoped := web()
	scoped.Patch = json.RawMessage(`{"redirect_uris":["https://web.example/cb"],"scopes":["orders"]}`)
	for _, tt := range []struct {
		fact   string
		before []*mutation.Request
		asked  *mutation.Request
		told   error               // nil: there is nothing to change
		after  []*mutation.Request // after which it could be done
	}{
		{"a creation of what is there", []*mutation.Request{web()}, web(), store.ErrExists, []*mutation.Request{gone()}},
		{"a creation that need not be", []*mutation.Request{web()}, unlessThere, nil, []*mutation.Request{gone()}},
		{"a creation with what is missing", nil, scoped, store.ErrInvalid, []*mutation.Request{{Op: mutation.OpScopeCreate, Tenant: "acme", Name: "orders"}}},
		{"an update of what is not there", nil, renamed("Web"), store.ErrNotFound, []*mutation.Request{web()}},
		{"an update that changes nothing", []*mutation.Request{web(), renamed("Web")}, renamed("Web"), nil, []*mutation.Request{renamed("Shop")}},
		{"a deletion of what is not there", nil, strictly, store.ErrNotFound, []*mutation.Request{web()}},
		{"a deletion that need not be", nil, gone(), nil, []*mutation.Request{web()}},
	} {
		c.must(gone())
		for _, r := range tt.before {
			c.must(r)
		}
		tt.asked.ID = strings.ReplaceAll(tt.fact, " ", "-")
		again := *tt.asked
		again.Again = true
		a, err := c.write(&again)
		if !errors.Is(err, tt.told) || err == nil && (a.Outcome != mutation.Unchanged || a.Name != "client/acme/web" || a.Replayed) {
			t.Fatalf("%s: %+v, %v, want %v", tt.fact, a, err, tt.told)
		}
		var revision uint64
		for _, r := range tt.after {
			revision = c.must(r).Revision
		}
		a, err = c.write(tt.asked)
		if !errors.Is(err, tt.told) || err == nil && (a.Outcome != mutation.Unchanged || a.Name != "client/acme/web" || !a.Replayed) {
			t.Errorf("%s, and the first attempt arrives: done: %v, %v, want %v", tt.fact, err == nil, err, tt.told)
		}
		if is := c.must(gone()); is.Outcome == mutation.Deleted && is.Revision != revision+1 || is.Outcome != mutation.Deleted && is.Revision != revision {
			t.Errorf("%s: then the state was changed at %d, before that at %d", tt.fact, is.Revision, revision)
		}
	}
}

// What a node cannot do is said of the node, and is no answer to the request.
func TestWhatANodeCannotDoIsNotTheLastWord(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	for _, tt := range []struct {
		code store.Code
		last bool
	}{
		{store.CodeConflict, true},
		{store.CodeRefused, true},
		{store.CodeUnavailable, false},
		{store.CodeUnknown, false},
		{store.CodeIntegrity, false},
		{store.CodeNewer, false},
		{store.CodeDenied, false},
		{store.CodeInternal, false},
	} {
		req := tenantNamed("acme")
		req.ID, req.Again = "told-"+string(tt.code), true
		d, err := n.newDraft(req, access.Local("0"))
		if err != nil {
			t.Fatal(err)
		}
		told := store.Errorf(tt.code, "told")
		if _, err := n.final(c.soon(), d, nil, told); !errors.Is(err, told) {
			t.Errorf("%s: %v", tt.code, err)
		}
		if is := n.Image().Request(req.ID) != nil; is != tt.last {
			t.Errorf("%s: remembered for good: %v, want %v", tt.code, is, tt.last)
		}
	}
}

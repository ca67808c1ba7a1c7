package cmd

import (
	"testing"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestWhatBecameOfARequest(t *testing.T) {
	w := newWorld()
	seen := rpc.ReadInfo{Index: 40, Revision: 12, Node: "n2"}
	w.request = &rpc.RequestState{FormatVersion: "1", Kind: "request", ID: "r1", State: rpc.RequestApplied, Operation: "client.create",
		Changed: []string{"client/acme/web"}, ChangedTotal: 3, Index: 17, Revision: 9, Seen: seen}
	w.run("request", "get", "r1").want(t, 0,
		"request     r1\nstate       applied\noperation   client.create\ntime        -\nindex       17\nrevision    9\nchanged     client/acme/web, and 2 others\n", "")
	w.run("request", "get", "r1", "-o", "name").want(t, 0, "request/r1\n", "")
	w.run("request", "get", "r1", "--min-index", "40").want(t, 0,
		"request     r1\nstate       applied\noperation   client.create\ntime        -\nindex       17\nrevision    9\nchanged     client/acme/web, and 2 others\n", "")
	if got := w.asked[len(w.asked)-1]; got.ID != "r1" || got.Read.MinIndex != 40 {
		t.Errorf("asked for %+v", got)
	}

	w.request = &rpc.RequestState{FormatVersion: "1", Kind: "request", ID: "r2", State: rpc.RequestRefused, Operation: "scope.delete",
		Changed: []string{}, Refusal: store.Errorf(store.CodeRefused, "scope in use"), Index: 18, Revision: 9, Seen: seen}
	w.run("request", "get", "r2").want(t, 0,
		"request     r2\nstate       refused\noperation   scope.delete\ntime        -\nindex       18\nrevision    9\nrefusal     scope in use\n", "")

	// A script that looks at the exit code alone must not take this for done.
	w.request = &rpc.RequestState{FormatVersion: "1", Kind: "request", ID: "r3", State: rpc.RequestNotSeen, Changed: []string{}, Seen: seen}
	w.run("request", "get", "r3").want(t, 3, "",
		"cpctl: request r3: not seen yet, until index 40; that proves nothing\n"+
			"  it may be on its way; to settle it, send the same command again with --request-id r3\n"+
			"  (an id of your own, older than ten minutes, may be forgotten: look at the object first)\n")
	w.run("request", "get", "a/b").want(t, 2, "", "cpctl: request id \"a/b\" must be 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\"\n")
}

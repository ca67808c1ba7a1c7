package node

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestATypoInAnAddressCostsNoQuorum: a vote for a node that nobody reaches would
// end the quorum of a single founder for ever. A node is dialled, and known by
// its certificate, before it is a member.
func TestATypoInAnAddressCostsNoQuorum(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	csr, _, err := pki.NewCSR("n2")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id := uuid.NewString()
	if _, err := c.leader().Enrol(ctx, EnrolRequest{NodeID: id, Name: "n2", CSR: csr, Voter: true}, access.Local("0")); err != nil {
		t.Fatal(err)
	}
	founder := c.leader().Members()
	for i, address := range []string{
		"127.0.0.1:1",      // nobody listens
		founder[0].Address, // somebody else does
		"n2.invalid:7700",  // no such host
		"127.0.0.1",        // no port
		"",
	} {
		if err := c.leader().Admit(ctx, AdmitRequest{NodeID: id, Address: address}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("admitted at %q: %v, want %s", address, err, store.CodeUnavailable)
		}
		if got := c.leader().Members(); len(got) != 1 || got[0] != founder[0] {
			t.Fatalf("after an address %q the members are %+v, want %+v", address, got, founder)
		}
		c.must(tenantNamed(fmt.Sprintf("still-%d", i)))
	}
	if err := c.leader().Admit(ctx, AdmitRequest{NodeID: uuid.NewString(), Address: founder[0].Address}); !errors.Is(err, store.ErrDenied) {
		t.Errorf("a node without a certificate is admitted: %v", err)
	}
}

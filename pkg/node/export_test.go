package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// The leader records, every node opens, and a key that is gone stays gone.
func TestAKeyIsExportedByTheNodeThatWasAsked(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	leader := c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	kid, index, err := leader.RecordExport(ctx, "acme", "", "n2", access.Local("7"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.running() {
		if err := n.WaitApplied(ctx, index); err != nil {
			t.Fatal(err)
		}
		b, err := n.PrivateJWK("acme", kid)
		var jwk struct{ Kid, Alg, D string }
		if err != nil || json.Unmarshal(b, &jwk) != nil || jwk.Kid != kid || jwk.Alg != "EdDSA" || jwk.D == "" {
			t.Errorf("%s: %v, %d bytes for %q", n.Name(), err, len(b), jwk.Kid)
		}
		var all mutation.Exports
		if !n.Image().System(applier.ExportsPath("acme"), &all) || len(all.Last) != 1 || all.Last[0].KID != kid || all.Last[0].Actor != "unix/7" || all.Last[0].Node != "n2" || all.Last[0].At == 0 {
			t.Errorf("%s has on record %+v", n.Name(), all)
		}
		if n == leader {
			continue
		}
		if _, _, err := n.RecordExport(ctx, "acme", "", "n2", access.Local("7")); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s records and does not lead: %v", n.Name(), err)
		}
	}
	if bytes.Contains(leader.Image().Get(applier.ExportsPath("acme")).Bytes, []byte(`"d"`)) {
		t.Error("the record holds a private key")
	}

	again, _, err := leader.RecordExport(ctx, "acme", kid, "n1", access.Local("7")) // a retry, say
	if err != nil || again != kid {
		t.Errorf("%q, %v", again, err)
	}
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme"})
	if _, _, err := leader.RecordExport(ctx, "acme", kid, "n1", access.Local("7")); !errors.Is(err, store.ErrRefused) {
		t.Errorf("a retiring key: %v, want refused", err)
	}
	if _, err := leader.PrivateJWK("acme", kid); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a key that was retired after the record: %v, want unavailable", err)
	}
	if next, _, err := leader.RecordExport(ctx, "acme", "", "n1", access.Local("7")); err != nil || next == kid {
		t.Errorf("after a rotation: %q, %v", next, err)
	}
	c.agree()
}

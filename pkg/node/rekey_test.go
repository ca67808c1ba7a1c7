package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// rekey goes on until the cluster has a new key: what package rpc's client does.
func (c *trio) rekey() *Rekeyed {
	c.t.Helper()
	roll, said := uuid.NewString(), ""
	var done *Rekeyed
	c.until("end of the roll-over", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		r, err := c.leader().Rekey(ctx, roll, access.Local("0"))
		if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
			return err
		}
		if err != nil {
			c.t.Fatal(err)
		}
		roll, said = r.Roll, fmt.Sprint(r.Phase, r.Waiting)
		if !r.Done {
			return errors.New(said)
		}
		done = r
		return nil
	})
	return done
}

// wantOneKey checks that every node has the key that seals and no other, that
// everything sealed is sealed under it, and that it opens.
func (c *trio) wantOneKey(id string) {
	c.t.Helper()
	c.until("one key everywhere", func() error {
		for name, dir := range c.dirs {
			b, err := os.ReadFile(filepath.Join(dir, "cluster.key"))
			if err != nil {
				return err
			}
			ring, err := pki.ParseKeyring(b)
			if err != nil {
				return err
			}
			if ring.IDs() != id {
				return fmt.Errorf("%s has %s, want %s", name, ring.IDs(), id)
			}
		}
		for _, n := range c.running() {
			if has := n.ring().IDs(); has != id {
				return fmt.Errorf("%s holds %s, want %s", n.Name(), has, id)
			}
		}
		return nil
	})
	for _, n := range c.running() {
		if ids := snapshot.SealKeyIDs(n.Image()); len(ids) != 1 || ids[0] != id {
			c.t.Errorf("in %s things are sealed under %v, want %s", n.Name(), ids, id)
		}
		if _, err := n.authority(n.Image()); err != nil {
			c.t.Errorf("%s: %v", n.Name(), err)
		}
		if _, err := n.requestKey(n.Image()); err != nil {
			c.t.Errorf("%s: %v", n.Name(), err)
		}
	}
}

func (c *trio) exported(tenant string) string {
	c.t.Helper()
	n := c.leader()
	b, err := n.PrivateJWK(tenant, activeKid(c.t, n, tenant))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

func activeKid(t *testing.T, n *Node, tenant string) string {
	t.Helper()
	ks, err := store.Stored[store.Keyset](n.Image().Get(store.KeysetPath(tenant)))
	if err != nil {
		t.Fatal(err)
	}
	return ks.Keys[0].KID
}

func TestAClusterGoesOverToANewKey(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	for i := range 5 {
		slug := fmt.Sprintf("t%d", i)
		c.must(tenantNamed(slug))
		c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: slug, Alg: "EdDSA"})
	}
	before, old := c.exported("t0"), c.leader().ring().First().ID()
	r := c.rekey()
	if r.OldKeyID != old || r.KeyID == old || r.Values != 12 { // two keys a tenant, the authority's, the requests'
		t.Errorf("rekeyed: %+v, old key %s", r, old)
	}
	c.wantOneKey(r.KeyID)
	if got := c.exported("t0"); got != before {
		t.Error("the private key is another one")
	}
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "t0", Alg: "EdDSA"})
	c.agree()
	second := c.rekey()
	if second.OldKeyID != r.KeyID {
		t.Errorf("the second roll-over retired %s, want %s", second.OldKeyID, r.KeyID)
	}
	c.wantOneKey(second.KeyID)
	c.agree()
}

// TestACallThatEndsWithTheRollOverSaysSo: its time may be over with the last
// step. What it says is about that roll-over, and the next call begins no other.
func TestACallThatEndsWithTheRollOverSaysSo(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	r := &rekeying{node: c.leader(), actor: "test", began: time.Now()}
	if p := r.progress("first", nil); p.Roll != "first" || p.Done {
		t.Errorf("before it begins: %+v", p)
	}
	if err := r.begin(t.Context(), r.node.Image(), "first", ""); err != nil {
		t.Fatal(err)
	}
	if p := r.progress("second", nil); p.Roll != "first" || p.Phase != mutation.RollBegun || p.Done {
		t.Errorf("begun: %+v", p)
	}
	c.switchNow(r)
	c.all(r)
	c.retireNow(r)
	p := r.progress("first", nil)
	if p.Roll != "first" || !p.Done || p.Phase != "retired" || p.KeyID != named(r.node.Image())[0].ID {
		t.Errorf("at its end: %+v", p)
	}
	if again, err := c.leader().Rekey(t.Context(), "first", access.Local("0")); err != nil || again.KeyID != p.KeyID || !again.Done {
		t.Errorf("asked again: %+v, %v", again, err)
	}
}

// TestTheAuthorityAndTheClusterKeyAreRolledOverAtOnce: the next authority's key
// is sealed anew like the present one's, whichever of the two comes first.
func TestTheAuthorityAndTheClusterKeyAreRolledOverAtOnce(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	r := &rekeying{node: c.leader(), actor: "test", began: time.Now()}
	c.begun(r)
	if err := r.node.announceCA(t.Context(), r.node.found(), access.Local("0")); err != nil {
		t.Fatal(err)
	}
	done := c.rekey()
	c.wantOneKey(done.KeyID)
	c.until("the next authority to sign", func() error {
		if f := c.leader().found(); f.OldCA == "" {
			return errors.New("the one before signs")
		}
		return nil
	})
	c.wantOneKey(done.KeyID)
	c.agree()
}

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/mutation"
)

// TestARequestIsKnownAcrossARollOver: the digest by which a repeated request is
// told from another with its id is made with a key that outlives the cluster key.
func TestARequestIsKnownAcrossARollOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fact string
		old  bool // the cluster was founded without a request key
	}{{"of a cluster of today", false}, {"of an older cluster", true}} {
		t.Run(tt.fact, func(t *testing.T) {
			t.Parallel()
			c := aloneCluster(t, func(f *founding) {
				if tt.old {
					f.Found.RequestKey = nil
				}
			})
			c.must(tenantNamed("acme"))
			archive := archiveOf(t, c.leader())
			ask := func(id string) *mutation.Request { r := clientNamed("acme", "web"); r.ID = id; return r }
			first := c.must(ask("the-request"))
			c.must(tenantNamed("globex"))
			if _, err := restore(c.leader(), archive, "the-restore", false); err != nil {
				t.Fatal(err)
			}
			c.must(tenantNamed("initech"))
			known := func(when string) {
				t.Helper()
				if a := c.must(ask("the-request")); !a.Replayed || a.Index != first.Index {
					t.Errorf("%s: the request that came again is %+v", when, a)
				}
				other := ask("the-request")
				other.Name = "other"
				if _, err := c.write(other); err == nil {
					t.Errorf("%s: another request has its id", when)
				}
				if r, err := restore(c.leader(), archive, "the-restore", false); err != nil || !r.Replayed {
					t.Errorf("%s: the restore that came again: %+v, %v", when, r, err)
				}
			}
			known("before")
			if has := foundOf(c.leader()).RequestKey != nil; has == tt.old {
				t.Errorf("a request key is on record: %v", has)
			}
			r := &rekeying{node: c.leader(), actor: "test", began: time.Now()}
			c.begun(r)
			known("begun")
			c.switchNow(r)
			known("switched")
			c.all(r)
			c.retireNow(r)
			known("retired")
			c.wantOneKey(named(c.leader().Image())[0].ID)
			c.close("n1")
			c.open("n1", false)
			known("after a start")
			c.rekey()
			known("after another roll-over")
		})
	}
}

func foundOf(n *Node) (f mutation.Found) {
	n.Image().System(applier.ClusterPath, &f)
	return f
}

// aloneCluster is a cluster of one whose founding was changed before it was put
// on record.
func aloneCluster(t *testing.T, change func(*founding), keyFile ...string) *trio {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "n1")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if len(keyFile) > 0 {
		if err := os.WriteFile(filepath.Join(dir, "cluster.key"), []byte(strings.Join(keyFile, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := openDir(disk.Real{}, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	_, f, err := d.found("n1", defaultCertTTL, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	change(f)
	if err := d.saveRecord("founding.json", f); err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	c := trioIn(t, dir)
	t.Cleanup(func() { c.close("n1") })
	c.open("n1", false)
	c.leader()
	return c
}

// TestAKeyMadeBeforeTheSwitchIsMadeAnew: a command that was completed before the
// switch and is applied behind the retirement does not bring the old key back.
func TestAKeyMadeBeforeTheSwitchIsMadeAnew(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	c.must(tenantNamed("acme"))
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	c.must(tenantNamed("globex"))
	d, err := n.newDraft(&mutation.Request{ID: "late", Op: mutation.OpKeyRotate, Tenant: "globex", Alg: "EdDSA"}, access.Local("0"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.complete(n.Image(), n.proposer.time())
	if err != nil {
		t.Fatal(err)
	}
	command := p.command
	r := c.rekey()
	if res := applier.Check(n.Image(), command); !res.Stale {
		t.Errorf("a key under the retired one: %+v", res)
	}
	if p, err = d.complete(n.Image(), n.proposer.time()); err != nil {
		t.Fatal(err)
	}
	for _, k := range d.made.keys {
		if k.PrivateKey.KeyID != r.KeyID {
			t.Errorf("completed again, %s is sealed under %s, want %s", k.KID, k.PrivateKey.KeyID, r.KeyID)
		}
	}
	if res := applier.Check(n.Image(), p.command); res.Refusal != nil {
		t.Error(res.Refusal)
	}
	k := d.made.keys[0]
	if private, err := n.ring().Open(*k.PrivateKey, SealLabel("globex", k.KID, "EdDSA")...); err != nil || len(private) == 0 {
		t.Errorf("it does not open: %v", err)
	}
}

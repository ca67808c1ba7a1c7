package node

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestAnArchiveOfTheOldKey is restored while the old key opens, and sealed anew
// behind; afterwards it is refused by the name of the key that it needs, and that
// key, in a new cluster, opens it.
func TestAnArchiveOfTheOldKey(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	c.must(tenantNamed("acme"))
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	before, archive := c.exported("acme"), archiveOf(t, n)
	oldFile := string(readFile(t, c.keyFile("n1")))
	r := &rekeying{node: n, actor: "test", began: time.Now()}
	again := func(when string) {
		t.Helper()
		c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
		if _, err := restore(n, archive, when, false); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if got := c.exported("acme"); got != before {
			t.Errorf("%s: the private key is another one", when)
		}
	}
	c.begun(r)
	again("begun")
	c.switchNow(r)
	again("switched")
	c.all(r)
	again("resealed")
	state := rollover(n.Image())
	if err := r.step(t.Context(), mutation.Rekey{Step: mutation.RekeyRetire, Roll: state.Roll, Key: state.Old}); !errors.Is(err, store.ErrRefused) {
		t.Errorf("retired with values under it: %v, want it refused", err)
	}
	c.until("a file whose first key seals", func() error {
		if first := n.ring().First().ID(); first != named(n.Image())[0].ID {
			return errors.New(first)
		}
		return nil
	})
	both := string(readFile(t, c.keyFile("n1")))
	mixed := archiveOf(t, n)
	done := c.rekey()
	c.wantOneKey(done.KeyID)
	if got := c.exported("acme"); got != before {
		t.Error("the private key is another one behind the roll-over")
	}
	_, err := restore(n, archive, "later", false)
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeIntegrity || !strings.Contains(e.Message, done.OldKeyID) || !strings.Contains(e.Hint, done.OldKeyID) {
		t.Errorf("an archive of the retired key: %v", err)
	}
	if got := c.exported("acme"); got != before {
		t.Error("a restore that was refused changed something")
	}

	for file, a := range map[string]string{oldFile: archive, both: mixed} { // what the hint says
		other := aloneCluster(t, func(*founding) {}, file)
		if _, err := restore(other.leader(), a, "there", false); err != nil {
			t.Errorf("in a new cluster with the old key: %v", err)
		}
		if got := other.exported("acme"); got != before {
			t.Error("in a new cluster with the old key the private key is another one")
		}
		if strings.Count(file, "\n") == 2 {
			r := other.rekey() // it begins where the other cluster was
			other.wantOneKey(r.KeyID)
			if r.OldKeyID != done.OldKeyID || r.KeyID != done.KeyID {
				t.Errorf("it goes from %s to %s, want %s to %s", r.OldKeyID, r.KeyID, done.OldKeyID, done.KeyID)
			}
		}
	}
}

// TestClientsGoOnDuringARollOver: keys are rotated and exported, clients are
// made, archives are restored, and nothing fails because of it.
func TestClientsGoOnDuringARollOver(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	for i := range 8 {
		c.must(tenantNamed(fmt.Sprintf("t%d", i)))
		c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: fmt.Sprintf("t%d", i), Alg: "EdDSA"})
	}
	before := c.exported("t7") // which nobody rotates
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for j := 0; ; j++ {
				select {
				case <-stop:
					return
				default:
				}
				tenant := fmt.Sprintf("t%d", i)
				reqs := []*mutation.Request{clientNamed(tenant, fmt.Sprintf("c%d", j))}
				if j < 20 { // a keyset has at most 64 live keys
					reqs = append(reqs, &mutation.Request{Op: mutation.OpKeyRotate, Tenant: tenant, Alg: "EdDSA"})
				}
				for _, req := range reqs {
					if _, err := c.write(req); err != nil {
						t.Errorf("%s during a roll-over: %v", req.Op, err)
					}
				}
				n := c.leader()
				if _, err := n.PrivateJWK("t7", activeKid(t, n, "t7")); err != nil {
					t.Errorf("export during a roll-over: %v", err)
				}
			}
		})
	}
	var last string
	for range 3 {
		last = c.rekey().KeyID
	}
	close(stop)
	clients.Wait()
	c.wantOneKey(last)
	c.agree()
	if got := c.exported("t7"); got != before {
		t.Error("the private key is another one")
	}
}

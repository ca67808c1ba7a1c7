package node

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestALeaderMayDieAtEveryStepOfARollOver ends the leader behind each step. The
// cluster goes on with what it has, keys are made meanwhile, and the next call
// brings the roll-over to its end.
func TestALeaderMayDieAtEveryStepOfARollOver(t *testing.T) {
	for _, tt := range []struct {
		step string
		take func(c *trio, r *rekeying) // up to where the leader dies
		same bool                       // the new key is the one that was made first
	}{
		{"the key is on one disk", func(c *trio, r *rekeying) { c.keyOnly(r) }, false},
		{"begun, and nobody else has the key", func(c *trio, r *rekeying) { c.withhold(r) }, false},
		{"begun, and all have the key", func(c *trio, r *rekeying) { c.begun(r); c.handedOut(r) }, true},
		{"switched", func(c *trio, r *rekeying) { c.switched(r) }, true},
		{"some are sealed anew", func(c *trio, r *rekeying) { c.switched(r); c.some(r) }, true},
		{"all are sealed anew", func(c *trio, r *rekeying) { c.switched(r); c.all(r) }, true},
	} {
		t.Run(tt.step, func(t *testing.T) {
			t.Parallel()
			c := newTrio(t, "n1", "n2", "n3")
			c.must(tenantNamed("acme"))
			c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
			before := c.exported("acme")
			leader := c.leader()
			old := leader.ring().First().ID()
			r := &rekeying{node: leader, actor: "test", began: time.Now()}
			tt.take(c, r)
			made := r.made()
			c.close(leader.Name())
			if got := c.exported("acme"); got != before {
				t.Error("the private key is another one")
			}
			c.must(tenantNamed("globex"))
			c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "globex", Alg: "EdDSA"})
			c.open(leader.Name(), false)
			done := c.rekey()
			if done.OldKeyID != old || (done.KeyID == made) != tt.same {
				t.Errorf("it came to %s from %s; %s was made first, from %s", done.KeyID, done.OldKeyID, made, old)
			}
			c.withheld.Store(nil)
			c.wantOneKey(done.KeyID)
			c.agree()
			if got := c.exported("acme"); got != before {
				t.Error("the private key is another one behind the roll-over")
			}
		})
	}
}

// made is the id of the key that the roll-over made, or has come to.
func (r *rekeying) made() string {
	keys := r.node.ring().Keys()
	if roll := rollover(r.node.Image()); roll.Phase == mutation.RollSwitched {
		return named(r.node.Image())[0].ID
	}
	return keys[len(keys)-1].ID()
}

func (c *trio) begun(r *rekeying) {
	c.t.Helper()
	if err := r.begin(context.Background(), r.node.Image(), uuid.NewString(), ""); err != nil {
		c.t.Fatal(err)
	}
}

// keyOnly stops a roll-over between the disk and the log.
func (c *trio) keyOnly(r *rekeying) {
	c.t.Helper()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.begin(gone, r.node.Image(), uuid.NewString(), ""); !errors.Is(err, store.ErrUnavailable) {
		c.t.Fatalf("a step of a caller that is gone: %v", err)
	}
	if n := len(r.node.ring().Keys()); n != 2 {
		c.t.Fatalf("the leader has %d keys", n)
	}
}

// withhold begins a roll-over whose key nobody gives away.
func (c *trio) withhold(r *rekeying) {
	c.t.Helper()
	c.keyOnly(r)
	key := r.node.ring().Keys()[1]
	id := key.ID()
	c.withheld.Store(&id)
	step := mutation.Rekey{Step: mutation.RekeyBegin, Roll: uuid.NewString(), Key: mutation.KeyName{ID: id, Check: key.Check()}}
	if err := r.step(context.Background(), step); err != nil {
		c.t.Fatal(err)
	}
}

func (c *trio) handedOut(r *rekeying) {
	c.t.Helper()
	c.until("the key on every disk", func() error {
		if waiting := r.without(rollover(r.node.Image()).Next); len(waiting) > 0 {
			return errors.New(waiting[0])
		}
		return nil
	})
}

func (c *trio) switched(r *rekeying) {
	c.t.Helper()
	c.begun(r)
	c.handedOut(r)
	img := r.node.Image()
	state := rollover(img)
	if waiting, err := r.handOut(context.Background(), img, &state); err != nil || len(waiting) > 0 {
		c.t.Fatalf("the switch: %v, waiting for %v", err, waiting)
	}
}

// some seals one document anew.
func (c *trio) some(r *rekeying) bool {
	c.t.Helper()
	img := r.node.Image()
	state := rollover(img)
	key, err := r.node.sealing(img)
	if err != nil {
		c.t.Fatal(err)
	}
	w, err := r.node.oldValues(img, &state, key, 1)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(w.Docs) == 0 {
		return false
	}
	if s := r.propose(context.Background(), w); s.err != nil || s.result.Refusal != nil {
		c.t.Fatal(s.err, s.result.Refusal)
	}
	return true
}

func (c *trio) all(r *rekeying) {
	for c.some(r) {
	}
}

// TestAFollowerMayDieAtEveryStepOfARollOver ends a follower behind each step,
// and starts it when the roll-over is at the next.
func TestAFollowerMayDieAtEveryStepOfARollOver(t *testing.T) {
	for _, tt := range []struct {
		step string
		take func(c *trio, r *rekeying)
		then func(c *trio, r *rekeying)
	}{
		{"before it begins", func(*trio, *rekeying) {}, func(c *trio, r *rekeying) { c.begun(r) }},
		{"when it has the key", func(c *trio, r *rekeying) { c.begun(r); c.handedOut(r) }, func(c *trio, r *rekeying) { c.switchNow(r) }},
		{"when it has the key, until the end", func(c *trio, r *rekeying) { c.begun(r); c.handedOut(r) }, func(c *trio, r *rekeying) { c.switchNow(r); c.all(r); c.retireNow(r) }},
		{"when some are sealed anew, until the end", func(c *trio, r *rekeying) { c.switched(r); c.some(r) }, func(c *trio, r *rekeying) { c.all(r); c.retireNow(r) }},
	} {
		t.Run(tt.step, func(t *testing.T) {
			t.Parallel()
			c := newTrio(t, "n1", "n2", "n3")
			c.must(tenantNamed("acme"))
			c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
			before := c.exported("acme")
			leader := c.leader()
			r := &rekeying{node: leader, actor: "test", began: time.Now()}
			tt.take(c, r)
			var gone string
			for _, n := range c.running() {
				if n != leader {
					gone = n.Name()
				}
			}
			c.close(gone)
			tt.then(c, r)
			c.open(gone, false)
			if rollover(leader.Image()).Phase != "" {
				c.rekey()
			}
			c.wantOneKey(named(c.leader().Image())[0].ID)
			c.agree()
			if got := c.exported("acme"); got != before {
				t.Error("the private key is another one")
			}
		})
	}
}

func (c *trio) switchNow(r *rekeying) {
	c.t.Helper()
	state := rollover(r.node.Image())
	if err := r.step(context.Background(), mutation.Rekey{Step: mutation.RekeySwitch, Roll: state.Roll, Key: state.Next}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *trio) retireNow(r *rekeying) {
	c.t.Helper()
	state := rollover(r.node.Image())
	if err := r.step(context.Background(), mutation.Rekey{Step: mutation.RekeyRetire, Roll: state.Roll, Key: state.Old}); err != nil {
		c.t.Fatal(fmt.Errorf("retire: %w", err))
	}
}
